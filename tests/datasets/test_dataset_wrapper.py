import pytest

from lewel_plugins.datasets import ImageTree
from lewel_plugins.datasets.dataset_wrapper import DatasetWrapper

pytestmark = pytest.mark.core


def test_forwards_what_mmengine_reads(image_folder):
    inner = ImageTree(str(image_folder), lazy_init=True)
    dataset = DatasetWrapper(inner)
    dataset.full_init()
    assert inner._fully_initialized
    assert len(dataset) == 12
    assert dataset.metainfo == inner.metainfo
    assert dataset.get_data_info(1) == inner.get_data_info(1)


def test_forwards_classes():
    class Labeled(list):
        def get_cat_ids(self, idx: int) -> list[int]:
            return [self[idx]]

    assert DatasetWrapper(Labeled([5, 7])).get_cat_ids(1) == [7]


def test_builds_a_config(image_folder):
    dataset = DatasetWrapper(dict(type='lewel_plugins.ImageTree', data_root=str(image_folder)))
    assert isinstance(dataset.dataset, ImageTree) and len(dataset) == 12
