"""Precision of the difference between aligned embeddings of an image under autocast, and its cost in a step.

Alignment maps are nearly uniform, so the aligned embeddings z_k of an image are nearly equal: "share" is the norm of
z_k − mean over k relative to that of z_k. "apart" is the neck as it is: y − GAP in autocast's type goes through
pooling and p beside GAP, with sums, BN and ReLU in float32, and likewise through the predictor s. "together" is the
path of float32 under autocast, where y, p and s round all of y. "float32" pools and projects in float32. "z" is the
error of z_k − mean, relative to float32 without autocast, and the other columns are the error of gradients of a
random weighted sum of it: in the layers of p, in the first of g, and in F. F is the last feature map of an untrained
ResNet-50 on smooth noise of 224 px, rounded to the type of autocast for all. The time is that of a whole step of
LEWEL_B's recipe in bfloat16 over that with "together", the median of paired ratios; on a CPU it is processor time.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.models import LEWELNeck, LEWELPredictHead
from lewel_plugins.models.heads import lewel_predict_head
from lewel_plugins.models.necks import lewel_neck

from . import options
from .clock import alternate, median_ratio
from .passes import full_step
from .recipes import CONFIGS, METHODS, build, prepare, random_views
from .report import Report

TYPES = dict(bfloat16=torch.bfloat16, float16=torch.float16)
GRADIENTS = ('p, first', 'p, second', 'g, first', 'F')
COLUMNS = ('neck of', 'autocast', 'path', 'share', 'z', *GRADIENTS, 'step')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py aligned``."""
    options.add_choices(parser, '--methods', ('LEWEL_B', 'LEWEL_M'), ('LEWEL_B', 'LEWEL_M'))
    options.add_choices(parser, '--types', TYPES, TYPES)
    parser.add_argument('--images', type=int, default=16, help='images for the errors (default: 16)')
    options.add_setting(parser, '50:224:8')
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per method, type and path."""
    prepare(args.threads)
    report = Report('Precision of aligned embeddings under autocast', *COLUMNS)
    times = step_times(args) if args.repeats else {}
    features = feature_map(args.images, args.device)
    for method in args.methods:
        torch.manual_seed(0)
        neck = MODELS.build(Config.fromfile(str(CONFIGS / METHODS[method])).model.neck).to(args.device).train()
        for name in args.types:
            for row in errors(neck, features, TYPES[name]):
                timed = method == 'LEWEL_B' and name == 'bfloat16' and bool(times)
                step = median_ratio(times[row['path']], times['together']) if timed else None
                seconds = median(times[row['path']]) if timed else None
                row.update(method=method, autocast=name, step_ratio=step, step_seconds=seconds)
                cells = (f'{100 * value:.2g} %' for value in (row['share'], row['z'], *row['gradients'].values()))
                report.add(row, method, name, row['path'], *cells, '' if step is None else f'{step:.3f}')
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats, images=args.images)


def feature_map(images: int, device: str) -> Tensor:
    """Return F (N, 2048, 7, 7) of an untrained ResNet-50."""
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=50)).to(device)
    backbone.train()  # returns None
    x = F.interpolate(torch.randn(images, 3, 14, 14), size=(224, 224), mode='bicubic')
    with torch.no_grad():
        return backbone(x.to(device))[-1]


def errors(neck: LEWELNeck, features: Tensor, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return a row per path with the errors relative to float32."""
    f = features.to(dtype)
    expected, whole = differences(neck, f.float())
    rows = []
    for path in PATHS:
        with PATHS[path](), torch.autocast(f.device.type, dtype):
            actual, _ = differences(neck, f)
        value, *gradients = (((x - y).norm() / y.norm()).item() for x, y in zip(actual, expected))
        share = (expected[0].norm() / whole.norm()).item()
        rows.append(dict(path=path, share=share, z=value, gradients=dict(zip(GRADIENTS, gradients))))
    return rows


def differences(neck: LEWELNeck, f: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return z_k − mean over k with the gradients of a weighted sum of it, and z_k."""
    f = f.detach().requires_grad_()
    _, aligned = neck((f,))
    aligned = aligned.float()
    part = aligned - aligned.mean(1, keepdim=True)
    weights = torch.randn(part.shape, generator=torch.Generator().manual_seed(0)).to(part)
    layers = (mlp[i].get_parameter('weight') for mlp, i in ((neck.p, 0), (neck.p, 3), (neck.g, 0)))
    gradients = torch.autograd.grad((part * weights).sum(), [*layers, f])
    return [part.detach(), *(g.float() for g in gradients)], aligned.detach()


@contextmanager
def apart() -> Iterator[None]:
    """Leave the neck and the head as they are."""
    yield


@contextmanager
def together() -> Iterator[None]:
    """Take the path of float32."""
    with (
        patch.object(lewel_neck, 'in_low_precision', return_value=False),
        patch.object(lewel_predict_head, 'in_low_precision', return_value=False),
    ):
        yield


@contextmanager
def in_float32() -> Iterator[None]:
    """Pool, project and predict aligned embeddings in float32."""

    def forward(neck: LEWELNeck, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        f = neck._positions(feats)
        z, maps = neck._project(f)
        with torch.autocast(f.device.type, enabled=False):
            return z, neck.p(LF.aligned_pooling(f.transpose(1, 2).float(), maps, neck.num_groups))

    def predict(head: LEWELPredictHead, a: Tensor) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            return head.s(a)

    with patch.object(LEWELNeck, 'forward', forward), patch.object(LEWELPredictHead, '_predict_aligned', predict):
        yield


PATHS: dict[str, Callable] = {'together': together, 'apart': apart, 'float32': in_float32}


def step_times(args: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of LEWEL_B's steps in bfloat16 by path; the paths alternate."""
    depth, size, batch = args.setting
    torch.manual_seed(0)
    model, wrapper = build('LEWEL_B', depth, args.device)
    step = full_step(model, wrapper, random_views(batch, size, 2))

    def autocast(model: object) -> torch.autocast:  # mmengine's wrapper for mixed precision needs a GPU
        return torch.autocast(args.device, torch.bfloat16)

    def on(path: str) -> Callable[[], None]:
        def run_step() -> None:
            with PATHS[path](), patch.object(wrapper, 'optim_context', autocast):
                step()

        return run_step

    return alternate({path: on(path) for path in PATHS}, args.device, args.repeats)
