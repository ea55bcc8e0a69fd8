import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.registry import HOOKS

_PARTIAL = '.partial'


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file that at no moment exists in part, also if the process is killed or the machine goes down.

    Args:
        path: File to write or replace. A file of this name with ``.partial`` appended is used on the way.
        content: What to write.
    """
    path, partial = Path(path), Path(f'{path}{_PARTIAL}')
    with open(partial, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, with whole-file writes."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file, atomically."""
        os.makedirs(os.path.dirname(os.path.abspath(filepath)), exist_ok=True)
        write_atomically(filepath, obj)


# runner.save_checkpoint takes a backend by its registered name only.
register_backend('lewel_plugins_atomic', AtomicLocalBackend, force=True)


class _DeferredRemoval:
    """A file backend that notes what to remove."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self.noted: list[str] = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    def remove(self, filepath: str) -> None:
        self.noted.append(filepath)


def _of_all_ranks(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Tensors of every rank, on the first one's CPU; nothing on the others."""
    gathered = {name: dist.gather(value) for name, value in state.items()}
    ranks = len(next(iter(gathered.values())))
    # Copies: of a view, torch would save all of what it is a view of.
    return [{name: values[rank].to('cpu', copy=True) for name, values in gathered.items()} for rank in range(ranks)]


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, safe against a kill at any moment.

    Checkpoints and ``last_checkpoint`` are replaced in one step, and what is outdated is deleted only after its
    successor is complete: ``last_checkpoint`` always names a whole file, also with ``max_keep_ckpts=1``. A kill
    leaves at most one outdated checkpoint and one ``.partial`` file behind, which the next start removes.

    A model may have state that differs between ranks: ``rank_state()`` gives it as a dict of tensors of one shape. All
    ranks' is gathered into the checkpoint of rank 0, as ``rank_state``, and a load hands the list of them to the
    model's ``load_rank_state``. The checkpoint stays one file that can be moved, and fits another number of ranks.

    Takes the arguments of ``CheckpointHook``. With an ``out_dir`` or backend that is not the local disk it behaves
    as its base.
    """

    file_backend: Any
    rank_state: list[dict] | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Give the model back what its ranks saved."""
        model = self._model(runner)
        if 'rank_state' in checkpoint and hasattr(model, 'load_rank_state'):
            model.load_rank_state(checkpoint['rank_state'])

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put in what the ranks have; called on the writing rank only."""
        if self.rank_state:
            checkpoint['rank_state'] = self.rank_state

    @staticmethod
    def _model(runner) -> Any:
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

    def before_train(self, runner) -> None:
        """Choose the atomic backend for a local folder, and remove what a kill has left there."""
        super().before_train(runner)
        self.atomic = isinstance(self.file_backend, LocalBackend) and self.file_client_args is None
        if not self.atomic:
            return
        self.backend_args = dict(backend='lewel_plugins_atomic')
        if is_main_process():
            for folder in {str(self.out_dir), str(runner.work_dir)}:
                for leftover in Path(folder).glob(f'*{_PARTIAL}'):
                    leftover.unlink()
                    runner.logger.info(f'Removed {leftover}, left by an interrupted write.')

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        model = self._model(runner)
        self.rank_state = _of_all_ranks(model.rank_state()) if hasattr(model, 'rank_state') else None
        try:
            self._save_with_step(runner, step, meta)
        finally:
            self.rank_state = None

    def _save_with_step(self, runner, step: int, meta: dict) -> None:
        if not self.atomic:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        outdated = self._outdated_by(step)
        if self.max_keep_ckpts > 0:
            # The checkpoint names what is outdated too: a run that resumes from it finishes the deletion.
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
            write_atomically(os.path.join(runner.work_dir, 'last_checkpoint'), str(self.last_ckpt).encode())
            for old in outdated:
                path = self.file_backend.join_path(str(self.out_dir), self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)
        if self.max_keep_ckpts > 0:
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _outdated_by(self, step: int) -> list[int]:
        """Note a new checkpoint among those kept; returns the steps of those that it pushes out."""
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
        for path in deferred.noted:
            if path not in current and backend.isfile(path):
                backend.remove(path)
