import colorsys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lewel_plugins.datasets.garment_scenes import SceneConfig, scene_renderer
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


def square_renderer(photographs, garment=None, clutter=0.0, **values):
    """Return a renderer of one garment of 28 x 28 pixels, by default white, on black."""
    garment = np.full((28, 28), 255, np.uint8) if garment is None else garment
    config = SceneConfig(size=200, clutter=clutter, **values)
    return SceneRenderer(config, np.repeat(garment[None], 10, 0), np.zeros(10, np.uint8), photographs)


def test_poses_are_those_of_the_image(photographs):
    renderer = square_renderer(photographs, scale=(0.4, 0.7))
    scenes = [renderer.render('train', index) for index in range(20)]
    for scene in scenes:
        (pose,), mask = scene.poses, scene.masks[0]
        rows, columns = np.nonzero(mask)
        assert columns.mean() + 0.5 == pytest.approx(pose.x * 200, abs=0.5)
        assert rows.mean() + 0.5 == pytest.approx(pose.y * 200, abs=0.5)
        assert np.sqrt(mask.sum()) == pytest.approx(pose.scale * 200, rel=0.05)
        # The right half of the upper edge falls by its rotation.
        upper = mask.argmax(0)
        middle = round(pose.x * 200)
        reach = round(pose.scale * 200 * 0.3)
        slope = (float(upper[middle + reach]) - float(upper[middle - reach])) / (2 * reach)
        assert np.degrees(np.arctan(slope)) == pytest.approx(pose.rotation, abs=2)
    assert len({scene.poses[0] for scene in scenes}) == 20
    assert min(scene.poses[0].rotation for scene in scenes) < -5 < 5 < max(scene.poses[0].rotation for scene in scenes)


def test_mirrored_garments_have_their_left_on_the_right(photographs):
    garment = np.full((28, 28), 60, np.uint8)
    garment[:, :14] = 255
    renderer = square_renderer(photographs, garment, scale=(0.6, 0.6))
    scenes = [renderer.render('train', index) for index in range(10)]
    for scene in scenes:
        columns = np.nonzero(scene.masks[0])[1]
        light = scene.image.max(2)[scene.masks[0]]
        left, right = (light[side].mean() for side in (columns < columns.mean(), columns >= columns.mean()))
        assert (right > left) == scene.poses[0].is_mirrored
    assert {scene.poses[0].is_mirrored for scene in scenes} == {True, False}


def test_tints_are_those_of_the_image(photographs):
    renderer = square_renderer(photographs)
    for index in range(10):
        scene = renderer.render('train', index)
        (tint,) = scene.tints
        expected = np.array(colorsys.hsv_to_rgb(tint.hue / 360, tint.saturation, tint.value)) * 255
        middle = scene.image[90:110, 90:110].reshape(-1, 3)
        assert np.abs(middle - expected).max() <= 1


def test_one_factor_changes_only_what_it_names(photographs, monkeypatch):
    renderer = square_renderer(photographs, clutter=0.5)
    before = renderer.render('val', 4)
    draw = scene_renderer._draw_tint

    def turned(rng):
        tint = draw(rng)
        return tint._replace(hue=(tint.hue + 180) % 360)

    monkeypatch.setattr(scene_renderer, '_draw_tint', turned)
    after = renderer.render('val', 4)
    assert after.poses == before.poses and after.labels == before.labels
    assert after.tints[0].hue == (before.tints[0].hue + 180) % 360
    assert np.array_equal(after.masks, before.masks)
    changed = (after.image != before.image).any(2)
    assert changed[before.masks[0]].mean() > 0.9
    rim = cv2.dilate(before.masks[0].astype(np.uint8), np.ones((31, 31))).astype(bool)  # the soft border
    assert not changed[~rim].any()


def test_multi_scenes_have_one_pose_and_tint_per_garment(garments, photographs):
    renderer = SceneRenderer(SceneConfig(kind='multi', size=64, scale=(0.3, 0.6)), *garments, photographs)
    for index in range(10):
        scene = renderer.render('train', index)
        assert len(scene.poses) == len(scene.tints) == len(scene.labels)
