"""mmpretrain's own BYOL and MoCo on the weights of a LEWEL model with β = 0: what the identities compare with."""

from __future__ import annotations

import tiny
import torch
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup import BYOL, MoCo
from mmpretrain.utils import register_all_modules
from torch import Tensor, nn

from lewel_plugins.models import LEWELB, LEWELM

register_all_modules(init_default_scope=False)


def _mlp_config(in_channels: int, out_channels: int, pool: bool) -> dict:
    return dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=in_channels,
        hid_channels=tiny.HIDDEN,
        out_channels=out_channels,
        with_bias=False,
        with_last_bn=False,
        with_avg_pool=pool,
        norm_cfg=dict(type='BN1d'),
    )


def _copy(pairs: list[tuple[nn.Module, nn.Module]]) -> None:
    for source, target in pairs:
        for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
            theirs.data.copy_(ours.data)


def byol(model: LEWELB, max_iters: int) -> BYOL:
    """BYOL with the online weights of ``model``; its first step copies them to its target."""
    MessageHub.get_current_instance().update_info('max_iters', max_iters)
    twin = BYOL(
        backbone=tiny.backbone_config(),
        neck=_mlp_config(tiny.WIDTH, tiny.EMBEDDING, pool=True),
        head=dict(
            type='mmpretrain.LatentPredictHead',
            loss=dict(type='mmpretrain.CosineSimilarityLoss', shift_factor=1.0),  # 1 - cos: the paper's constant
            predictor=_mlp_config(tiny.EMBEDDING, tiny.EMBEDDING, pool=False),
        ),
        base_momentum=model.teacher.base_momentum,
        data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
    ).double()
    _copy([(model.backbone, twin.backbone), (model.neck.g, twin.neck), (model.q, twin.head.predictor)])
    return twin


def moco(model: LEWELM) -> MoCo:
    """MoCo with the online weights and the queue of ``model``; its first step copies the weights to its key encoder."""
    twin = MoCo(
        backbone=tiny.backbone_config(),
        neck=_mlp_config(tiny.WIDTH, tiny.EMBEDDING, pool=True),
        head=dict(
            type='mmpretrain.ContrastiveHead',
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
            temperature=model.temperature,
        ),
        queue_len=model.queue.keys.shape[1],
        feat_dim=tiny.EMBEDDING,
        momentum=model.teacher.base_momentum,
        data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
    ).double()
    _copy([(model.backbone, twin.backbone), (model.neck.g, twin.neck)])
    twin.queue.copy_(model.queue.keys)
    return twin


def online(model: LEWELB | LEWELM) -> list[Tensor]:
    """Parameters of ``model`` that its twin has too, in the twin's order (backbone, neck, predictor)."""
    modules = [model.backbone, model.neck.g] + ([model.q] if isinstance(model, LEWELB) else [])
    return [p for module in modules for p in module.parameters()]


def teacher(model: LEWELB | LEWELM) -> list[Tensor]:
    """The teacher's parameters that the twin has too."""
    networks = model.teacher.module
    return [*networks.backbone.parameters(), *networks.neck.g.parameters()]


def twin_online(twin: BYOL | MoCo) -> list[Tensor]:
    return [p for p in twin.parameters() if p.requires_grad]


def twin_teacher(twin: BYOL | MoCo) -> list[Tensor]:
    return list((twin.target_net if isinstance(twin, BYOL) else twin.encoder_k).module.parameters())


def walk_together(model: LEWELB | LEWELM, twin: BYOL | MoCo, steps: int) -> dict[str, float]:
    """Largest differences over ``steps`` optimizer steps of both: loss, gradients, parameters, teacher, queue.

    mmpretrain's ``CosineEMA`` computes its momentum in torch's default type; in float32 it is off by 1e-8.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return _walk(model, twin, steps)
    finally:
        torch.set_default_dtype(default)


def _walk(model: LEWELB | LEWELM, twin: BYOL | MoCo, steps: int) -> dict[str, float]:
    optimizers = [torch.optim.SGD(ps, lr=0.1, momentum=0.9) for ps in (online(model), twin_online(twin))]
    model.start_training()
    worst = dict.fromkeys(('loss', 'gradient', 'parameter', 'teacher', 'queue'), 0.0)

    def note(name: str, ours: list[Tensor], theirs: list[Tensor]) -> None:
        for a, b in zip(ours, theirs, strict=True):
            worst[name] = max(worst[name], (a.detach() - b.detach()).abs().max().item())

    for step in range(steps):
        views = tiny.images(seed=step)
        losses = [sum(m.loss(views, []).values()) for m in (model, twin)]
        note('teacher', teacher(model), twin_teacher(twin))  # mmpretrain updates it inside the loss
        for optimizer, loss in zip(optimizers, losses):
            optimizer.zero_grad()
            loss.backward()
        note('loss', losses[:1], losses[1:])
        note('gradient', [p.grad for p in online(model)], [p.grad for p in twin_online(twin)])
        for optimizer in optimizers:
            optimizer.step()
        model.momentum_update((step + 1) / steps)
        note('parameter', online(model), twin_online(twin))
        if isinstance(model, LEWELM):
            note('queue', [model.queue.keys], [twin.queue])
    return worst
