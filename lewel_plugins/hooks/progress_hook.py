import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lewel_plugins.registry import HOOKS
from lewel_plugins.running.progress_file import PROGRESS

_MEASURED = 50  # steps that the rate is measured on
_FEWEST = 20  # steps before there is an estimate of the remaining time


@HOOKS.register_module()
class ProgressHook(Hook):
    """Write how far a training is to ``progress.json`` in its work dir, for a program that shows it.

    The first rank writes at most once per ``every`` seconds. It reads nothing from the device: losses are those that
    were logged last. See :class:`lewel_plugins.running.progress_file.Progress` for the content.

    Args:
        every: Seconds between two writes.

    Raises:
        ValueError: ``every`` is not positive.
    """

    priority = 'VERY_LOW'

    def __init__(self, every: float = 0.5) -> None:
        if not every > 0:
            raise ValueError(f'every must be positive, got {every}')
        self.every = every
        self._steps: deque[tuple[float, float]] = deque(maxlen=_MEASURED)  # seconds, and those of them waiting for data
        self._validation = 0.0
        self._start_of_validation = 0.0
        self._written = 0.0

    def before_train(self, runner: Runner) -> None:
        """Write that the training has started."""
        self._steps.clear()
        self._write(runner, 'starting')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Count the step, and write if it is time to."""
        scalars = runner.message_hub.log_scalars
        if 'train/time' in scalars:
            self._steps.append((scalars['train/time'].current(), scalars['train/data_time'].current()))
        if time.monotonic() - self._written >= self.every:
            self._write(runner, 'training', 1)

    def before_val(self, runner: Runner) -> None:
        """Write that the training waits for a validation."""
        self._start_of_validation = time.monotonic()
        self._write(runner, 'validating')

    def after_val(self, runner: Runner) -> None:
        """Measure the validation."""
        self._validation = time.monotonic() - self._start_of_validation

    def after_train(self, runner: Runner) -> None:
        """Write the last state."""
        self._write(runner, 'finished')

    def _write(self, runner: Runner, stage: str, done: int = 0) -> None:
        if not is_main_process():
            return
        self._written = time.monotonic()
        path = Path(runner.work_dir) / PROGRESS
        partial = path.with_name(f'.{PROGRESS}.{os.getpid()}.partial')
        try:
            partial.write_text(json.dumps(self._content(runner, stage, runner.iter + done)))
            os.replace(partial, path)  # a reader sees the old content or the new one
        except OSError:  # a full disk must not end a training because of its display
            partial.unlink(missing_ok=True)

    def _content(self, runner: Runner, stage: str, steps: int) -> dict[str, Any]:
        seconds = sum(step for step, _ in self._steps)
        waited = sum(wait for _, wait in self._steps)
        count = len(self._steps)
        loader = runner.train_dataloader
        return dict(
            stage=stage,
            time=time.time(),
            epoch=min(runner.epoch + 1, runner.max_epochs or 1),
            epochs=runner.max_epochs,
            step=steps,
            steps=runner.max_iters,
            images_per_second=count * (loader.batch_size or 0) * get_world_size() / seconds if seconds else None,
            waiting=waited / seconds if seconds else None,
            seconds_left=self._left(runner, steps, seconds / count) if count >= _FEWEST else None,
            memory=_memory(),
            scalars={
                name.partition('/')[2]: float(buffer.current())  # json takes no number of NumPy
                for name, buffer in runner.message_hub.log_scalars.items()
                if name.startswith(('train/', 'val/'))
            },
        )

    def _left(self, runner: Runner, steps: int, seconds: float) -> float:
        interval = getattr(runner.train_loop, 'val_interval', 0)
        validations = 0
        if self._validation and interval and runner.max_epochs:
            validations = runner.max_epochs // interval - runner.epoch // interval
        return (runner.max_iters - steps) * seconds + validations * self._validation


def _memory() -> list[int] | None:
    """Return the bytes of a GPU's memory that were needed at most, and all; None on a CPU."""
    if not torch.cuda.is_available():
        return None
    return [
        torch.cuda.max_memory_reserved(),
        torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory,
    ]
