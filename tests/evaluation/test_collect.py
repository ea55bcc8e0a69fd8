import pytest
import torch
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from lewel_plugins.evaluation.collect import collect

pytestmark = pytest.mark.core


def sample(i: int, label: int | list[int] | None) -> dict:
    data_sample = DataSample(metainfo=dict(sample_idx=10 + i))
    return dict(
        inputs=torch.tensor([float(i), 1.0]),
        data_samples=data_sample if label is None else data_sample.set_gt_label(label),
    )


def loader(labels: list) -> DataLoader:
    def stack(items: list[dict]) -> dict:
        return dict(inputs=torch.stack([x['inputs'] for x in items]), data_samples=[x['data_samples'] for x in items])

    return DataLoader([sample(i, label) for i, label in enumerate(labels)], 2, collate_fn=stack)


def test_rows_labels_and_indices_of_all_batches():
    weight = torch.ones(2, requires_grad=True)
    images = collect(loader([3, None, 0]), lambda batch: batch['inputs'] * weight, 'title')
    assert images.values.tolist() == [[0, 1], [1, 1], [2, 1]] and not images.values.requires_grad
    assert images.labels.tolist() == [3, -1, 0] and images.indices.tolist() == [10, 11, 12]


def test_several_labels_per_image_are_an_error():
    with pytest.raises(ValueError, match='2 entries'):
        collect(loader([[1, 2]]), lambda batch: batch['inputs'], 'title')
