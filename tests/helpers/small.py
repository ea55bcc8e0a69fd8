"""The methods on a ResNet-10, large enough for bfloat16: models, views, and a training step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from helpers import tiny
from lewel_plugins import models  # noqa: F401
from lewel_plugins.seeding import seed_shared_generator

WIDTHS = dict(in_channels=128, hid_channels=128, out_channels=64)
# Algorithm → neck, settings, pixels of each view.
METHODS: dict[str, tuple[dict, dict, list[int]]] = {
    'LEWELB': (dict(type='LEWELNeck', num_groups=4), dict(hid_channels=128), [32, 32]),
    'LEWELM': (dict(type='LEWELNeck', num_groups=4), dict(queue_len=256), [32, 32]),
    'SMoG': (dict(type='ProjectionNeck', out_norm=True), dict(hid_channels=128, num_groups=20), [32, 32]),
    'MPCLMoCo': (dict(type='MultiProjectorNeck', mlp=dict(with_bn=False)), dict(queue_len=256), [32, 32]),
    'MPCLMoCoV3': (
        dict(type='MultiProjectorNeck', mlp=dict(with_last_bn=True)),
        dict(predictor=dict(hid_channels=128, with_last_bn=True)),
        [32, 32],
    ),
    'MPCLBarlowTwins': (dict(type='MultiProjectorNeck', mlp=dict(num_layers=3)), {}, [32, 32]),
    'MSBReg': (dict(type='ProjectionNeck'), dict(hid_channels=128), [32] * 4),
    'BYOLMultiCrop': (dict(type='ProjectionNeck'), dict(hid_channels=128), [32, 32, 16, 16]),
}


def build(method: str, **changes: object) -> BaseModel:
    """Return a model in training mode, the same in each call."""
    neck, settings, _ = METHODS[method]
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type=f'lewel_plugins.{method}',
            backbone=dict(type='lewel_plugins.ResNet10'),
            neck={**WIDTHS, **neck, 'type': f'lewel_plugins.{neck["type"]}'},
            data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
            **tiny.arguments(method, **{**settings, **changes}),
        )
    )
    model.train()
    return model


def views(method: str, batch: int = 16) -> list[Tensor]:
    """Return normalized views that have most of an image in common."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 8, 8, generator=generator)

    def view(size: int) -> Tensor:
        x = images + 0.5 * torch.randn(batch, 3, 8, 8, generator=generator)
        return F.interpolate(x, size=(size, size), mode='bilinear')

    return [view(size) for size in METHODS[method][2]]


def losses_of(model: BaseModel, inputs: list[Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return the losses of a step, under autocast if ``dtype`` is lower than float32; draws are the same each time."""
    device = inputs[0].device.type
    torch.manual_seed(1)
    seed_shared_generator(1)
    low = dtype in (torch.bfloat16, torch.float16)
    with torch.autocast(device, dtype if low else torch.bfloat16, enabled=low):
        return model.loss([x.contiguous(memory_format=torch.channels_last) for x in inputs], [])


def gradient_of(model: BaseModel, losses: dict[str, Tensor]) -> Tensor:
    """Return the gradient of the sum of the losses in all trainable parameters, as one vector in float64 on the CPU."""
    loss, _ = model.parse_losses(losses)
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.detach().double().cpu().flatten() for p in model.parameters() if p.requires_grad])
