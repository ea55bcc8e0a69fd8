"""Scenes to experiment on, and fresh ones: their garments are in no scene that an experiment can see."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes
from lewel_plugins.files import write_text

GARMENTS = Path(__file__).resolve().parents[3] / 'data/fashion_mnist'
UNLABELED, LABELED, SUPERVISED = 2000, 1200, 4000  # scenes of `single`: the labeled are among the first
MULTI, MASKS = 800, 160  # scenes of `multi`
FRESH, FRESH_MASKS = 4000, 600
FRESH_GARMENTS = 2000  # that the generator holds out for validation, whatever its seed
IGNORED = 255


def make(work: Path) -> None:
    """Make all scenes, lists and labels in a folder, if they are not there."""
    multi = SceneConfig(kind='multi', size=64, scale=(0.25, 0.6), clutter=0.5)
    configs = (
        SceneConfig(num_train=UNLABELED + SUPERVISED, num_val=1),
        SceneConfig(num_train=1, num_val=FRESH, seed=1),
        replace(multi, num_train=MULTI, num_val=1),
        replace(multi, num_train=1, num_val=FRESH_MASKS, seed=1),
    )
    for config, name in zip(configs, ('single', 'single_fresh', 'multi', 'multi_fresh')):
        make_scenes(config, GARMENTS, work / name)
    scenes = [os.path.relpath(path, work) for path in single_scenes(work / 'single/train')]
    write_text(work / 'images.txt', ''.join(f'{path}\n' for path in scenes[:UNLABELED]))
    rows = [f'{path},{Path(path).parent.name}\n' for path in scenes[:LABELED]]
    write_text(work / 'labels.csv', ''.join(['path,label\n', *rows]))
    _write_masks(work / 'multi', range(MASKS))
    _write_masks(work / 'multi_fresh', range(1, FRESH_MASKS + 1))  # scene 0 is that of the training part
    labeled = [f'multi/garments/images/{i:06d}.jpg\n' for i in range(MASKS)]
    others = [f'multi/VOC2007/JPEGImages/{i:06d}.jpg\n' for i in range(MASKS, MULTI)]
    write_text(work / 'multi.txt', ''.join(others + labeled))


def single_scenes(folder: Path) -> list[Path]:
    """Return the scenes in a tree of classes, in the order of their numbers."""
    return sorted(folder.rglob('*.jpg'), key=lambda path: path.name)


def _write_masks(scenes: Path, numbers: range) -> None:
    """Write images and masks of one class, garment, from scenes with ten."""
    folder = scenes / 'garments'
    if (folder / 'classes.txt').is_file():
        return
    for name in ('images', 'masks'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        name = f'{number:06d}'
        with Image.open(scenes / f'VOC2007/SegmentationClass/{name}.png') as file:
            classes = np.array(file)
        mask = np.where(classes == IGNORED, IGNORED, classes > 0).astype(np.uint8)
        Image.fromarray(mask).save(folder / f'masks/{name}.png')
        (folder / f'images/{name}.jpg').write_bytes((scenes / f'VOC2007/JPEGImages/{name}.jpg').read_bytes())
    write_text(folder / 'classes.txt', 'background\ngarment\n')
