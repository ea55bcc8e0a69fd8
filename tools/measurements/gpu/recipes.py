"""A step of a recipe at its real batch: peak memory, images per second, waits; and what a dry run predicts of them."""

from contextlib import nullcontext
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS
from torch import Tensor

from lewel_plugins.dry_run.batches import BatchMaker
from lewel_plugins.dry_run.memory import LiveMemory
from lewel_plugins.hooks import SMoGResetHook

from ..steps.clock import Function, alternate
from ..steps.passes import full_step
from ..steps.recipes import CONFIGS, build_model, in_bfloat16, start_cache
from .devices import use
from .waits import recorded_waits


def load(recipe: str, batch: int | None) -> Config:
    """Return a recipe with another batch, if it is given."""
    cfg = Config.fromfile(str(CONFIGS / recipe))
    if batch is not None:
        cfg.train_dataloader.batch_size = batch
    return cfg


def memory(device: str, recipe: str, batch: int | None, repeats: int, calls: int) -> dict[str, Any]:
    """Return peak memory, images per second and waits of a training step of a recipe on one GPU."""
    use(device)
    cfg = load(recipe, batch)
    torch.manual_seed(0)
    tracker = LiveMemory('cpu') if device == 'cpu' else nullcontext()
    with tracker:
        step, batch = _step(cfg, device)
        step()
        step()  # the first has allocated the state of the optimizer, and chosen the convolutions
        if device != 'cpu':
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        if isinstance(tracker, LiveMemory):
            tracker.reset_peak()
        step()
    peak, reserved = _peak(device, tracker)
    times = alternate(dict(step=step), device, repeats, calls=calls)['step']
    with recorded_waits(device) as waits:
        step()
    seconds = dict(step=median(times), step_fastest=min(times), step_slowest=max(times))
    return dict(
        batch=batch,
        peak=peak,
        reserved=reserved,
        **seconds,
        images_per_second=batch / seconds['step'],
        waits=None if waits is None else [wait.source for wait in waits],
    )


def _peak(device: str, tracker: Any) -> tuple[int, int | None]:
    """Return the bytes of live tensors at their peak, and those that the allocator has reserved."""
    if device == 'cpu':
        return tracker.peak, None
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def _step(cfg: Config, device: str) -> tuple[Function, int]:
    """Return a training step of a recipe on random images, and its number of images."""
    model = build_model(cfg, device)
    is_mixed = cfg.optim_wrapper.type == 'AmpOptimWrapper'
    wrapper_cfg = dict(cfg.optim_wrapper, type='OptimWrapper')
    for key in ('dtype', 'loss_scale'):
        wrapper_cfg.pop(key, None)
    wrapper_cfg['optimizer'] = dict(wrapper_cfg['optimizer'], lr=1e-3)  # keeps the weights finite on random images
    wrapper = build_optim_wrapper(model, wrapper_cfg)
    if is_mixed:
        wrapper = in_bfloat16(wrapper, device)
    for hook in cfg.get('custom_hooks') or ():
        if hook.type.endswith('SMoGResetHook'):
            model.has_resets = True
            built: SMoGResetHook = HOOKS.build(hook)
            start_cache(model, built.window)
    data = dict(BatchMaker(cfg).batch(cfg.train_dataloader.batch_size), data_samples=[])
    inputs = data['inputs'] if isinstance(data['inputs'], list) else [data['inputs']]
    for x in inputs:
        _randomize(x)
    if device != 'cpu':  # as by a loader, whose copies do not wait
        pinned = [x.pin_memory() for x in inputs]
        data['inputs'] = pinned if isinstance(data['inputs'], list) else pinned[0]
    return full_step(model, wrapper, data), cfg.train_dataloader.batch_size


def _randomize(x: Tensor) -> None:
    if x.dtype == torch.uint8:
        x.random_(0, 256)
    else:
        x.zero_()


def predict(device: str, recipe: str, batch: int | None) -> dict[str, Any]:
    """Return what ``tools/dry_run.py`` predicts of a step on one GPU, with images per second for every GPU it knows.

    It runs on the CPU, whatever the device.
    """
    from lewel_plugins.dry_run.gpus import GPUS, images_per_second, needed_memory
    from lewel_plugins.dry_run.step import DryRun

    torch.set_num_threads(1)
    record = DryRun(load(recipe, batch), 1).measure()
    speeds = {name: [round(x) for x in images_per_second(record, gpu)] for name, gpu in GPUS.items()}
    return dict(
        batch=record.batch,
        peak=record.peak,
        need=round(needed_memory(record)),
        images_per_second=speeds,
        waits=sum(record.counters.waits.values()),
    )


def data_sheet(name: str) -> str | None:
    """Return the key of :data:`lewel_plugins.dry_run.gpus.GPUS` for the name that CUDA gives a GPU; None if unknown."""
    words = name.upper().replace('-', ' ').split()
    memory = 'a100-80gb' if '80GB' in words else 'a100-40gb'
    known = dict(A100=memory, H200='h200', L40S='l40s')
    known['H100'] = 'h100-pcie' if 'PCIE' in words else 'h100'
    known.update({'4090': 'rtx-4090', '3090': 'rtx-3090'})
    return next((known[word] for word in words if word in known), None)
