"""mmpretrain's MoCo, MoCoV3 and BarlowTwins with the weights of an MPCL model with M = 1."""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from mmpretrain.models.selfsup import BarlowTwins, MoCo, MoCoV3
from torch import nn

from helpers import tiny_mpcl, twins
from lewel_plugins.models.necks.parallel_mlps import ParallelMLPs

VIT = dict(
    type='mmpretrain.MoCoV3ViT',
    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=24),
    img_size=8,
    patch_size=4,
    stop_grad_conv1=True,
)
RESNET = dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16)
PREPROCESSOR = dict(type='mmpretrain.SelfSupDataPreprocessor')


def _config_of(mlps: ParallelMLPs, pool: bool) -> dict:
    """Return the config of the same MLP in mmpretrain."""
    last = getattr(mlps, f'fc{mlps.num_layers - 1}')
    sizes = dict(
        in_channels=mlps.fc0.weight.shape[2],
        hid_channels=mlps.fc0.weight.shape[1],
        out_channels=last.weight.shape[1],
        with_avg_pool=pool,
    )
    if not hasattr(mlps, 'bn0'):
        return dict(type='mmpretrain.MoCoV2Neck', **sizes)
    return dict(
        type='mmpretrain.NonLinearNeck',
        num_layers=mlps.num_layers,
        with_bias=False,
        with_last_bn=hasattr(mlps, f'bn{mlps.num_layers - 1}'),
        with_last_bn_affine=False,
        norm_cfg=dict(type='BN1d'),
        **sizes,
    )


def twin_of(model: tiny_mpcl.MPCL) -> nn.Module:
    """Return mmpretrain's model with the weights and the queue of ``model``; a first step sets both teachers."""
    pool = not hasattr(model.backbone, 'patch_embed')
    parts = dict(
        backbone=deepcopy(model.backbone), neck=_config_of(model.neck.mlps, pool), data_preprocessor=PREPROCESSOR
    )
    pairs = [(model.backbone, 'backbone'), (model.neck, 'neck')]
    if hasattr(model, 'queue'):
        _, d, length = model.queue.keys.shape
        head = dict(
            type='mmpretrain.ContrastiveHead',
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
            temperature=model.head.temperature,
        )
        twin = MoCo(head=head, queue_len=length, feat_dim=d, momentum=model.teacher.base_momentum, **parts)
    elif hasattr(model.head, 'predictor'):
        head = dict(
            type='mmpretrain.MoCoV3Head',
            predictor=_config_of(model.head.predictor, pool=False),
            loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=2 * model.head.temperature),
            temperature=model.head.temperature,
        )
        twin = MoCoV3(head=head, base_momentum=model.teacher.base_momentum, **parts)
        pairs.append((model.head.predictor, 'head.predictor'))
    else:
        loss = dict(type='mmpretrain.CrossCorrelationLoss', lambd=model.head.redundancy_weight)
        head = dict(type='mmpretrain.LatentCrossCorrelationHead', in_channels=model.neck.out_channels, loss=loss)
        twin = BarlowTwins(head=head, **parts)
    twin.double()
    twins._copy([(module, twin.get_submodule(name)) for module, name in pairs])
    if hasattr(model, 'queue'):
        twin.queue.copy_(F.normalize(model.queue.keys[0], dim=0))
        model.queue.keys.copy_(twin.queue)
    return twin


def walk(method: str, backbone: dict | None, steps: int, size: int = 6, **changes: object) -> dict[str, float]:
    """Train a model with M = 1 and its twin for ``steps`` optimizer steps and return the largest differences."""
    torch.manual_seed(0)
    if backbone is None:
        model = tiny_mpcl.build(method, neck=dict(num_projectors=1, **changes))
    else:
        width = 16 if backbone is VIT else 128
        neck = dict(in_channels=width, hid_channels=24, out_channels=12, num_projectors=1, **changes)
        model = tiny_mpcl.CLASSES[method](**tiny_mpcl.config(method, backbone=backbone, neck=neck))
        model.init_weights()
        model.double()
    return twins.walk_together(model, twin_of(model), steps, size)
