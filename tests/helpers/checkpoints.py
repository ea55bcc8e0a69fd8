from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
BACKBONES = {
    'resnet18': dict(type='ResNet', depth=18),
    'resnet10': dict(type='lewel_plugins.ResNet10'),
}


def save(path: Path, state: dict[str, Tensor], cfg: str = '', **meta: object) -> Path:
    """Write a checkpoint as mmengine does; return its path."""
    torch.save(dict(meta=dict(cfg=cfg, **meta), state_dict=state), path)
    return path


def make_run(folder: Path, backbone: str = 'resnet18', epoch: int = 1) -> Path:
    """Write the last checkpoint of a run; return the run's folder."""
    head = dict(type='LinearClsHead', num_classes=4, in_channels=512)
    model = dict(
        type='ImageClassifier', backbone=BACKBONES[backbone], neck=dict(type='GlobalAveragePooling'), head=head
    )
    cfg = Config(dict(default_scope='mmpretrain', model=model, data_preprocessor=RGB))
    torch.manual_seed(epoch)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(cfg.model)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=network.state_dict(), meta=dict(cfg=cfg.pretty_text)), folder / f'epoch_{epoch}.pth')
    (folder / 'last_checkpoint').write_text(f'/elsewhere/epoch_{epoch}.pth')
    return folder
