"""Writes garment scenes as a class folder tree (``single``) or as COCO and VOC data (``multi``)."""

import json
import multiprocessing
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.progress import Progress

from .scenes import CLASSES, SPLITS, Scene, SceneConfig, SceneRenderer, load_garments, load_photographs

VERSION = 1  # raise it whenever the scenes or the files change
VOC = 'VOC2007'  # mmdet's VOCDataset takes the year, and with it the measure, from this name

_worker: tuple[SceneRenderer, Path] | None = None


def make_scenes(config: SceneConfig, garments: str | Path, out: str | Path, workers: int = 0) -> bool:
    """Write all scenes of ``config`` to the folder ``out``.

    The folder appears under its name only once it is complete. ``single`` writes
    ``{train,val}/<class>/<number>.jpg``, masks under ``{train,val}_masks/`` likewise (PNG, 0 or 255);
    ``multi`` writes ``VOC2007/`` and ``annotations/instances_{train,val}.json``; both write ``meta.json``.

    Args:
        config: What the scenes look like.
        garments: Folder with Fashion-MNIST's test files.
        out: Folder to make.
        workers: Number of processes, 0 for as many as there are cores.

    Returns:
        False if ``out`` already held exactly these scenes, True if they were made.

    Raises:
        FileExistsError: If ``out`` holds something else.
        FileNotFoundError: If the garments are not there.
    """
    out = Path(out)
    if workers < 0:
        raise ValueError(f'workers must be 0 (all cores) or more, got {workers}')
    images, labels = load_garments(garments)
    photographs = load_photographs()
    meta: dict[str, Any] = {
        'version': VERSION,
        'arguments': {**asdict(config), 'scale': list(config.scale)},
        'classes': list(CLASSES),
        'photographs': list(photographs),
    }
    if out.exists():
        _check_same(out, meta)
        return False

    renderer = SceneRenderer(config, images, labels, list(photographs.values()))
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f'.{out.name}.{os.getpid()}.unfinished')
    try:
        records = _render_all(renderer, unfinished, workers or _num_cores())
        if config.kind == 'multi':
            _write_coco(unfinished, config, records)
            _write_voc_lists(unfinished, records)
        meta['counts'] = {split: _count_classes(records[split]) for split in SPLITS}
        (unfinished / 'meta.json').write_text(json.dumps(meta, indent=2) + '\n')
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def _check_same(out: Path, meta: dict[str, Any]) -> None:
    try:
        found = json.loads((out / 'meta.json').read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{out} exists and holds no garment scenes (no meta.json); choose another folder'
        ) from None
    different = [key for key in meta if key != 'arguments' and found.get(key) != meta[key]]
    arguments = found.get('arguments', {})
    different += [
        f'{name} ({arguments.get(name)} there, {value} asked for)'
        for name, value in meta['arguments'].items()
        if arguments.get(name) != value
    ]
    if different:
        raise FileExistsError(
            f'{out} holds other garment scenes, they differ in: {", ".join(different)}. '
            'Remove that folder or choose another one'
        )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _render_all(renderer: SceneRenderer, root: Path, workers: int) -> dict[str, list[dict[str, Any]]]:
    """Write the image files; the rest of what is known of each scene comes back, in order."""
    config = renderer.config
    for folder in _folders(config.kind):
        (root / folder).mkdir(parents=True)
    tasks = [(split, index) for split in SPLITS for index in range(config.num_scenes(split))]
    records: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    with _map(workers, renderer, root) as mapped, Progress(transient=True) as progress:
        bar = progress.add_task(f'{config.kind} garment scenes', total=len(tasks))
        for (split, _), record in zip(tasks, mapped(tasks)):
            records[split].append(record)
            progress.advance(bar)
    return records


@contextmanager
def _map(workers: int, renderer: SceneRenderer, root: Path) -> Iterator[Any]:
    """An ordered lazy ``map`` of :func:`_write_scene` over this process or over several."""
    if workers == 1:
        _start_worker(renderer, root)
        yield lambda tasks: map(_write_scene, tasks)
        return
    with multiprocessing.Pool(workers, _start_worker, (renderer, root)) as pool:
        yield lambda tasks: pool.imap(_write_scene, tasks, chunksize=64)


def _start_worker(renderer: SceneRenderer, root: Path) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = (renderer, root)


def _write_scene(task: tuple[str, int]) -> dict[str, Any]:
    assert _worker is not None
    renderer, root = _worker
    split, index = task
    config = renderer.config
    scene = renderer.render(split, index)
    if config.kind == 'single':
        return _write_single(scene, root, split, index, config.quality)
    number = index + (config.num_train if split == 'val' else 0)
    return _write_multi(scene, root, f'{number:06d}', config.quality)


def _folders(kind: str) -> list[str]:
    if kind == 'single':
        return [f'{split}{suffix}/{name}' for split in SPLITS for suffix in ('', '_masks') for name in CLASSES]
    voc = ('JPEGImages', 'Annotations', 'SegmentationClass', 'ImageSets/Main', 'ImageSets/Segmentation')
    return ['annotations', *(f'{VOC}/{folder}' for folder in voc)]


def _write_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    _write_bytes(path, '.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])


def _write_bytes(path: Path, suffix: str, image: np.ndarray, options: list[int]) -> None:
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise OSError(f'{path} could not be encoded')
    path.write_bytes(data.tobytes())


def _write_single(scene: Scene, root: Path, split: str, index: int, quality: int) -> dict[str, Any]:
    name = f'{CLASSES[scene.labels[0]]}/{index:05d}'
    _write_jpeg(root / split / f'{name}.jpg', scene.image, quality)
    _write_bytes(root / f'{split}_masks' / f'{name}.png', '.png', scene.masks[0].astype(np.uint8) * 255, [])
    return {'labels': scene.labels}


def _write_multi(scene: Scene, root: Path, name: str, quality: int) -> dict[str, Any]:
    """JPEG, VOC's XML and palette PNG of one scene; returns what COCO's json needs."""
    voc = root / VOC
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in scene.masks]
    _write_jpeg(voc / 'JPEGImages' / f'{name}.jpg', scene.image, quality)
    _write_voc_xml(voc / 'Annotations' / f'{name}.xml', name, scene, boxes)
    classes = np.zeros(scene.image.shape[:2], np.uint8)
    for label, mask in zip(scene.labels, scene.masks):
        classes[mask] = label + 1
    segmentation = Image.fromarray(classes).convert('P')
    segmentation.putpalette(voc_palette().ravel().tolist())
    segmentation.save(voc / 'SegmentationClass' / f'{name}.png')
    return {
        'name': name,
        'labels': scene.labels,
        'boxes': [list(box) for box in boxes],
        'areas': [int(mask.sum()) for mask in scene.masks],
        'segmentations': [encode_rle(mask) for mask in scene.masks],
    }


def _write_voc_xml(path: Path, name: str, scene: Scene, boxes: list[Any]) -> None:
    root = ET.Element('annotation')
    ET.SubElement(root, 'folder').text = VOC
    ET.SubElement(root, 'filename').text = f'{name}.jpg'
    size = ET.SubElement(root, 'size')
    for key, value in zip(('height', 'width', 'depth'), scene.image.shape):
        ET.SubElement(size, key).text = str(value)
    ET.SubElement(root, 'segmented').text = '1'
    for label, (x, y, w, h) in zip(scene.labels, boxes):
        item = ET.SubElement(root, 'object')
        ET.SubElement(item, 'name').text = CLASSES[label]
        ET.SubElement(item, 'difficult').text = '0'
        box = ET.SubElement(item, 'bndbox')
        # VOC counts pixels from 1 and includes the last one.
        for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), (x + 1, y + 1, x + w, y + h)):
            ET.SubElement(box, key).text = str(value)
    ET.indent(root)
    ET.ElementTree(root).write(path)


def _write_voc_lists(root: Path, records: dict[str, list[dict[str, Any]]]) -> None:
    for task in ('Main', 'Segmentation'):
        for split, items in records.items():
            names = ''.join(f'{item["name"]}\n' for item in items)
            (root / VOC / 'ImageSets' / task / f'{split}.txt').write_text(names)


def _write_coco(root: Path, config: SceneConfig, records: dict[str, list[dict[str, Any]]]) -> None:
    categories = [{'id': i, 'name': name, 'supercategory': 'garment'} for i, name in enumerate(CLASSES, 1)]
    for split, items in records.items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for item in items:
            image_id = int(item['name'])
            file_name = f'{item["name"]}.jpg'
            images.append({'id': image_id, 'file_name': file_name, 'height': config.size, 'width': config.size})
            for label, box, area, rle in zip(item['labels'], item['boxes'], item['areas'], item['segmentations']):
                annotations.append(
                    {
                        'id': len(annotations) + 1,
                        'image_id': image_id,
                        'category_id': label + 1,
                        'bbox': box,
                        'area': area,
                        'iscrowd': 0,
                        'segmentation': rle,
                    }
                )
        content = {'images': images, 'annotations': annotations, 'categories': categories}
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def _count_classes(records: list[dict[str, Any]]) -> dict[str, int]:
    labels = [label for record in records for label in record['labels']]
    return {name: labels.count(i) for i, name in enumerate(CLASSES)}


def encode_rle(mask: np.ndarray) -> dict[str, list[int]]:
    """COCO's uncompressed run lengths of a bool mask (H, W): column by column, zeros first."""
    flat = mask.ravel(order='F')
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {'size': list(mask.shape), 'counts': [0, *counts] if flat[0] else counts}


def voc_palette() -> np.ndarray:
    """The (256, 3) uint8 colours of PASCAL VOC's segmentation files: bits of the index, spread over RGB."""
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    palette = np.zeros((256, 3), np.int64)
    for bit in range(8):
        palette |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return palette.astype(np.uint8)
