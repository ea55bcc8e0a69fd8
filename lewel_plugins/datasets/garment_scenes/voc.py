"""Annotations of garment scenes in the layout of PASCAL VOC."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .scene_renderer import Scene
from .sources import CLASSES

ROOT = 'VOC2007'  # mmdet's VOCDataset derives the year, and with it the measure, from this name
TASKS = ('Main', 'Segmentation')
FOLDERS = [
    *(f'{ROOT}/{folder}' for folder in ('JPEGImages', 'Annotations', 'SegmentationClass')),
    *(f'{ROOT}/ImageSets/{task}' for task in TASKS),
]


def write_annotations(root: Path, name: str, scene: Scene, boxes: Sequence[Sequence[int]]) -> None:
    """Write the XML with the boxes of one scene, and the map of its classes as a PNG with a palette.

    Args:
        root: Folder that contains ``VOC2007``.
        name: Number of the scene.
        scene: The scene.
        boxes: Left, top, width and height of every garment.
    """
    _write_xml(root / ROOT / 'Annotations' / f'{name}.xml', name, scene, boxes)
    classes = np.zeros(scene.image.shape[:2], np.uint8)
    for label, mask in zip(scene.labels, scene.masks):
        classes[mask] = label + 1
    segmentation = Image.fromarray(classes).convert('P')
    segmentation.putpalette(palette().ravel().tolist())
    segmentation.save(root / ROOT / 'SegmentationClass' / f'{name}.png')


def _write_xml(path: Path, name: str, scene: Scene, boxes: Sequence[Sequence[int]]) -> None:
    root = ET.Element('annotation')
    ET.SubElement(root, 'folder').text = ROOT
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


def write_lists(root: Path, records: dict[str, list[dict[str, Any]]]) -> None:
    """Write the lists of the scenes of each split."""
    for task in TASKS:
        for split, items in records.items():
            names = ''.join(f'{item["name"]}\n' for item in items)
            (root / ROOT / 'ImageSets' / task / f'{split}.txt').write_text(names)


def palette() -> np.ndarray:
    """Return the (256, 3) uint8 colors of VOC's segmentation files: bits of the index, spread over RGB."""
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    colors = np.zeros((256, 3), np.int64)
    for bit in range(8):
        colors |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return colors.astype(np.uint8)
