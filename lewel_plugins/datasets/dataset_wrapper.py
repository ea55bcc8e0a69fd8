from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from torch.utils.data import Dataset


class DatasetWrapper(Dataset):
    """Base of datasets that wrap another one: it provides all that mmengine reads from a dataset.

    Args:
        dataset: Config of the wrapped dataset, or the dataset itself.
    """

    def __init__(self, dataset: dict | BaseDataset) -> None:
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    @property
    def metainfo(self) -> dict:
        """Metainfo of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations of the wrapped dataset unless they are loaded."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """Return the wrapped dataset's annotation of an image."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the wrapped dataset's class indices of an image."""
        return self.dataset.get_cat_ids(idx)

    def __len__(self) -> int:
        return len(self.dataset)
