from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset

from lewel_plugins.registry import DATASETS
from lewel_plugins.running.loading_record import LoadingRecord
from lewel_plugins.seeding import derive_seed, seeded
from lewel_plugins.transforms import BrokenImageError

from .dataset_wrapper import DatasetWrapper


class SampleId(NamedTuple):
    """An image and the seed of its views, as :class:`SeededSampler` yields them."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    seed: int


def broken_files(data_samples: Sequence[Any]) -> list[list[str]]:
    """Return, for each sample, the broken files that it replaces, with the reason; usually none."""
    return [list(sample.get('broken_files', ())) for sample in data_samples]


@DATASETS.register_module()
class PretrainDataset(DatasetWrapper):
    """Load each item of the wrapped dataset under its own seed, and replace broken images.

    With a :class:`SampleId` from :class:`SeededSampler`, the views of an image are a function of (run seed, epoch,
    index) alone. They depend on neither the number of workers nor the order, and a resumed run makes the same ones.
    With a plain index, the generators are neither seeded nor restored.

    If :class:`LoadRGB` raises :class:`BrokenImageError` for an image, another image replaces it, drawn from the seed,
    or from a plain index. The data sample of the replacement lists the broken files in its metainfo ``broken_files``,
    which ``BrokenImageHook`` reads in training. Of a plain index it keeps that as ``sample_idx``. Validations fill
    their batches with it, and leave its features out. All other errors propagate.

    Workers note which image they load, so that the error of one that is killed or hangs names its file.

    Args:
        dataset: Config of any dataset with a pipeline that starts with ``lewel_plugins.LoadRGB`` and ends with
            ``PackInputs``.
        max_tries: Number of images to try for one sample.
        labels: Whether samples keep their label. Without, batches arrive sooner, because each label travels from the
            worker in a shared-memory file of its own. The metainfo ``image_index`` of a sample is then the index of its
            image in this data set, by which ``OnlineProbeHook`` reads the label.

    Raises:
        ValueError: If ``max_tries`` is below 1, or the dataset is empty.
        RuntimeError: If ``max_tries`` images in a row are broken. The message names them.
    """

    def __init__(self, dataset: dict | BaseDataset, max_tries: int = 10, labels: bool = True) -> None:
        if max_tries < 1:
            raise ValueError(f'max_tries must be at least 1, got {max_tries}')
        super().__init__(dataset)
        self.max_tries, self.labels = max_tries, labels
        if len(self.dataset) == 0:
            raise ValueError(f'the {type(self.dataset).__name__} to pretrain on is empty: {dataset}')
        self._record = LoadingRecord(self)

    def __getitem__(self, idx: int | SampleId) -> dict:
        index, seed = idx if isinstance(idx, SampleId) else (idx, None)
        errors: list[BrokenImageError] = []
        while len(errors) < self.max_tries:
            try:
                sample = self._load(index, seed)
            except BrokenImageError as error:
                errors.append(error)
                index, seed = self._draw_other(idx, seed, len(errors))
            else:
                if not self.labels:
                    sample['data_samples'].pop('gt_label', None)
                    # sample_idx is the index in the innermost data set, which this one may wrap in others.
                    sample['data_samples'].set_metainfo(dict(image_index=index))
                if errors:
                    replaced: dict[str, Any] = {'broken_files': [str(error) for error in errors]}
                    if seed is None:
                        replaced['sample_idx'] = idx
                    sample['data_samples'].set_metainfo(replaced)
                return sample
        files = '\n  '.join(str(error) for error in errors)
        raise RuntimeError(f'{self.max_tries} images in a row are broken:\n  {files}')

    def _load(self, index: int, seed: int | None) -> dict:
        self._record.note(index)
        try:
            if seed is None:
                return self.dataset[index]
            with seeded(seed):
                return self.dataset[index]
        finally:
            self._record.note(~index)

    def _draw_other(self, index: int | SampleId, seed: int | None, attempt: int) -> tuple[int, int | None]:
        if seed is None:
            return derive_seed(int(index), attempt) % len(self), None  # type: ignore[arg-type]
        seed = derive_seed(seed, attempt)
        return seed % len(self), seed
