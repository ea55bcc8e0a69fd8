"""Places at which the host waits for the GPU: in a step, and in a training by the Runner."""

import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmpretrain.utils import register_all_modules

from lewel_plugins.running import setup

from .devices import use

_OURS = str(Path(setup.__file__).resolve().parents[1])
_SKIPPED = (str(Path(torch.__file__).parent), str(Path(warnings.__file__).parent))
_TEXT = 'called a synchronizing CUDA operation'


class Wait(NamedTuple):
    """A wait of the host for the GPU.

    Args:
        iteration: When it happened.
        source: ``file:line`` of the code that waits.
    """

    iteration: int
    source: str


@contextmanager
def recorded_waits(device: str, iteration: Callable[[], int] = lambda: 0) -> Iterator[list[Wait] | None]:
    """Record all waits of the host for the GPU; yield the list, or None on a CPU, which nothing waits for.

    Args:
        device: ``cuda`` or ``cpu``.
        iteration: Returns the number of the iteration.
    """
    if device == 'cpu':
        yield None
        return
    waits: list[Wait] = []
    with catching(waits, iteration):
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode('default')


@contextmanager
def catching(waits: list[Wait], iteration: Callable[[], int]) -> Iterator[None]:
    """Add every warning of torch about a wait to a list; other warnings are shown as usual."""
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        show = warnings.showwarning

        def record(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
            if _TEXT in str(message):
                waits.append(Wait(iteration(), _source()))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = record
        yield


def _source() -> str:
    """Return the innermost ``file:line`` of this package, or else of any code but torch."""
    outside = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith((*_SKIPPED, '<')):
            outside.append((file, f'{"/".join(Path(file).parts[-3:])}:{frame.f_lineno}'))
        frame = frame.f_back
    ours = [place for file, place in outside if file.startswith(_OURS)]
    return next(iter(ours or [place for _, place in outside]), 'unknown')


class _Iterations(Hook):
    """Notes the iteration that runs."""

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.current = -1

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.current = runner.iter + 1


def in_a_training(device: str, recipe: str, batch: int, iterations: int, interval: int) -> dict[str, Any]:
    """Train by the Runner with the recipe's hooks, and return the waits of each line after the first interval.

    Args:
        device: ``cuda`` or ``cpu``.
        recipe: Config file in ``configs/``.
        batch: Images per iteration.
        iterations: Number of iterations.
        interval: Iterations between two lines of the log, and between two checks of the monitor.
    """
    from ..input_speed import write_photographs
    from ..steps.recipes import CONFIGS

    use(device)
    register_all_modules(init_default_scope=False)
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), min(batch, 64), 90)
        cfg = Config.fromfile(str(CONFIGS / recipe))
        _on_images(cfg, Path(folder), batch, iterations, interval)
        setup.set_dataloader_defaults(cfg)
        setup.prepare(cfg, 'none')
        runner = setup.build_runner(cfg)
        counter = _Iterations()
        runner.register_hook(counter)
        with recorded_waits(device, lambda: counter.current) as waits:
            runner.train()
    if waits is None:
        return dict(batch=batch, iterations=runner.iter, interval=interval, waits=None, between=None)
    inside = [wait for wait in waits if interval < wait.iteration < iterations]
    places = Counter(wait.source for wait in inside)
    between = Counter(wait.source for wait in inside if wait.iteration % interval)
    return dict(batch=batch, iterations=runner.iter, interval=interval, waits=dict(places), between=dict(between))


def _on_images(cfg: Config, folder: Path, batch: int, iterations: int, interval: int) -> None:
    """Let a recipe train on a folder of images, without validation and checkpoints."""
    dataset = cfg.train_dataloader.dataset.dataset
    dataset = dict(type='lewel_plugins.ImageTree', data_root=str(folder), pipeline=dataset.pipeline)
    cfg.train_dataloader.dataset.dataset = dataset
    cfg.train_dataloader.update(batch_size=batch, num_workers=min(cfg.train_dataloader.num_workers, 4))
    cfg.train_dataloader.sampler = dict(type='lewel_plugins.SeededSampler', infinite=True)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations)
    cfg.log_processor = dict(window_size=1, by_epoch=False)
    cfg.param_scheduler = []
    for name in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg.pop(f'{name}_{part}', None)
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.pop('preemption', None)  # it saves
    cfg.default_hooks.logger.update(interval=interval)
    cfg.default_hooks.monitor.update(interval=interval)
    cfg.work_dir, cfg.experiment_name = str(folder / 'work_dir'), folder.name
