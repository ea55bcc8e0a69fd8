from pathlib import Path

from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from lewel_plugins.evaluation.feature_loop import UNREADABLE
from lewel_plugins.files import write_bytes
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.registry import HOOKS

_KEY, _WATCHED = 'broken_images', 'broken_images_of_validations'


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Count the broken images that ``PretrainDataset`` has replaced, list them, and stop if there are too many.

    Each file is logged the first time it occurs. From the first one on, the number of different files is logged with
    the losses as ``broken_images``. At the end of each epoch, validation, and of the run, the list is written to
    ``broken_images.txt`` in the run's folder. Checkpoints hold it, too.

    Each rank counts its own files, which needs no communication. The lists are merged at the end of an epoch. So within
    an epoch the limit applies to each rank, and after it to all ranks together; a rank other than the first one that
    reaches it writes ``broken_images.rank1.txt``. Files that a validation leaves out are counted and listed, but end no
    run.

    Args:
        max_share: Share of the data set that may be broken in training, in [0, 1]. Unless it is 0, one file may always
            be, of three images or more.
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
        self._only_watched: set[str] = set()  # those of them that validations alone have met

    def before_train(self, runner: Runner) -> None:
        """Restore the list of a resumed run."""
        self._files = dict.fromkeys(runner.message_hub.runtime_info.get(_KEY, []))
        self._only_watched = set(runner.message_hub.runtime_info.get(_WATCHED, []))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Collect the files that were replaced in this batch."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        self._add(runner, [file for sample in samples or () for file in sample.get('broken_files', ())])
        if self._files:
            runner.message_hub.update_scalar(f'train/{_KEY}', len(self._files))

    def after_train_epoch(self, runner: Runner) -> None:
        """Merge the lists of the ranks and write the file."""
        self._add(runner, [file for files in all_gather_object(self._in_training()) for file in files])
        self._write(runner)

    def after_val(self, runner: Runner) -> None:
        """Add the files that the validation has left out on any rank, and write the file."""
        own = runner.message_hub.runtime_info.get(UNREADABLE, [])
        files = [file for part in all_gather_object(list(own)) for file in part]
        if own:
            runner.message_hub.update_info(UNREADABLE, [])
        new = [file for file in dict.fromkeys(files) if file not in self._files]
        if not new:
            return
        self._log(runner, new, 'left out of the validation')
        self._only_watched.update(new)
        self._note(runner)
        self._write(runner)

    def _in_training(self) -> list[str]:
        return [file for file in self._files if file not in self._only_watched]

    def _add(self, runner: Runner, files: list[str]) -> None:
        new = [file for file in dict.fromkeys(files) if file not in self._files]
        if not new and self._only_watched.isdisjoint(files):
            return
        self._log(runner, new, 'replaced by another one')
        self._only_watched.difference_update(files)
        self._note(runner)
        self._check(runner)

    def _log(self, runner: Runner, new: list[str], what: str) -> None:
        for file in new:
            runner.logger.warning(f'Broken image, {what}: {file}')
        self._files.update(dict.fromkeys(new))

    def _note(self, runner: Runner) -> None:
        runner.message_hub.update_info(_KEY, list(self._files))
        runner.message_hub.update_info(_WATCHED, sorted(self._only_watched))

    def _check(self, runner: Runner) -> None:
        total, files = len(runner.train_dataloader.dataset), self._in_training()
        share = len(files) / total
        if share <= self.max_share or (len(files) == 1 and self.max_share and total > 2):
            return
        path = self._path(runner, get_rank())  # the ranks' lists are not merged yet
        self._write_to(path)
        first = '\n  '.join(files[:10])
        raise RuntimeError(
            f'{len(files)} of {total} images ({share:.2%}) are broken, more than BrokenImageHook.max_share = '
            f'{self.max_share:.2%}. {path} lists all of them; the first:\n  {first}'
        )

    def _write(self, runner: Runner) -> None:
        if self._files and get_rank() == 0:
            self._write_to(self._path(runner))

    def _write_to(self, path: Path) -> None:
        write_bytes(path, encode_lines(map(path_line, self._files)))

    def _path(self, runner: Runner, rank: int = 0) -> Path:
        path = Path(runner.work_dir) / self.file
        return path.with_suffix(f'.rank{rank}{path.suffix}') if rank else path
