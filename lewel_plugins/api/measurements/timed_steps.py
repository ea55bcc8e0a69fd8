"""Steps of a training, timed in the process that this module runs in."""

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from lewel_plugins.dist import unwrap_model
from lewel_plugins.hooks import RepresentationMonitorHook, ViewRetrievalHook
from lewel_plugins.running import setup
from lewel_plugins.running.devices import has_accelerator

from .step import COPY_SIZE

WARM_UP, TIMED = 2, 5
_PART = range(4, 9)  # images of the first steps on a CPU, by which the time of a whole batch is estimated
_SPARE = 0.8  # share of the time that is planned with
_FORWARD = 0.4  # time of an image in a validation, of that in a step, where there is no time for one
_WITHOUT = ('InitialValidationHook', 'FrozenBackboneHook')  # hooks that are left out
_DECODED = 16  # images that are decoded


@dataclass
class Steps:
    """Steps that were taken.

    Attributes:
        batch: Images of each.
        seconds: Seconds of each timed one.
        waits: Seconds of them in which the device waited for images.
        finite: Whether all losses are finite.
        still: Names of the parameters that have not changed; None before a step of the optimizer.
        spread: Spread of the embeddings.
        memory: Peak in bytes.
        startup: Time by ``time.time`` of the start of the first step.
        validation: Seconds of a validation before its first image, and per image.
    """

    batch: int
    seconds: list[float]
    waits: list[float]
    finite: bool
    still: list[str] | None
    spread: float | None
    memory: int
    startup: float
    validation: tuple[float, float]


def time_training(
    config: Config, folder: str, until: float, started: float, report: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Take steps of a training, and return what :class:`StepMeasurement` holds, with the seconds per iteration.

    Where a step of the whole batch would take too long on a CPU, its time follows from steps of parts of it.

    Args:
        config: The config.
        folder: Folder for what the Runner writes.
        until: Time by ``time.time`` after which no further step is taken.
        started: The same, of the start of the process.
        report: Receives the result as soon as steps have been timed, and again when there is more.
    """
    setup.set_dataloader_defaults(config)
    setup.prepare(config, 'none')
    batch = part = config.train_dataloader.batch_size
    small = next((size for size in reversed(_PART) if batch % size == 0 and size < batch), None)
    pilot = None
    if small is not None and not has_accelerator():
        pilot = take_steps(config, folder, small, 1, 2, until)
        report(_result(pilot, None, small, batch, started))
        part = _part_in_time(batch, small, mean(pilot.seconds), until - time.time())
    timed = max(TIMED, config.optim_wrapper.get('accumulative_counts', 1) - WARM_UP)

    def after_steps(steps: Steps) -> None:
        report(_result(steps, pilot, part, batch, started))

    steps = take_steps(config, folder, part, WARM_UP, timed, until, after_steps)
    result = _result(steps, pilot, part, batch, started)
    report(result)
    return {**result, **_decoding(config, until)}


def _result(steps: Steps, pilot: Steps | None, part: int, batch: int, started: float) -> dict[str, Any]:
    """Return the result of steps of a part of a batch, with that of steps of a smaller part before them."""
    seconds, memory = mean(steps.seconds), float(steps.memory)
    small, low, light = part, seconds, memory
    if pilot is not None:
        small, low, light = pilot.batch, mean(pilot.seconds), float(pilot.memory)
    return dict(
        seconds_per_iteration=_extend(small, low, part, seconds, batch, share=1.0),
        steps=len(steps.seconds),
        batch=part,
        wait=sum(steps.waits) / sum(steps.seconds),
        finite=steps.finite,
        still=steps.still,
        spread=steps.spread,
        memory=round(_extend(small, light, part, memory, batch, share=0.0)),
        startup=(pilot or steps).startup - started,
        validation_start=steps.validation[0],
        validation_per_image=steps.validation[1],
    )


def _part_in_time(batch: int, small: int, seconds: float, left: float) -> int:
    """Return the largest part of a batch of which all steps end in time, by the seconds of a step of ``small``."""
    divisors = [size for size in range(small, batch + 1) if batch % size == 0]
    steps = WARM_UP + TIMED
    return max((size for size in divisors if steps * seconds * size / small <= _SPARE * left), default=small)


def _extend(small: int, low: float, part: int, high: float, batch: int, share: float) -> float:
    """Return the value at ``batch`` on the line through two batches.

    Args:
        small: The smaller batch.
        low: Its value.
        part: The larger batch.
        high: Its value.
        batch: The batch in question.
        share: With one batch only: share of the value that grows with it.
    """
    slope = max(0.0, (high - low) / (part - small)) if part > small else share * high / part
    return high + slope * (batch - part)


def take_steps(
    config: Config,
    folder: str,
    batch: int,
    warm_up: int,
    timed: int,
    until: float,
    report: Callable[[Steps], None] | None = None,
) -> Steps:
    """Run the first steps of a training, at its full rate.

    Args:
        config: The config.
        folder: Folder for what the Runner writes.
        batch: Images per iteration.
        warm_up: Iterations that are not timed.
        timed: Iterations that are.
        until: Time by ``time.time`` after which no further one is taken, except for the first that is timed.
        report: Receives the steps before a validation is timed as well; None for no validation.
    """
    cfg = Config(config.to_dict())
    cfg.work_dir, cfg.experiment_name = folder, f'check_{batch}_{time.time_ns()}'
    cfg.train_dataloader.batch_size = batch
    cfg.param_scheduler = None  # warm-up rates move weights by less than their last bit
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks', []) if hook['type'].split('.')[-1] not in _WITHOUT]
    cfg.train_cfg.val_begin = sys.maxsize
    cfg.default_hooks.pop('preemption', None)
    cfg.default_hooks.checkpoint = None  # mmengine would add its own
    length = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    cfg.train_cfg[length] = max(cfg.train_cfg[length], warm_up + timed)
    timer = _StepTimer(warm_up, timed, until)
    runner = setup.build_runner(cfg)
    runner.register_hook(timer)
    is_finite = True
    try:
        runner.train()
    except _Enough:
        pass
    except FloatingPointError:
        is_finite = False
    steps = timer.steps(batch, is_finite)
    if report is None or not steps.finite:
        return steps
    report(steps)
    return replace(steps, validation=_validate(runner, timer)) if time.time() < until else steps


def _validate(runner: Runner, timer: '_StepTimer') -> tuple[float, float]:
    """Run a validation, and return its seconds before the first image of each of its loaders, and per image."""
    loaders = 1 + sum(len(hook.configs) for hook in runner.hooks if isinstance(hook, ViewRetrievalHook))
    start = time.perf_counter()
    runner.val_loop.run()
    whole, before = time.perf_counter() - start, timer.first_image - start
    return loaders * before, max(0.0, whole - loaders * before) / len(runner.val_dataloader.dataset)


def _peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


class _Enough(Exception):
    """All steps have been taken."""


class _StepTimer(Hook):
    """Time steps, and stop the training after them."""

    priority = 'LOWEST'

    def __init__(self, warm_up: int, timed: int, until: float) -> None:
        self.warm_up, self.timed, self.until = warm_up, timed, until
        self.seconds: list[float] = []
        self.waits: list[float] = []
        self.losses: list[Tensor] = []
        self.still: list[str] | None = None
        self.spread: float | None = None
        self.started = self.first_image = math.nan

    def steps(self, batch: int, is_finite: bool) -> Steps:
        """Return what was measured.

        Args:
            batch: Images of each step.
            is_finite: Whether the training has not ended at a loss that is not finite.
        """
        seconds = self.seconds or [math.nan]
        return Steps(
            batch=batch,
            seconds=seconds,
            waits=self.waits or [0.0],
            finite=is_finite and all(bool(loss.isfinite().all()) for loss in self.losses),
            still=self.still,
            spread=self.spread,
            memory=_peak(),
            startup=self.started,
            validation=(0.0, _FORWARD * mean(seconds) / batch),
        )

    def before_train(self, runner: Runner) -> None:
        """Keep the weights, and have the monitor measure while the training warms up."""
        self._weights = {name: parameter.detach().clone() for name, parameter in _trainable(runner)}
        self._monitors = [hook for hook in runner.hooks if isinstance(hook, RepresentationMonitorHook)]
        self._intervals = [monitor.interval for monitor in self._monitors]
        for monitor in self._monitors:
            monitor.interval = 1
        self.started = time.time()
        self._end = time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note when the images are there."""
        self._ready = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Note when the step is over."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        done = runner.iter + 1
        self.losses += [loss.detach() for name, loss in (outputs or {}).items() if 'loss' in name]
        if done > self.warm_up:
            self.seconds.append(now - self._end)
            self.waits.append(self._ready - self._end)
        if done == self.warm_up:
            self._read_monitors(runner)
        if self.seconds and (len(self.seconds) >= self.timed or time.time() > self.until):
            self._find_still(runner)
            raise _Enough
        self._end = time.perf_counter()

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note when the first images of a validation are there."""
        if batch_idx == 0:
            self.first_image = time.perf_counter()

    def _read_monitors(self, runner: Runner) -> None:
        for monitor, interval in zip(self._monitors, self._intervals):
            monitor.interval = interval
        if 'train/std' in runner.message_hub.log_scalars:
            self.spread = float(runner.message_hub.get_scalar('train/std').current())

    def _find_still(self, runner: Runner) -> None:
        accumulation = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if runner.iter + 1 >= accumulation:
            self.still = [name for name, weight in _trainable(runner) if torch.equal(weight, self._weights[name])]


def _trainable(runner: Runner) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, weight) for name, weight in unwrap_model(runner.model).named_parameters() if weight.requires_grad]


def _decoding(config: Config, until: float) -> dict[str, float | None]:
    """Return the share of decoding in the time of a worker, and how many times faster it is with smaller copies."""
    from lewel_plugins.dry_run.batches import innermost_dataset
    from lewel_plugins.registry import DATASETS
    from lewel_plugins.transforms import LoadViews

    dataset = DATASETS.build(innermost_dataset(config))
    load = dataset.pipeline.transforms[0]
    if not isinstance(load, LoadViews):
        return {}
    rows = []
    for index in np.linspace(0, len(dataset) - 1, min(_DECODED, len(dataset))).astype(int):
        if time.time() > until:
            break
        rows.append(_decoding_of(load, dataset.get_data_info(int(index))))
    whole, decoding, small = (sum(column) for column in zip(*rows)) if rows else (0.0, 0.0, 0.0)
    if not whole:
        return {}
    return dict(decoding=decoding / whole, speedup=whole / (whole - decoding + min(small, decoding)))


def _decoding_of(load: Any, item: dict[str, Any]) -> Sequence[float]:
    """Return the seconds for an image, those of them for decoding, and the latter for a smaller copy."""
    import cv2

    from lewel_plugins.image_files.decode import BrokenImageError, decode_bgr

    try:
        data = load._read(item['img_path'])
        start = time.perf_counter()
        image, _, parameters = load._decode(data)
        decoded = time.perf_counter()
        load.make_views.make(dict(item, img=image, ori_shape=image.shape[:2]), parameters)
        end = time.perf_counter()
        pixels = decode_bgr(data, may_halve=True)
    except (BrokenImageError, OSError):
        return 0.0, 0.0, 0.0
    scale = min(1.0, COPY_SIZE / min(pixels.shape[:2]))
    copy = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    copied = cv2.imencode('.jpg', copy, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    again = time.perf_counter()
    load._decode(copied)
    return end - start, decoded - start, time.perf_counter() - again
