"""mmpretrain's BYOL and MoCo with the weights of one of our models, to which the identity tests compare it."""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup import BYOL, MoCo
from mmpretrain.utils import register_all_modules
from torch import Tensor, nn

from helpers import tiny
from lewel_plugins.models import LEWELB, LEWELM, MLP, BYOLMultiCrop, MSBReg
from lewel_plugins.seeding import seed_shared_generator

OverBYOL = LEWELB | MSBReg | BYOLMultiCrop

register_all_modules(init_default_scope=False)


def _config_of(mlp: MLP, pool: bool) -> dict:
    """Return the config of the same MLP in mmpretrain."""
    return dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=mlp[0].in_features,
        hid_channels=mlp[0].out_features,
        out_channels=mlp[3].out_features,
        with_bias=False,
        with_last_bn=False,
        with_avg_pool=pool,
        norm_cfg=dict(type='BN1d'),
    )


def _copy(pairs: list[tuple[nn.Module, nn.Module]]) -> None:
    for source, target in pairs:
        for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
            theirs.data.copy_(ours.data.view_as(theirs))


def _predictor(model: OverBYOL) -> MLP:
    return model.head.q if isinstance(model, LEWELB) else model.head.predictor


def byol(model: OverBYOL) -> BYOL:
    """Return BYOL with the online weights of ``model``; its first step copies them to its target."""
    twin = BYOL(
        backbone=deepcopy(model.backbone),
        neck=_config_of(model.neck.g, pool=True),
        head=dict(
            type='mmpretrain.LatentPredictHead',
            loss=dict(type='mmpretrain.CosineSimilarityLoss', shift_factor=1.0),  # 1 - cos, as in the paper
            predictor=_config_of(_predictor(model), pool=False),
        ),
        base_momentum=model.teacher.base_momentum,
        data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
    ).double()
    _copy([(model.backbone, twin.backbone), (model.neck.g, twin.neck), (_predictor(model), twin.head.predictor)])
    return twin


def moco(model: LEWELM) -> MoCo:
    """Return MoCo with the weights and the queue of ``model``; its first step copies the weights to its key encoder."""
    twin = MoCo(
        backbone=deepcopy(model.backbone),
        neck=_config_of(model.neck.g, pool=True),
        head=dict(
            type='mmpretrain.ContrastiveHead',
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
            temperature=model.head.temperature,
        ),
        queue_len=model.queue.keys.shape[1],
        feat_dim=model.neck.out_channels,
        momentum=model.teacher.base_momentum,
        data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
    ).double()
    _copy([(model.backbone, twin.backbone), (model.neck.g, twin.neck)])
    unit_keys = F.normalize(model.queue.keys, dim=0)  # MoCo expects unit keys; in float32 they are unit to 1e-8
    for queue in (model.queue.keys, twin.queue):
        queue.copy_(unit_keys)
    return twin


def online(model: nn.Module) -> list[Tensor]:
    """Return the parameters that the twin has too, in the order of the twin (backbone, neck, predictor)."""
    predictors = [getattr(model.head, name) for name in ('q', 'predictor') if hasattr(model.head, name)]
    modules = [model.backbone, getattr(model.neck, 'g', model.neck), *predictors]
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def teacher(model: nn.Module) -> list[Tensor]:
    """Return the parameters of the teacher that the twin has too; none without a teacher."""
    if not hasattr(model, 'teacher'):
        return []
    networks = model.teacher.module
    return [*networks.backbone.parameters(), *getattr(networks.neck, 'g', networks.neck).parameters()]


def twin_online(twin: nn.Module) -> list[Tensor]:
    return [p for p in twin.parameters() if p.requires_grad]


def twin_teacher(twin: nn.Module) -> list[Tensor]:
    names = ('target_net', 'encoder_k', 'momentum_encoder')
    return [p for name in names if hasattr(twin, name) for p in getattr(twin, name).module.parameters()]


def walk_together(model: nn.Module, twin: nn.Module, steps: int, size: int = 6, scale: float = 1) -> dict[str, float]:
    """Train both for ``steps`` optimizer steps and return the largest differences of each quantity.

    The loss of ``model`` is multiplied by ``scale``. The default type is float64 meanwhile, because ``CosineEMA`` of
    mmpretrain computes its momentum in that type; in float32 it is off by 1e-8.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        MessageHub.get_current_instance().update_info('max_iters', steps)
        return _walk(model, twin, steps, size, scale)
    finally:
        torch.set_default_dtype(default)


def _losses(model: nn.Module, views: list[Tensor], step: int) -> dict[str, Tensor]:
    seed_shared_generator(step)
    return model(views, [], mode='loss')  # through forward, because hooks add losses to its output


def _walk(model: nn.Module, twin: nn.Module, steps: int, size: int, scale: float) -> dict[str, float]:
    optimizers = [torch.optim.SGD(ps, lr=0.1, momentum=0.9) for ps in (online(model), twin_online(twin))]
    model.before_training()
    worst = dict.fromkeys(('loss', 'gradient', 'parameter', 'teacher', 'queue'), 0.0)

    def compare(name: str, ours: list[Tensor], theirs: list[Tensor]) -> None:
        for a, b in zip(ours, theirs, strict=True):
            worst[name] = max(worst[name], (a.detach() - b.detach()).abs().max().item())

    for step in range(steps):
        views = tiny.images(seed=step, size=size)
        losses = [s * sum(_losses(m, views, step).values()) for m, s in ((model, scale), (twin, 1))]
        compare('teacher', teacher(model), twin_teacher(twin))  # mmpretrain updates its teacher inside the loss
        for optimizer, loss in zip(optimizers, losses):
            optimizer.zero_grad()
            loss.backward()
        compare('loss', losses[:1], losses[1:])
        compare('gradient', [p.grad for p in online(model)], [p.grad for p in twin_online(twin)])
        for optimizer in optimizers:
            optimizer.step()
        model.after_optimizer_step((step + 1) / steps)
        compare('parameter', online(model), twin_online(twin))
        if hasattr(model, 'queue'):
            compare('queue', [model.queue.keys], [twin.queue])
    return worst


def on_resnet(method: str, steps: int) -> dict[str, float]:
    """Call :func:`walk_together` on a ResNet-18 with 4 images of 32 px and the initialization of mmpretrain."""
    torch.manual_seed(0)
    backbone = dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16)
    neck = tiny.neck_config(in_channels=128, hid_channels=64, out_channels=32, coupled=False)
    if method == 'lewel_b':
        settings = tiny.arguments('LEWELB', hid_channels=64, beta=0.0, momentum=0.02, teacher_norm='train')
        model = LEWELB(backbone, neck, **settings)
    else:
        model = LEWELM(backbone, neck, **tiny.arguments('LEWELM', beta=0.0, queue_len=64))
    model.init_weights()
    model.double()
    twin = byol(model) if isinstance(model, LEWELB) else moco(model)
    return walk_together(model, twin, steps, size=32)
