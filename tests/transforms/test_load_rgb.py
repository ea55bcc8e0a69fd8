import numpy as np
import pytest
from PIL import Image

from lewel_plugins.transforms import BrokenImageError, LoadRGB

pytestmark = pytest.mark.core

GRAY = np.linspace(0, 255, 48 * 40).reshape(48, 40).astype(np.uint8)
PICTURE = np.stack([GRAY, GRAY[::-1], np.full_like(GRAY, 60)], -1)


@pytest.mark.parametrize(('mode', 'expected'), [('RGB', PICTURE), ('L', np.dstack([GRAY] * 3))])
def test_files_become_bgr_with_their_shape(tmp_path, mode, expected):
    path = tmp_path / 'image'
    Image.fromarray(expected).convert(mode).save(path, 'PNG')
    results = LoadRGB()(dict(img_path=str(path)))
    assert results['img'].dtype == np.uint8
    assert np.array_equal(results['img'][..., ::-1], expected)
    assert results['img_shape'] == results['ori_shape'] == (48, 40)


def test_broken_files_are_named(tmp_path):
    path = tmp_path / 'cut.png'
    Image.fromarray(PICTURE).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BrokenImageError, match=r'cut\.png: the PNG is truncated') as error:
        LoadRGB()(dict(img_path=str(path)))
    assert error.value.path == str(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BrokenImageError, match='nothing.jpg: cannot be read .No such file'):
        LoadRGB()(dict(img_path=str(tmp_path / 'nothing.jpg')))
    with pytest.raises(BrokenImageError, match='cannot be read'):
        LoadRGB()(dict(img_path=str(tmp_path)))


def test_images_in_memory():
    assert np.array_equal(LoadRGB()(dict(img=PICTURE))['img'], PICTURE[..., ::-1])
    assert np.array_equal(LoadRGB()(dict(img=GRAY))['img'], np.dstack([GRAY] * 3))
    for img in (PICTURE.astype(np.float32), np.zeros((4, 5, 4), np.uint8)):
        with pytest.raises(ValueError, match=r'img must be .*uint8, got \((48, 40, 3|4, 5, 4)\)'):
            LoadRGB()(dict(img=img))


def test_cache_reads_once_and_gives_copies(tmp_path):
    path = tmp_path / 'image'
    Image.fromarray(PICTURE).save(path, 'PNG')
    transform = LoadRGB(cache=True)
    first = transform(dict(img_path=str(path)))['img'].copy()
    transform(dict(img_path=str(path)))['img'][:] = 0
    path.unlink()
    assert np.array_equal(transform(dict(img_path=str(path)))['img'], first)


def test_backend_args(tmp_path):
    path = tmp_path / 'image'
    Image.fromarray(PICTURE).save(path, 'PNG')
    img = LoadRGB(backend_args=dict(backend='local'))(dict(img_path=str(path)))['img']
    assert np.array_equal(img[..., ::-1], PICTURE)
