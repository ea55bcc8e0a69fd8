from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from lewel_plugins.files import write_text
from lewel_plugins.registry import HOOKS

_KEY = 'broken_images'


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Count the broken images that ``PretrainDataset`` has replaced, list them, and stop if there are too many.

    Each file is logged the first time it occurs. From the first one on, the number of different files is logged with
    the losses as ``broken_images``. At the end of each epoch, and of the run, the list is written to
    ``broken_images.txt`` in the run's folder. Checkpoints hold it, too.

    Each rank counts its own files, which needs no communication. The lists are merged at the end of an epoch. So within
    an epoch the limit applies to each rank, and after it to all ranks together.

    Args:
        max_share: Share of the data set that may be broken, in [0, 1].
        file: Name of the list in the run's folder.

    Raises:
        ValueError: ``max_share`` is not in [0, 1].
        RuntimeError: During training, more images than that are broken. Names up to ten files.
    """

    def __init__(self, max_share: float = 0.01, file: str = 'broken_images.txt') -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share must be in [0, 1], got {max_share}')
        self.max_share, self.file = max_share, file
        self._files: dict[str, None] = {}  # an ordered set

    def before_train(self, runner: Runner) -> None:
        """Restore the list of a resumed run."""
        self._files = dict.fromkeys(runner.message_hub.runtime_info.get(_KEY, []))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Collect the files that were replaced in this batch."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        self._add(runner, [file for sample in samples or () for file in sample.get('broken_files', ())])
        if self._files:
            runner.message_hub.update_scalar(f'train/{_KEY}', len(self._files))

    def after_train_epoch(self, runner: Runner) -> None:
        """Merge the lists of the ranks and write the file."""
        self._add(runner, [file for files in all_gather_object(list(self._files)) for file in files])
        self._write(runner)

    def _add(self, runner: Runner, files: list[str]) -> None:
        new = [file for file in dict.fromkeys(files) if file not in self._files]
        if not new:
            return
        for file in new:
            runner.logger.warning(f'Broken image, replaced by another one: {file}')
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
            f'{self.max_share:.2%}. {self._path(runner)} lists all of them; the first:\n  {first}'
        )

    def _write(self, runner: Runner) -> None:
        if self._files and is_main_process():
            write_text(self._path(runner), ''.join(f'{file}\n' for file in self._files))

    def _path(self, runner: Runner) -> Path:
        return Path(runner.work_dir) / self.file
