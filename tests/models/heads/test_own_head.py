"""A head of a few lines outside the package trains LEWEL_B by config alone."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from helpers.tool_runs import ROOT, TRAIN, run
from PIL import Image

from lewel_plugins.checkpoints import read_tensors

HEAD = """
import torch.nn.functional as F
from lewel_plugins.registry import MODELS
from torch import nn


@MODELS.register_module()
class SmoothHead(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.predictor = nn.Linear(in_channels, in_channels)

    def loss(self, online, target):
        (z1, _), (z2, _) = online
        (z1_t, _), (z2_t, _) = target
        loss = F.smooth_l1_loss(self.predictor(z1), z2_t) + F.smooth_l1_loss(self.predictor(z2), z1_t)
        return dict(loss_smooth=loss)
"""
RECIPE = """
_base_ = ['{configs}/lewel/lewel-b_resnet18_1xb256-lars-coslr-200e_image-folder.py']
custom_imports = dict(imports=['smooth_head'])
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=16, out_channels=8),
    head=dict(_delete_=True, type='lewel_plugins.SmoothHead'),
)
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(data_root='images'))
)
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2)
param_scheduler = []
default_hooks = dict(checkpoint=dict(interval=1, by_epoch=False), logger=dict(interval=1))
log_processor = dict(window_size=1, by_epoch=False)
"""


def write_images(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f'{i}.png')


def losses(work_dir: Path) -> list[dict[str, float]]:
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [{key: value for key, value in entry.items() if 'loss' in key} for entry in entries if 'loss' in entry]


def test_a_head_outside_the_package_trains_by_config_alone(tmp_path):
    write_images(tmp_path / 'images')
    (tmp_path / 'smooth_head.py').write_text(HEAD)
    (tmp_path / 'recipe.py').write_text(RECIPE.format(configs=ROOT / 'configs'))
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = run(sys.executable, TRAIN, 'recipe.py', '--work-dir', 'run', cwd=tmp_path, PYTHONPATH=paths)
    assert result.returncode == 0, result.stdout
    logged = losses(tmp_path / 'run')
    assert len(logged) == 2 and all(entry.keys() == {'loss', 'loss_smooth'} for entry in logged)
    first, second = (read_tensors(tmp_path / 'run' / f'iter_{i}.pth')['state_dict'] for i in (1, 2))
    assert {name for name in first if name.startswith('head.')} == {'head.predictor.weight', 'head.predictor.bias'}
    assert first['head.predictor.weight'].shape == (8, 8)  # the width of the neck
    assert not torch.equal(first['head.predictor.weight'], second['head.predictor.weight'])
    assert not torch.equal(first['backbone.conv1.weight'], second['backbone.conv1.weight'])
