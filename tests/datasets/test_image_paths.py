"""Paths without a pickled dict per image are those that mmengine would hold, in whatever way they are read."""

import copy
import os
import pickle

import pytest
from mmengine.dataset import BaseDataset

from lewel_plugins.datasets import ImageList
from lewel_plugins.datasets.image_paths import ImagePaths
from lewel_plugins.image_files.path_list import encode_lines, path_line

pytestmark = pytest.mark.core
NAMES = ['a.jpg', 'ä/b c.jpg', os.fsdecode(b'\xff\x80.png'), 'line\nbreak.jpg', '"quoted', 'tab\t.jpg', 'é.tif']


class Pickled(ImageList):
    """The same images as mmengine holds them."""

    get_data_info, _serialize_data = BaseDataset.get_data_info, BaseDataset._serialize_data


@pytest.fixture
def lists(tmp_path) -> tuple[ImageList, ImageList]:
    (tmp_path / 'list.txt').write_bytes(encode_lines(path_line(name, 'size') for name in NAMES))
    return ImageList(str(tmp_path / 'list.txt')), Pickled(str(tmp_path / 'list.txt'))


def contents(dataset: BaseDataset) -> list[dict]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_images_and_subsets_are_those_of_mmengine(lists):
    ours, mmengines = lists
    assert [os.path.basename(info['img_path']) for info in contents(ours)] == list(map(os.path.basename, NAMES))
    assert contents(ours) == contents(mmengines)
    assert len(ours.data_bytes) < len(mmengines.data_bytes) - 20 * len(ours)
    assert ours.get_data_info(-2) == mmengines.get_data_info(-2) and ours.data_list == []
    for part in (0, 3, -2, [5, 0, -1], []):
        assert contents(ours.get_subset(part)) == contents(mmengines.get_subset(part))
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        copied.get_subset_([5, 2])
        assert contents(copied) == contents(mmengines.get_subset([5, 2]))
    assert len(ours) == len(NAMES)
    for index in (len(NAMES), -len(NAMES) - 1):
        with pytest.raises(IndexError):
            ours.get_data_info(index)


def test_other_entries_and_filters_keep_their_meaning(tmp_path):
    class Labeled(ImagePaths):
        def load_data_list(self) -> list[dict]:
            return [dict(img_path=f'{i}.jpg', gt_label=i) for i in range(4)]

        def filter_data(self) -> list[dict]:
            return [info for info in self.data_list if info['gt_label'] != 1]

    assert [info['gt_label'] for info in contents(Labeled())] == [0, 2, 3]
    assert [info['img_path'] for info in contents(Labeled(indices=[2, 0]))] == ['3.jpg', '0.jpg']
    (tmp_path / 'list.txt').write_text('a.jpg\t7\nb.jpg\t9\n')
    assert [info['gt_label'] for info in contents(ImageList(str(tmp_path / 'list.txt'), labels=True))] == [7, 9]


def test_a_path_that_no_file_can_have_is_one_image(tmp_path):
    (tmp_path / 'list.txt').write_bytes(b'a\0b.jpg\nc.jpg\n')
    infos = contents(ImageList(str(tmp_path / 'list.txt')))
    assert [info['img_path'] for info in infos] == [f'{tmp_path}/a\0b.jpg', f'{tmp_path}/c.jpg']
