"""A few images of every data set that the configs name, in the folders that the configs expect."""

import json
import pickle
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GARMENTS = ROOT / 'data' / 'fashion_mnist'
SIZE = (60, 80)
# Boxes x1, y1, x2, y2 in an image of that size. The classes exist in VOC and COCO.
OBJECTS = {'cat': (4, 6, 40, 50), 'person': (36, 10, 76, 56)}


def write_image(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def write_map(path: Path, classes: tuple[int, int]) -> None:
    """Write a map of classes, with the objects on class 0 and a border of 255."""
    labels = np.zeros(SIZE, np.uint8)
    for value, (x1, y1, x2, y2) in zip(classes, OBJECTS.values()):
        labels[y1:y2, x1:x2] = value
    labels[:2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def make_imagenet(root: Path, rng: np.random.Generator) -> None:
    """Write two images per class of ImageNet-100 to train/ and one to val/. Lists for mmpretrain name 8 of them."""
    listing = ROOT / 'configs' / '_base_' / 'datasets' / 'imagenet100.txt'
    wnids = [line for line in listing.read_text().split('\n') if line.startswith('n')]
    for split, count in (('train', 2), ('val', 1)):
        for wnid in wnids:
            for i in range(count):
                write_image(root / split / wnid / f'{i}.JPEG', rng)
        write_lines(root / 'meta' / f'{split}.txt', [f'{wnid}/0.JPEG {label}' for label, wnid in enumerate(wnids[:8])])


def make_cifar(root: Path, name: str, rng: np.random.Generator) -> None:
    is_10 = name == 'cifar10'
    folder = root / ('cifar-10-batches-py' if is_10 else 'cifar-100-python')
    folder.mkdir(parents=True)
    batch = {
        'data': rng.integers(0, 256, (8, 3072), dtype=np.uint8),
        'labels' if is_10 else 'fine_labels': list(range(8)),
    }
    for file in [f'data_batch_{i}' for i in range(1, 6)] + ['test_batch'] if is_10 else ['train', 'test']:
        (folder / file).write_bytes(pickle.dumps(batch))


def trust_cifar(monkeypatch: Any) -> None:
    """Make mmpretrain accept files without the checksums of the real ones."""
    from mmpretrain.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, '_check_integrity', lambda self: True)
    monkeypatch.setattr(CIFAR10, '_load_meta', lambda self: None)


def make_stl10(root: Path, rng: np.random.Generator) -> None:
    root.mkdir(parents=True)
    for split in ('train', 'test', 'unlabeled'):
        rng.integers(0, 256, (8, 3, 96, 96), dtype=np.uint8).tofile(root / f'{split}_X.bin')
        np.arange(1, 9, dtype=np.uint8).tofile(root / f'{split}_y.bin')


def make_inaturalist(root: Path, rng: np.random.Generator) -> None:
    for split in ('train', 'val'):
        names = [f'train_val2018/Aves/{i}/{split}.jpg' for i in range(4)]
        for name in names:
            write_image(root / name, rng)
        content = dict(
            images=[dict(id=i, file_name=name) for i, name in enumerate(names)],
            annotations=[dict(image_id=i, category_id=10 * i) for i in range(4)],
            categories=[dict(id=10 * i, name=f'bird {i}') for i in range(4)],
        )
        (root / f'{split}2018.json').write_text(json.dumps(content))


def make_places205(root: Path, rng: np.random.Generator) -> None:
    for split in ('train', 'val'):
        names = [f'{scene[0]}/{scene}/{split}.jpg' for scene in ('abbey', 'alley', 'bar', 'yard')]
        for name in names:
            write_image(root / 'images256' / name, rng)
        write_lines(root / f'{split}_places205.csv', [f'{name} {label}' for label, name in enumerate(names)])


def make_voc(root: Path, rng: np.random.Generator) -> None:
    """Write VOC2007 and VOC2012: two images per list, boxes, and maps of classes, also in SegmentationClassAug."""
    lists = {
        2007: dict(Main=('trainval', 'test')),
        2012: dict(Main=('trainval',), Segmentation=('train', 'aug', 'val')),
    }
    for year, kinds in lists.items():
        folder = root / f'VOC{year}'
        for kind, splits in kinds.items():
            for split in splits:
                names = [f'{year}_{kind}_{split}_{i}' for i in range(2)]
                write_lines(folder / 'ImageSets' / kind / f'{split}.txt', names)
                for name in names:
                    write_image(folder / 'JPEGImages' / f'{name}.jpg', rng)
                    if kind == 'Segmentation':
                        masks = 'SegmentationClassAug' if split == 'aug' else 'SegmentationClass'
                        write_map(folder / masks / f'{name}.png', (8, 15))
                    else:
                        _write_voc_boxes(folder / 'Annotations' / f'{name}.xml', name)


def _write_voc_boxes(path: Path, name: str) -> None:
    root = ET.Element('annotation')
    ET.SubElement(root, 'filename').text = f'{name}.jpg'
    size = ET.SubElement(root, 'size')
    for key, value in zip(('height', 'width', 'depth'), (*SIZE, 3)):
        ET.SubElement(size, key).text = str(value)
    for category, box in OBJECTS.items():
        element = ET.SubElement(root, 'object')
        ET.SubElement(element, 'name').text = category
        ET.SubElement(element, 'difficult').text = '0'
        corners = ET.SubElement(element, 'bndbox')
        for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box):
            ET.SubElement(corners, key).text = str(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path)


def make_coco(root: Path, rng: np.random.Generator) -> None:
    """Write two images each of train2017 and val2017, with boxes and polygons, and all 80 categories."""
    from mmdet.datasets import CocoDataset

    names = CocoDataset.METAINFO['classes']
    for split in ('train', 'val'):
        images, annotations = [], []
        for i in range(2):
            write_image(root / f'{split}2017' / f'{i:012}.jpg', rng)
            images.append(dict(id=i, file_name=f'{i:012}.jpg', height=SIZE[0], width=SIZE[1]))
            for name, (x1, y1, x2, y2) in OBJECTS.items():
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=i,
                        category_id=names.index(name) + 1,
                        bbox=[x1, y1, x2 - x1, y2 - y1],
                        area=(x2 - x1) * (y2 - y1),
                        segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]],
                        iscrowd=0,
                    )
                )
        categories = [dict(id=i + 1, name=name) for i, name in enumerate(names)]
        content = dict(images=images, annotations=annotations, categories=categories)
        path = root / 'annotations' / f'instances_{split}2017.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def make_cityscapes(root: Path, rng: np.random.Generator) -> None:
    for split in ('train', 'val'):
        for i in range(2):
            name = f'town/town_{i:06}_000019'
            write_image(root / 'leftImg8bit' / split / f'{name}_leftImg8bit.png', rng)
            write_map(root / 'gtFine' / split / f'{name}_gtFine_labelTrainIds.png', (11, 13))
