"""Kernels alone: those of SyncBN and of the monitor, and views that are finished on the device."""

import tempfile
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import default_collate
from mmpretrain.datasets.transforms import PackInputs
from torch import Tensor, distributed

from lewel_plugins.functional import rank_me_and_spectrum
from lewel_plugins.models import BatchViews
from lewel_plugins.models.batch_norm import _SyncBatchNormCPU, _SyncBatchNormGPU
from lewel_plugins.transforms import MakeViews

from ..input_speed import schemes
from ..steps.clock import Function, alternate
from .devices import use


def sync_bn(device: str, shape: tuple[int, ...], bf16: bool, repeats: int, calls: int) -> dict[str, Any]:
    """Return how SyncBatchNorm as one rank of a process group differs from batch norm, and the times of both.

    Args:
        device: ``cuda`` or ``cpu``.
        shape: (N, C) or (N, C, H, W), in channels_last.
        bf16: Whether x is in bfloat16, else float32.
        repeats: How often to measure.
        calls: Number of calls per repetition.
    """
    use(device)
    x, w = (_draw(shape, torch.bfloat16 if bf16 else torch.float32, device) for _ in range(2))
    C = shape[1]
    weight, bias = (torch.rand(C, device=device).requires_grad_() for _ in range(2))
    function = _SyncBatchNormCPU if device == 'cpu' else _SyncBatchNormGPU
    statistics = {name: (torch.zeros(C, device=device), torch.ones(C, device=device)) for name in ('ours', 'torch')}

    def ours(x: Tensor) -> Tensor:
        return function.apply(x, weight, bias, *statistics['ours'], 1e-5, 0.1, 1)

    def torchs(x: Tensor) -> Tensor:
        return F.batch_norm(x, *statistics['torch'], weight, bias, True, 0.1, 1e-5)

    with tempfile.TemporaryDirectory() as folder:
        backend = 'gloo' if device == 'cpu' else 'nccl'
        distributed.init_process_group(backend, f'file://{folder}/ranks', rank=0, world_size=1)
        results = {name: _there_and_back(layer, x, w) for name, layer in dict(ours=ours, torch=torchs).items()}
        functions = {
            name: partial(_there_and_back, layer, x, w) for name, layer in dict(ours=ours, torch=torchs).items()
        }
        differences = dict(
            output=_difference(results['ours'][0], results['torch'][0]),
            gradient=_difference(results['ours'][1], results['torch'][1]),
            running_mean=_difference(statistics['ours'][0], statistics['torch'][0]),
            running_var=_difference(statistics['ours'][1], statistics['torch'][1]),
        )
        times = alternate(functions, device, repeats, calls=calls)
    medians = {name: median(values) for name, values in times.items()}
    return dict(differences=differences, ours=medians['ours'], batch_norm=medians['torch'])


def _draw(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    x = torch.randn(tuple(shape), device=device).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _there_and_back(layer: Any, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(w)
    return y.detach(), x.grad


def _difference(x: Any, y: Any) -> float:
    """Return the largest difference relative to the largest value."""
    return ((x.float() - y.float()).abs().max() / y.float().abs().max()).item()


def monitor(device: str, rows: int, channels: int, with_svd: bool) -> dict[str, Any]:
    """Return the time of the monitor's two measures on features (rows, channels), and of singular values instead."""
    use(device)
    x = torch.randn(rows, channels, device=device)
    functions: dict[str, Function] = dict(gram=lambda: rank_me_and_spectrum(x))
    if with_svd:
        functions['svd'] = lambda: torch.linalg.svdvals(x)
    times = alternate(functions, device, repeats=3)
    return {name: median(values) for name, values in times.items()}


def views(device: str, scheme: str, batch: int, repeats: int, calls: int, side: int = 256) -> dict[str, Any]:
    """Return the time in which BatchViews finishes crops on the device, and in which it normalizes finished views.

    Args:
        device: ``cuda`` or ``cpu``.
        scheme: Views of ``input_speed.py``.
        batch: Images.
        repeats: How often to measure.
        calls: Number of calls per repetition.
        side: Pixels of the images that crops are cut from.
    """
    use(device)
    settings, counts = schemes(scheme)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    preprocessor = BatchViews().to(device)
    functions: dict[str, Function] = {}
    for name, on_device in (('finish', True), ('normalize', False)):
        make = MakeViews(settings, counts, on_device)
        samples = [PackInputs()(make(dict(img=image))) for _ in range(8)]
        data = default_collate((samples * -(-batch // 8))[:batch])
        inputs = [x.pin_memory() if device != 'cpu' else x for x in data['inputs']]
        functions[name] = partial(preprocessor, dict(inputs=inputs, data_samples=[]), True)
    times = alternate(functions, device, repeats, calls=calls)
    medians = {name: median(values) for name, values in times.items()}
    return dict(batch=batch, views=sum(counts), **medians, images_per_second=batch / medians['finish'])
