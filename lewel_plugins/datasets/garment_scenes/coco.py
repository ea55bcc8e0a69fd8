"""Annotations of garment scenes in the layout of COCO."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from .scene_config import SceneConfig
from .sources import CLASSES


def write_annotations(root: Path, config: SceneConfig, records: dict[str, list[dict[str, Any]]]) -> None:
    """Write ``annotations/instances_{split}.json`` with boxes, areas and segmentations of all garments."""
    categories = [{'id': i, 'name': name, 'supercategory': 'garment'} for i, name in enumerate(CLASSES, 1)]
    for split, items in records.items():
        images = [
            {
                'id': int(item['name']),
                'file_name': f'{item["name"]}.jpg',
                'height': config.size,
                'width': config.size,
            }
            for item in items
        ]
        annotations = [annotation for item in items for annotation in _annotations(item)]
        for i, annotation in enumerate(annotations, 1):
            annotation['id'] = i
        content = {'images': images, 'annotations': annotations, 'categories': categories}
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def _annotations(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations of one scene, with ids to be set."""
    return [
        {
            'id': 0,
            'image_id': int(item['name']),
            'category_id': label + 1,
            'bbox': box,
            'area': area,
            'iscrowd': 0,
            'segmentation': rle,
        }
        for label, box, area, rle in zip(item['labels'], item['boxes'], item['areas'], item['segmentations'])
    ]


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Return COCO's uncompressed run lengths of a bool mask (H, W): column by column, zeros first."""
    flat = mask.ravel(order='F')
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {'size': list(mask.shape), 'counts': [0, *counts] if flat[0] else counts}
