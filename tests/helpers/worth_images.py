"""Tiny labeled images, and a small network, for tests of ``lewel worth``."""

import numpy as np
from mmengine.config import Config
from PIL import Image

COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
CONFIG = Config(
    dict(
        default_scope='mmpretrain',
        model=dict(
            type='lewel_plugins.PretrainedClassifier',
            checkpoint=None,
            backbone=dict(type='lewel_plugins.ResNet10'),
            head=dict(type='LinearClsHead', num_classes=3),
        ),
        data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
    )
)


def write_classes(folder, count=12):
    """Write one folder per class, of images whose color is that of the class, with coarse noise unlike others."""
    rng = np.random.default_rng(0)
    for label, color in enumerate(COLORS):
        for i in range(count):
            path = folder / f'class{label}' / f'{i:02d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            tiles = np.array(color) + rng.integers(-120, 120, (8, 9, 1))
            image = Image.fromarray(tiles.clip(0, 255).astype(np.uint8)).resize((36, 32), Image.Resampling.NEAREST)
            image.save(path)
    return folder
