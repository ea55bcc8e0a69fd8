import numpy as np
import pytest

from lewel_plugins.datasets import STL10

pytestmark = pytest.mark.core


def test_images_are_upright_and_labels_count_from_zero(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    images.transpose(0, 3, 2, 1).tofile(tmp_path / 'test_X.bin')  # the order in the file is channel, column, row
    images.transpose(0, 3, 2, 1).tofile(tmp_path / 'unlabeled_X.bin')
    np.array([1, 10, 3], np.uint8).tofile(tmp_path / 'test_y.bin')
    labeled, unlabeled = STL10(str(tmp_path), 'test'), STL10(str(tmp_path), 'unlabeled')
    assert len(labeled) == len(unlabeled) == 3
    for i in range(3):
        assert np.array_equal(labeled.get_data_info(i)['img'], images[i])
        assert np.array_equal(unlabeled.get_data_info(i)['img'], images[i])
        assert 'gt_label' not in unlabeled.get_data_info(i)
    assert [labeled.get_data_info(i)['gt_label'] for i in range(3)] == [0, 9, 2]


def test_labeled_and_unlabeled_images_one_after_the_other(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 96, 96), dtype=np.uint8)
    images[:2].tofile(tmp_path / 'train_X.bin')
    images[2:].tofile(tmp_path / 'unlabeled_X.bin')
    both = STL10(str(tmp_path), 'train+unlabeled')
    assert len(both) == 5
    for i in range(5):
        assert np.array_equal(both.get_data_info(i)['img'], images[i].transpose(2, 1, 0))
        assert 'gt_label' not in both.get_data_info(i)


def test_errors_name_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="got 'val'"):
        STL10(str(tmp_path), 'val')
    with pytest.raises(FileNotFoundError, match=r'train_X\.bin.*stl10_binary'):
        STL10(str(tmp_path), 'train')
    (tmp_path / 'train_X.bin').write_bytes(b'abc')
    with pytest.raises(ValueError, match='not a multiple of 27648'):
        STL10(str(tmp_path), 'train')
    np.zeros((2, 3, 96, 96), np.uint8).tofile(tmp_path / 'train_X.bin')
    np.ones(3, np.uint8).tofile(tmp_path / 'train_y.bin')
    with pytest.raises(ValueError, match='2 images, but there are 3 labels'):
        STL10(str(tmp_path), 'train')
