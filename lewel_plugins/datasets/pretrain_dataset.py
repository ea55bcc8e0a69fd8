from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from torch.utils.data import Dataset

from lewel_plugins.registry import DATASETS
from lewel_plugins.seeding import derive_seed, seeded
from lewel_plugins.transforms import BrokenImageError


class SampleId(NamedTuple):
    """An image and the seed of its views, as :class:`SeededSampler` yields them."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    seed: int


@DATASETS.register_module()
class PretrainDataset(Dataset):
    """Runs the wrapped dataset's item under a seed of its own, and replaces broken images.

    With the :class:`SampleId` of a :class:`SeededSampler` the views of an image are a function of (run seed, epoch,
    index) alone: not of the number of workers, of the order or of a resume. A plain index leaves the generators
    alone.

    An image for which :class:`LoadRGB` raises :class:`BrokenImageError` is replaced by another one, drawn from the
    seed. The data sample of the replacement names the broken ones in its metainfo ``broken_files``, where
    ``BrokenImageHook`` finds them. All other errors surface.

    Args:
        dataset: Config of any dataset with a pipeline that starts with ``lewel_plugins.LoadRGB`` and ends with
            ``PackInputs``.
        max_tries: Images that are tried for one sample.

    Raises:
        ValueError: If ``max_tries`` is below 1, or the dataset is empty.
        RuntimeError: If ``max_tries`` images in a row are broken; it names them.
    """

    def __init__(self, dataset: dict | BaseDataset, max_tries: int = 10) -> None:
        if max_tries < 1:
            raise ValueError(f'max_tries must be at least 1, got {max_tries}')
        self.dataset: Any = MMENGINE_DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.max_tries = max_tries
        if len(self.dataset) == 0:
            raise ValueError(f'the {type(self.dataset).__name__} to pretrain on is empty: {dataset}')

    @property
    def metainfo(self) -> dict:
        """The wrapped dataset's."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the wrapped dataset's annotations, if they are not yet."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """The wrapped dataset's annotation of an image."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """The wrapped dataset's class indices of an image."""
        return self.dataset.get_cat_ids(idx)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int | SampleId) -> dict:
        if not isinstance(idx, SampleId):
            return self._get(idx, None)
        return self._get(*idx)

    def _get(self, index: int, seed: int | None) -> dict:
        broken: list[BrokenImageError] = []
        while len(broken) < self.max_tries:
            try:
                if seed is None:
                    sample = self.dataset[index]
                else:
                    with seeded(seed):
                        sample = self.dataset[index]
            except BrokenImageError as error:
                broken.append(error)
                if seed is None:
                    index = np.random.randint(len(self))
                else:
                    seed = derive_seed(seed, len(broken))
                    index = seed % len(self)
                continue
            if broken:
                sample['data_samples'].set_metainfo({'broken_files': [str(error) for error in broken]})
            return sample
        files = '\n  '.join(str(error) for error in broken)
        raise RuntimeError(f'{self.max_tries} images in a row are broken:\n  {files}')
