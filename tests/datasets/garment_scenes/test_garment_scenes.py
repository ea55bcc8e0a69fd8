from pathlib import Path

import numpy as np
import pytest

from lewel_plugins.datasets.garment_scenes import SceneConfig
from lewel_plugins.datasets.garment_scenes.scene_renderer import MIN_VISIBLE, SceneRenderer
from lewel_plugins.datasets.garment_scenes.sources import load_garments, load_photographs

pytestmark = pytest.mark.core
ROOT = Path(__file__).parents[3] / 'data' / 'fashion_mnist'


@pytest.fixture(scope='module')
def garments():
    return load_garments(ROOT)


@pytest.fixture(scope='module')
def photographs():
    return list(load_photographs().values())


def test_there_are_many_photographs(photographs):
    assert len(photographs) >= 10
    assert all(photograph.shape[2] == 3 and photograph.dtype == np.uint8 for photograph in photographs)


def test_scene_depends_on_seed_split_and_index_only(garments, photographs):
    one, two = (SceneRenderer(SceneConfig(num_train=n), *garments, photographs) for n in (10, 500))
    first = one.render('train', 7)
    two.render('train', 3)
    second = two.render('train', 7)
    assert np.array_equal(first.image, second.image) and first.labels == second.labels
    assert not np.array_equal(first.image, two.render('train', 8).image)
    assert not np.array_equal(first.image, two.render('val', 7).image)
    other = SceneRenderer(SceneConfig(seed=1), *garments, photographs)
    assert not np.array_equal(first.image, other.render('train', 7).image)


def test_train_and_val_have_no_garment_in_common(garments, photographs):
    pools = SceneRenderer(SceneConfig(seed=5), *garments, photographs).pools
    assert not set(pools['train']) & set(pools['val'])
    assert len(pools['train']) + len(pools['val']) == 10_000


def test_without_clutter_the_background_is_black(garments, photographs):
    scene = SceneRenderer(SceneConfig(clutter=0.0), *garments, photographs).render('train', 0)
    dark = scene.image.max(2) == 0
    assert 0.2 < dark.mean() < 0.9
    assert not (dark & scene.masks[0]).any()


def test_scale_is_the_longer_side_over_the_frame(garments, photographs):
    config = SceneConfig(size=100, scale=(0.5, 0.5))
    renderer = SceneRenderer(config, *garments, photographs)
    for index in range(10):
        rows, columns = np.nonzero(renderer.render('train', index).masks[0])
        # A rotation by up to 20 degrees stretches the bounding box of a square by 1.28.
        assert 35 < max(np.ptp(rows), np.ptp(columns)) + 1 < 50 * 1.3


def test_garments_of_a_scene_do_not_share_pixels(garments, photographs):
    config = SceneConfig(kind='multi', size=96, scale=(0.3, 0.6))
    renderer = SceneRenderer(config, *garments, photographs)
    scenes = [renderer.render('train', index) for index in range(40)]
    assert {len(scene.labels) for scene in scenes} >= {1, 2, 3, 4}
    for scene in scenes:
        assert len(scene.masks) == len(scene.labels)
        assert np.sum(scene.masks, 0).max() <= 1
        assert all(mask.sum() > MIN_VISIBLE * 20 for mask in scene.masks)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (dict(kind='many'), "got 'many'"),
        (dict(size=8), 'got 8'),
        (dict(num_val=0), 'got 8000 and 0'),
        (dict(scale=(0.9, 0.5)), r'got \(0.9, 0.5\)'),
        (dict(clutter=1.5), 'got 1.5'),
        (dict(seed=-1), 'got -1'),
        (dict(quality=0), 'got 0'),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**values)
