import random

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.utils import register_all_modules
from torch.utils.data import DataLoader

from lewel_plugins.datasets import PretrainDataset, SampleId, SeededSampler

register_all_modules(init_default_scope=True)
pytestmark = pytest.mark.core

VIEW = [
    dict(type='mmpretrain.RandomResizedCrop', scale=16),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
    dict(type='mmpretrain.ColorJitter', brightness=0.4, hue=0.1, backend='cv2'),
]
PIPELINE = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='mmpretrain.MultiView', num_views=2, transforms=[VIEW]),
    dict(type='mmpretrain.PackInputs'),
]


def make(folder, pipeline=PIPELINE, **arguments) -> PretrainDataset:
    dataset = dict(type='lewel_plugins.ImageTree', data_root=str(folder), pipeline=pipeline)
    return PretrainDataset(dataset, **arguments)


def load_epoch(dataset: PretrainDataset, num_workers: int, skip: int = 0) -> list[tuple[str, torch.Tensor]]:
    sampler = SeededSampler(dataset, seed=3)
    sampler.set_epoch(5)
    sampler.skip(skip)
    loader = DataLoader(dataset, 4, sampler=sampler, num_workers=num_workers, collate_fn=default_collate)
    return [
        (sample.img_path, view)
        for batch in loader
        for sample, view in zip(batch['data_samples'], torch.stack(batch['inputs'], 1))
    ]


def assert_same(left: list, right: list) -> None:
    assert [path for path, _ in left] == [path for path, _ in right]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(left, right))


def test_views_depend_on_neither_workers_nor_resume(image_folder):
    dataset = make(image_folder)
    whole = load_epoch(dataset, num_workers=0)
    assert len(whole) == 12
    np.random.seed(1)
    torch.manual_seed(1)
    assert_same(load_epoch(dataset, num_workers=1), whole)
    assert_same(load_epoch(dataset, num_workers=2), whole)
    assert_same(load_epoch(dataset, num_workers=2, skip=8), whole[8:])


def test_another_seed_gives_other_views_and_the_generators_are_left_alone(image_folder):
    dataset = make(image_folder)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    one, again, other = (dataset[SampleId(3, seed)]['inputs'] for seed in (1, 1, 2))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one[0], other[0])


def test_plain_index_draws_from_the_process(image_folder):
    dataset = make(image_folder)
    np.random.seed(0)
    first, second = dataset[3]['inputs'][0], dataset[3]['inputs'][0]
    assert not torch.equal(first, second)


@pytest.mark.parametrize('index', [2, SampleId(2, 77)])
def test_broken_file_is_replaced_and_named(image_folder, index):
    dataset = make(image_folder)
    path = dataset.get_data_info(2)['img_path']
    with open(path, 'wb'):
        pass
    sample = dataset[index]['data_samples']
    assert sample.img_path != path
    assert sample.broken_files[0] == f'{path}: the file is empty'
    if isinstance(index, SampleId):
        assert dataset[index]['data_samples'].img_path == sample.img_path
    assert 'broken_files' not in dataset[SampleId(3, 77)]['data_samples']


def test_too_many_broken_files_in_a_row(image_folder):
    for path in image_folder.rglob('*.png'):
        path.write_bytes(b'')
    with pytest.raises(RuntimeError, match=r'(?s)3 images in a row are broken.*\.png: the file is empty'):
        make(image_folder, max_tries=3)[SampleId(0, 1)]


class Bug:
    def __call__(self, results: dict) -> dict:
        raise ValueError('a bug in a transform')


def test_other_errors_propagate(image_folder):
    dataset = make(image_folder, pipeline=[dict(type='lewel_plugins.LoadRGB'), Bug()])
    with pytest.raises(ValueError, match='a bug in a transform'):
        dataset[SampleId(0, 1)]


def test_bad_values(image_folder):
    with pytest.raises(ValueError, match='max_tries must be at least 1, got 0'):
        make(image_folder, max_tries=0)
    with pytest.raises(ValueError, match='empty'):
        PretrainDataset([])


@pytest.mark.parametrize('labels', [True, False])
def test_labels_stay_in_the_worker_if_nobody_needs_them(labels, image_folder):
    pipeline = [dict(type='lewel_plugins.LoadRGB'), dict(type='mmpretrain.PackInputs')]
    images = dict(type='mmpretrain.CustomDataset', data_root=str(image_folder), pipeline=pipeline)
    dataset = PretrainDataset(images, labels=labels)
    assert 'gt_label' in dataset.dataset[0]['data_samples']
    for index in (0, SampleId(0, 5)):
        sample = dataset[index]['data_samples']
        assert ('gt_label' in sample) == labels and sample.img_path
