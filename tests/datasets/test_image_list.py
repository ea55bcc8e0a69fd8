import gzip

import numpy as np
import pytest
from helpers.tiny_data import write_image
from mmengine.config import Config

from lewel_plugins.datasets import ImageList

pytestmark = pytest.mark.core


def test_paths_of_a_list_are_relative_to_it_or_to_a_folder(tmp_path):
    (tmp_path / 'photos').mkdir()
    write_image(tmp_path / 'photos' / 'ä b.jpg', np.random.default_rng(0))
    (tmp_path / 'run').mkdir()
    with gzip.open(tmp_path / 'run' / 'images.txt.gz', 'wt', encoding='utf-8') as file:
        file.write('ä b.jpg\t123\tdigest\n\n')
    beside = ImageList(str(tmp_path / 'run' / 'images.txt.gz'))
    assert beside.get_data_info(0)['img_path'] == str(tmp_path / 'run' / 'ä b.jpg')
    images = ImageList(str(tmp_path / 'run' / 'images.txt.gz'), data_root=str(tmp_path / 'photos'))
    assert len(images) == 1 and images.get_data_info(0)['img_path'] == str(tmp_path / 'photos' / 'ä b.jpg')
    (tmp_path / 'list.txt').write_text(str(tmp_path / 'photos' / 'ä b.jpg') + '\n', encoding='utf-8')
    absolute = ImageList(str(tmp_path / 'list.txt'))
    assert absolute.get_data_info(0)['img_path'] == str(tmp_path / 'photos' / 'ä b.jpg')


def test_a_config_names_the_list_beside_itself(tmp_path):
    (tmp_path / 'list.txt').write_text('a.jpg\n')
    config = tmp_path / 'config.py'
    config.write_text("images = dict(list_file='{{ fileDirname }}/list.txt')\n")
    assert len(ImageList(**Config.fromfile(config).images)) == 1


def test_labels_of_some_images_come_from_another_list(tmp_path):
    (tmp_path / 'images.txt').write_text('a.jpg\t12\n"b\\tc.jpg"\t34\nd.jpg\t56\n')
    (tmp_path / 'bank.txt').write_text('"b\\tc.jpg"\t7\nelsewhere.jpg\t1\na.jpg\t0\n')
    images = ImageList(str(tmp_path / 'images.txt'), label_file=str(tmp_path / 'bank.txt'))
    assert [images.get_data_info(i).get('gt_label') for i in range(3)] == [0, 7, None]


def test_errors_name_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match='missing'):
        ImageList(str(tmp_path / 'missing.txt'))
    (tmp_path / 'empty.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'empty\.txt names no image'):
        ImageList(str(tmp_path / 'empty.txt'))
