"""Small labeled data sets in the formats that ``lewel finetune`` reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (64, 48)  # width and height


def write_image(path: Path, seed: int, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def coco_content(count: int, first: int = 0) -> dict[str, Any]:
    """Return labels of some images: one box of the class ``cat`` in all but the second, none of ``dog``."""
    images = [dict(id=i, file_name=f'{i}.png', width=SIZE[0], height=SIZE[1]) for i in range(first, first + count)]
    annotations = [
        dict(id=i, image_id=i, category_id=3, bbox=[4 + i, 5, 20, 30], area=600, iscrowd=0)
        for i in range(first, first + count)
        if i != first + 1
    ]
    return dict(images=images, annotations=annotations, categories=[dict(id=3, name='cat'), dict(id=7, name='dog')])


def make_coco(root: Path, count: int = 6, **changes: Any) -> Path:
    """Write images and one json file; return its path."""
    for i in range(count):
        write_image(root / 'images' / f'{i}.png', i)
    path = root / 'labels.json'
    path.write_text(json.dumps({**coco_content(count), **changes}))
    return path


def voc_xml(objects: str, size: tuple[int, int] = SIZE) -> str:
    width, height = size
    return f'<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>'


def voc_object(name: str = 'cat', corners: tuple[Any, ...] = (5, 6, 24, 35), difficult: int = 0) -> str:
    box = ''.join(f'<{tag}>{value}</{tag}>' for tag, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners))
    return f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>'


def make_voc(root: Path, count: int = 6, lists: bool = True) -> Path:
    """Write a VOC folder with one class, whose second image has no box; return it."""
    (root / 'Annotations').mkdir(parents=True, exist_ok=True)
    for i in range(count):
        write_image(root / 'JPEGImages' / f'{i}.jpg', i)
        (root / 'Annotations' / f'{i}.xml').write_text(voc_xml('' if i == 1 else voc_object()))
    if lists:
        folder = root / 'ImageSets' / 'Main'
        folder.mkdir(parents=True)
        (folder / 'train.txt').write_text(''.join(f'{i}\n' for i in range(count - 2)))
        (folder / 'val.txt').write_text(f'{count - 2}\n{count - 1} \n')
    return root


def write_mask(path: Path, value: int, size: tuple[int, int] = SIZE) -> None:
    """Write a map of class 0 with a rectangle of a class, and a border of 255."""
    labels = np.zeros((size[1], size[0]), np.uint8)
    labels[8:30, 8:40] = value
    labels[:2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def make_masks(root: Path, count: int = 6) -> Path:
    """Write images and masks of two classes; return the folder."""
    for i in range(count):
        write_image(root / 'images' / f'{i}.jpg', i)
        write_mask(root / 'masks' / f'{i}.png', 1)
    return root
