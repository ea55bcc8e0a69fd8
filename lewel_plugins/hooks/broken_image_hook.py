from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from lewel_plugins.registry import HOOKS

_KEY = 'broken_images'


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Counts the broken images that ``PretrainDataset`` replaced, names them, and stops when there are too many.

    Each file is logged when it is first met. The number of different ones is logged with the losses as
    ``broken_images`` from the first one on. The list is written to ``broken_images.txt`` in the run's folder at the
    end of every epoch and of the run, and is kept in checkpoints.

    Every rank counts what it meets itself, which needs no communication. At the end of an epoch the ranks'
    lists are merged, so that within one epoch every rank may go up to the limit by itself, after it all together.

    Args:
        max_share: Share of the data set that may be broken, in [0, 1].

    Raises:
        ValueError: If ``max_share`` is not in [0, 1].
        RuntimeError: In training, if more than that is broken; it names up to ten files.
    """

    def __init__(self, max_share: float = 0.01) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share must be in [0, 1], got {max_share}')
        self.max_share = max_share
        self._files: dict[str, None] = {}  # a set that keeps its order

    def before_train(self, runner: Runner) -> None:
        """Take up the list of a resumed run."""
        self._files = dict.fromkeys(runner.message_hub.runtime_info.get(_KEY, []))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Collect what was replaced in this batch."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        self._add(runner, [file for sample in samples or () for file in sample.get('broken_files', ())])
        if self._files:
            runner.message_hub.update_scalar(f'train/{_KEY}', len(self._files))

    def after_train_epoch(self, runner: Runner) -> None:
        """Merge the ranks' lists and write the file."""
        self._add(runner, [file for files in all_gather_object(list(self._files)) for file in files])
        self._write(runner)

    def _add(self, runner: Runner, files: list[str]) -> None:
        new = [file for file in dict.fromkeys(files) if file not in self._files]
        if not new:
            return
        for file in new:
            runner.logger.warning(f'Broken image, replaced by another: {file}')
        self._files.update(dict.fromkeys(new))
        runner.message_hub.update_info(_KEY, list(self._files))
        self._check(runner)

    def _check(self, runner: Runner) -> None:
        total = len(runner.train_dataloader.dataset)
        share = len(self._files) / total
        if share <= self.max_share:
            return
        self._write(runner)
        first = '\n  '.join(list(self._files)[:10])
        raise RuntimeError(
            f'{len(self._files)} of {total} images ({share:.2%}) are broken, more than BrokenImageHook.max_share = '
            f'{self.max_share:.2%}. The first ones, all are in {self._path(runner)}:\n  {first}'
        )

    def _write(self, runner: Runner) -> None:
        if self._files and is_main_process():
            self._path(runner).write_text(''.join(f'{file}\n' for file in self._files))

    @staticmethod
    def _path(runner: Runner) -> Path:
        return Path(runner.work_dir) / 'broken_images.txt'
