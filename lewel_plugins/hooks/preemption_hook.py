import os
import signal
import threading
import time
from datetime import timedelta
from types import FrameType

import torch
import torch.distributed as torch_dist
from mmengine.hooks import Hook

from lewel_plugins import dist
from lewel_plugins.registry import HOOKS
from lewel_plugins.running.work_dir import STOPPED_STATUS

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .deferred_runtime_info_hook import DeferredRuntimeInfoHook

_START = time.monotonic()
_PATIENCE = timedelta(days=1)  # for ranks that validate longer than others; a lost rank is noticed by other groups
_listening: set[signal.Signals] = set()  # signals with a handler of a hook


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _listening)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _listening)


def _forget_handlers() -> None:
    for number in _listening:
        signal.signal(number, signal.SIG_DFL)
    _unblock()


# A pool sends its workers SIGTERM and waits until they have ended, even those that it has only begun to fork. Python
# drops signals for which it has a handler while it forks, so they are blocked until the handler is gone.
os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_forget_handlers)


class StoppedRun(SystemExit):
    """The run was saved and is to be resumed; the exit status is :data:`STOPPED_STATUS`."""

    def __init__(self) -> None:
        super().__init__(STOPPED_STATUS)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save a run and stop it when its job is about to end, so that a resume loses nothing.

    After SIGTERM, SIGUSR1 or SIGUSR2 on any rank, or at the time limit, all ranks finish the same iteration, save
    ``stopped.pth`` and exit with status 75. Slurm sends SIGTERM to a job that it preempts or cancels, and any signal
    before the time limit (``sbatch --signal=USR1@120``); torchrun passes SIGTERM on to the ranks.

    With gradient accumulation the ranks go on to the next step of the optimizer, because a checkpoint has no gradients.
    A signal during a validation or a reset of SMoG's groups counts after it. One that arrives before the training is
    up ends the process as usual.

    Processes that the training forks, such as the pool of the VOC metric of mmdet, do not have the handlers.

    A run without :class:`AtomicCheckpointHook` writes nothing to go on from, so signals end it as usual.

    The ranks agree through an all-reduce of one number by gloo, which runs during the next iteration. So nothing waits
    for the GPU.

    Args:
        max_minutes: Minutes from the start of the process until the run stops; None for no limit.

    Raises:
        ValueError: ``max_minutes`` is not positive, or it is set and the run has no :class:`AtomicCheckpointHook`.
    """

    priority = 'LOWEST'  # after all that belongs to an iteration
    signals = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

    def __init__(self, max_minutes: float | None = None) -> None:
        if max_minutes is not None and not max_minutes > 0:
            raise ValueError(f'max_minutes must be positive, or None for no limit, got {max_minutes}')
        self.max_minutes = max_minutes
        self._reason = ''
        self._handlers: dict = {}
        self._answer: tuple[torch.Tensor, torch_dist.Work] | None = None

    def before_train(self, runner) -> None:
        """Listen for the signals."""
        self._checkpoint = next((hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)), None)
        self._reason, self._answer = '', None
        if self._checkpoint is None:
            if self.max_minutes is not None:
                raise ValueError('max_minutes needs lewel_plugins.AtomicCheckpointHook as default_hooks.checkpoint')
            return
        if threading.current_thread() is threading.main_thread():  # signals have handlers in no other
            self._handlers = {number: signal.signal(number, self._receive) for number in self.signals}
            _listening.update(self.signals)
        # The ranks wait for each other here, so that none is in its first iteration before all of them listen.
        self._group = torch_dist.new_group(backend='gloo', timeout=_PATIENCE) if dist.world_size() > 1 else None

    def after_train(self, runner) -> None:
        """Listen no more."""
        if self._answer is not None:
            self._answer[1].wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
            _listening.discard(number)
        self._handlers = {}

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Stop if a rank wants to, after a step of the optimizer."""
        if self._checkpoint is None:
            return
        if self.max_minutes is not None and time.monotonic() - _START > 60 * self.max_minutes:
            self._reason = self._reason or f'the limit of {self.max_minutes:g} minutes'
        iterations = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if (runner.iter + 1) % iterations == 0 and self._ranks_stop():
            self._stop(runner)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._reason = signal.Signals(number).name

    def _ranks_stop(self) -> bool:
        """Return whether a rank wanted to stop at the last call, the same on all ranks."""
        if self._group is None:
            return bool(self._reason)
        wanted = False
        if self._answer is not None:
            number, work = self._answer
            work.wait()
            wanted = bool(number)
        number = torch.tensor(int(bool(self._reason)))
        self._answer = number, torch_dist.all_reduce(number, torch_dist.ReduceOp.MAX, self._group, async_op=True)
        return wanted

    def _stop(self, runner) -> None:
        for hook in runner.hooks:
            if isinstance(hook, DeferredRuntimeInfoHook):
                hook.read(runner)
        assert self._checkpoint is not None
        path = self._checkpoint.save_stopped(runner)
        # The handlers stay. A launcher signals the ranks that are a little later than the first one to exit, and they
        # must exit with the same status.
        runner.logger.info(
            f'Stopped at iteration {runner.iter + 1} by {self._reason or "another rank"}, saved as {path}. To go on, '
            'use the same command with --resume.'
        )
        raise StoppedRun
