from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_data import make_cifar, trust_cifar, write_image
from mmengine.registry import init_default_scope

from lewel_plugins.datasets import CIFAR10

pytestmark = pytest.mark.core
NAMES = CIFAR10.METAINFO['classes']


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (('train', 20), ('test', 3)):
        for name in NAMES:
            for i in range(count):
                write_image(tmp_path / split / name / f'{i:04d}.jpg', rng)
    return tmp_path


def test_image_files_have_the_label_of_their_folder(folder):
    for split, count in (('train', 20), ('test', 3)):
        dataset = CIFAR10(str(folder), split)
        assert len(dataset) == 10 * count
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            assert Path(info['img_path']).parent == folder / split / NAMES[info['gt_label']]


def test_two_parts_of_the_training_images(folder):
    parts = {split: CIFAR10(str(folder), split) for split in ('train', 'fit', 'held_out')}
    paths = {name: {part.get_data_info(i)['img_path'] for i in range(len(part))} for name, part in parts.items()}
    assert paths['fit'] | paths['held_out'] == paths['train'] and not paths['fit'] & paths['held_out']
    held_out = Counter(parts['held_out'].get_data_info(i)['gt_label'] for i in range(len(parts['held_out'])))
    assert held_out == dict.fromkeys(range(10), 2)
    assert sorted(Path(path).stem for path in paths['held_out']) == ['0009'] * 10 + ['0019'] * 10


def test_downloaded_files_without_a_folder(tmp_path, monkeypatch):
    init_default_scope('mmpretrain')
    make_cifar(tmp_path, 'cifar10', np.random.default_rng(0))
    trust_cifar(monkeypatch)
    dataset = CIFAR10(str(tmp_path), 'train')
    assert dataset.get_data_info(0)['img'].shape == (32, 32, 3)
    assert len(CIFAR10(str(tmp_path), 'fit')) == len(dataset)  # no class has ten images


def test_errors_name_what_is_wrong(folder):
    with pytest.raises(ValueError, match="'train', 'test', 'fit', 'held_out', got 'val'"):
        CIFAR10(str(folder), 'val')
    for entry in (folder / 'test' / 'cat').iterdir():
        entry.unlink()
    (folder / 'test' / 'cat').rmdir()
    with pytest.raises(ValueError, match=r'test must hold one folder for each class .* but has airplane'):
        CIFAR10(str(folder), 'test')
