from pathlib import Path

import numpy as np
import pytest

from lewel_plugins.datasets import FashionMNIST10k

pytestmark = pytest.mark.core
ROOT = str(Path(__file__).parents[2] / 'data' / 'fashion_mnist')


def test_parts_are_disjoint_and_whole():
    parts = [FashionMNIST10k(ROOT, split) for split in ('train', 'val')]
    assert [len(part) for part in parts] == [8000, 2000]
    infos = [part.get_data_info(i) for part in parts for i in range(len(part))]
    assert np.bincount([info['gt_label'] for info in infos]).tolist() == [1000] * 10
    assert infos[0]['img'].shape == (28, 28)
    assert parts[0].metainfo['classes'][9] == 'ankle-boot'


def test_errors_name_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="got 'test'"):
        FashionMNIST10k(ROOT, 'test')
    with pytest.raises(FileNotFoundError, match='t10k-images-idx3-ubyte.gz is missing'):
        FashionMNIST10k(str(tmp_path), 'train')
