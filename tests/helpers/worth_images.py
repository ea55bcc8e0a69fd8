"""Tiny labeled images, and a small network, for tests of ``lewel worth``."""

import json

import numpy as np
from mmengine.config import Config
from PIL import Image

from lewel_plugins.api.preparation import Options, prepare
from lewel_plugins.payoff.networks import write_random_network
from lewel_plugins.planning.compose import Images

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


def write_run(folder, photos, images, start=None, size=32, backbone='resnet10'):
    """Write what worth reads of a finished pretraining on some images, which may have started from weights."""
    options = Options.of(photos, (), 0, start, backbone=backbone, image_size=size, epochs=1, workers=0)
    preparation = prepare(options, say=lambda text: None)
    inner = dict(type='lewel_plugins.ImageList', list_file='{{ fileDirname }}/images.txt', data_root=str(photos))
    config = preparation.config(Images(inner), '{{ fileDirname }}/start/weights.pth')
    write_random_network(preparation.config(Images(inner)) if start is None else CONFIG, 9, folder / 'epoch_1.pth')
    if start is not None:
        preparation.weights.write(folder / 'start' / 'weights.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
    (folder / 'images.txt').write_text(''.join(f'{image}\n' for image in images))
    plan = dict(request=options.shaping(), plan=preparation.plan.as_dict())
    (folder / 'plan.json').write_text(json.dumps(plan))
    (folder / 'config.py').write_text(config.pretty_text)
    (folder / 'finished.json').write_text('{}')
    return folder
