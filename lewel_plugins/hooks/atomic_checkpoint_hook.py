import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.files import leftovers, write_bytes, write_text
from lewel_plugins.registry import HOOKS
from lewel_plugins.running.work_dir import LAST_CHECKPOINT, STOPPED


class AtomicLocalBackend(LocalBackend):
    """mmengine's backend for local files, except that it writes a file in one step."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file in one step."""
        write_bytes(filepath, obj)


# runner.save_checkpoint accepts a backend by its registered name only.
register_backend('lewel_plugins_atomic', AtomicLocalBackend, force=True)


class _DeferredRemoval:
    """A file backend that lists the files to remove instead of removing them."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self.removals: list[str] = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    def remove(self, filepath: str) -> None:
        self.removals.append(filepath)


def _gather_states(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return every rank's tensors on the first rank's CPU, and nothing on the other ranks."""
    gathered = {name: dist.gather(value) for name, value in state.items()}
    ranks = len(next(iter(gathered.values())))
    # Copies, because torch would save the whole tensor that a view belongs to.
    return [{name: values[rank].to('cpu', copy=True) for name, values in gathered.items()} for rank in range(ranks)]


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, made safe against a kill at any moment.

    Checkpoints and ``last_checkpoint`` are replaced in one step, and an outdated checkpoint is deleted only after its
    successor is complete. So ``last_checkpoint`` always names a whole file, even with ``max_keep_ckpts=1``. A kill
    leaves at most one outdated checkpoint and one partial file behind, and the next start removes them.

    A model may have state that differs between ranks. Its ``rank_state()`` returns that state as a dict of tensors of
    one shape. The hook gathers the states of all ranks into the checkpoint of rank 0, as ``rank_state``, and on a
    resume passes the list of them to the model's ``load_rank_state``. The checkpoint stays one file that can be moved
    and that fits another number of ranks.

    With ``minutes``, a checkpoint is saved at the end of the first epoch, of those that ``interval`` names, that ends
    more than so long after the last checkpoint, or after the start. All ranks go by the clock of the first one. The
    last epoch is saved as usual.

    The other arguments are those of ``CheckpointHook``. With an ``out_dir`` or a backend other than the local disk, the
    hook behaves like its base class.

    Args:
        minutes: Minutes between two checkpoints; None to save by ``interval`` alone.
        arguments: See ``CheckpointHook``.

    Raises:
        ValueError: ``minutes`` is not positive, or it is set and checkpoints are not saved by epoch.
    """

    file_backend: Any
    rank_state: list[dict] | None = None

    def __init__(self, *arguments: Any, minutes: float | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if minutes is not None and not minutes > 0:
            raise ValueError(f'minutes must be positive, or None to save by interval alone, got {minutes}')
        if minutes is not None and not self.by_epoch:
            raise ValueError('minutes needs by_epoch=True: a checkpoint is saved at the end of an epoch')
        self.minutes = minutes
        self._last_time = time.monotonic()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Pass the saved states of the ranks to the model."""
        model = dist.unwrap_model(runner.model)
        if 'rank_state' in checkpoint and hasattr(model, 'load_rank_state'):
            model.load_rank_state(checkpoint['rank_state'])

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the states of the ranks to the checkpoint; the Runner calls this on the writing rank only."""
        if self.rank_state:
            checkpoint['rank_state'] = self.rank_state

    def before_train(self, runner) -> None:
        """Choose the atomic backend for a local folder, and remove what a killed run has left there."""
        super().before_train(runner)
        self._last_time = time.monotonic()
        self.atomic = isinstance(self.file_backend, LocalBackend) and self.file_client_args is None
        if not self.atomic:
            return
        self.backend_args = dict(backend='lewel_plugins_atomic')
        if is_main_process():
            checkpoints = leftovers(self.out_dir, Path(self.filename_tmpl).suffix)
            for file in [*checkpoints, *leftovers(runner.work_dir, LAST_CHECKPOINT)]:
                file.unlink()
                runner.logger.info(f'Removed {file}, left by an interrupted write.')

    def after_train_epoch(self, runner) -> None:
        """Save a checkpoint if it is time to."""
        if self.minutes is None or self.is_last_train_epoch(runner) or self._is_time():
            super().after_train_epoch(runner)

    def _is_time(self) -> bool:
        """Return whether the last checkpoint is old enough, the same on all ranks."""
        assert self.minutes is not None
        answer = [time.monotonic() - self._last_time > 60 * self.minutes]
        broadcast_object_list(answer)
        return answer[0]

    def save_stopped(self, runner) -> str:
        """Save ``stopped.pth`` after an iteration, at any place in an epoch; the next regular checkpoint removes it.

        All ranks must call this, in the same iteration. It returns when the file is complete.

        Returns:
            The path of the file, which ``last_checkpoint`` now names.
        """
        path = str(self.file_backend.join_path(str(self.out_dir), STOPPED))
        with self._state_of_ranks(runner):
            runner.save_checkpoint(
                str(self.out_dir),
                STOPPED,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                by_epoch=False,
                backend_args=self.backend_args,
                **self.args,
            )
        if is_main_process():
            write_text(Path(runner.work_dir, LAST_CHECKPOINT), path)
        barrier()
        return path

    @contextmanager
    def _state_of_ranks(self, runner) -> Iterator[None]:
        model = dist.unwrap_model(runner.model)
        self.rank_state = _gather_states(model.rank_state()) if hasattr(model, 'rank_state') else None
        try:
            yield
        finally:
            self.rank_state = None

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        with self._state_of_ranks(runner):
            if self.atomic:
                self._save_atomically(runner, step, meta)
            else:
                super()._save_checkpoint_with_step(runner, step, meta)
        self._last_time = time.monotonic()

    def _save_atomically(self, runner, step: int, meta: dict) -> None:
        outdated = self._outdated_by(step)
        if self.max_keep_ckpts > 0:
            # The checkpoint lists the outdated ones too, so that a run that resumes from it finishes the deletion.
            runner.message_hub.update_info('keep_ckpt_ids', [*outdated, *self.keep_ckpt_ids])
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(str(self.out_dir), filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            str(self.out_dir),
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_text(Path(runner.work_dir, LAST_CHECKPOINT), str(self.last_ckpt))
            Path(self.out_dir, STOPPED).unlink(missing_ok=True)
            for old in outdated:
                path = self.file_backend.join_path(str(self.out_dir), self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)
        if self.max_keep_ckpts > 0:
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _outdated_by(self, step: int) -> list[int]:
        """Add a new checkpoint to those that are kept, and return the steps of those that it displaces."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        outdated = [self.keep_ckpt_ids.popleft()] if len(self.keep_ckpt_ids) == self.max_keep_ckpts else []
        self.keep_ckpt_ids.append(step)
        return outdated

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not self.atomic:
            super()._save_best_checkpoint(runner, metrics)
            return
        backend = self.file_backend
        deferred = self.file_backend = _DeferredRemoval(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        current = {getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()}
        for path in deferred.removals:
            if path not in current and backend.isfile(path):
                backend.remove(path)
