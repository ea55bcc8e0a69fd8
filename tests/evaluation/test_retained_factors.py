"""Factors of scenes and views, and their regression."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from lewel_plugins.datasets.garment_scenes import SceneConfig, load_renderer, make_scenes
from lewel_plugins.datasets.garment_scenes.scene_renderer import Pose, Scene, Tint
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation import retained_factors
from lewel_plugins.evaluation.random_checkpoint import build_random_model
from lewel_plugins.evaluation.retained_factors import (
    RetainedFactors,
    retained,
    scene_factors,
    training_view,
    view_factors,
)
from lewel_plugins.transforms import ViewParameters

pytestmark = pytest.mark.core

ROOT = Path(__file__).parents[2]
GARMENTS = ROOT / 'data' / 'fashion_mnist'
RECIPE = ROOT / 'configs' / 'baselines' / 'mocov2_resnet10_1xb64-24e_garment-scenes.py'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    make_scenes(SceneConfig(num_train=60, num_val=30, seed=3), GARMENTS, folder)
    return folder


@pytest.fixture
def cfg(scenes):
    config = Config.fromfile(RECIPE)
    config.train_dataloader.dataset.dataset.data_root = config.val_dataloader.dataset.data_root = str(scenes)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.num_workers = 0
    return config


def test_scene_factors():
    empty = np.zeros((32, 32))
    scene = Scene(empty, [0], [empty], [Pose(0.4, 0.6, 0.8, -12.0, True)], [Tint(90.0, 0.5, 0.7)])
    factors = {name: rows.tolist() for name, rows in scene_factors([scene]).items()}
    assert factors.pop('tint')[0] == pytest.approx([0, 0.5])
    assert factors == dict(value=[[0.7]], position=[[0.4, 0.6]], scale=[[0.8]], rotation=[[-12.0]], mirror=[[1.0]])


def test_view_factors():
    jitter = (('hue', -0.25), ('contrast', 1.2), ('brightness', 0.7))
    views = [
        ViewParameters((4, 2, 16, 8), True, jitter, False, 1.5, True),
        ViewParameters((0, 0, 32, 16), False, (), True, 0.0, False),
    ]
    factors = {name: rows.tolist() for name, rows in view_factors(views, height=16, width=32).items()}
    hues = factors.pop('jitter_hue')
    assert hues[0] == pytest.approx([0, -1]) and hues[1] == [1, 0]
    assert factors == dict(
        crop_position=[[12 / 32, 6 / 16], [0.5, 0.5]],
        crop_size=[[0.5, 0.5], [1.0, 1.0]],
        flip=[[1.0], [0.0]],
        jitter_brightness=[[0.7], [1.0]],
        jitter_contrast=[[1.2], [1.0]],
        jitter_saturation=[[1.0], [1.0]],
        gray=[[0.0], [1.0]],
        blur=[[1.5], [0.0]],
        solarize=[[1.0], [0.0]],
    )


def test_retained_factors_are_those_in_the_features():
    generator = torch.Generator().manual_seed(0)
    names = dict(there=2, gone=2, fixed=1)
    y = {name: torch.rand(500, k, generator=generator, dtype=torch.float64) for name, k in names.items()}
    y['fixed'][:] = 0.3
    x = y['there'] @ torch.randn(2, 20, generator=generator, dtype=torch.float64)
    train, test = ((x[rows], {name: t[rows] for name, t in y.items()}) for rows in (slice(0, 400), slice(400, 500)))
    values = retained(train, test)
    assert values.keys() == {'there', 'gone'}
    assert values['there'] == pytest.approx(1, abs=1e-6)
    assert abs(values['gone']) < 0.05


def test_factors_belong_to_the_images(cfg):
    """The images of the loader are the scenes whose factors are returned, in the same order."""
    factors = RetainedFactors(cfg, GARMENTS, seed=0)
    for split, count in (('train', 60), ('val', 30)):
        scenes, views = factors._draw(factors.loaders[split])
        images = torch.cat([batch['inputs'] for batch in factors.loaders[split]])
        assert len(scenes) == len(views) == len(images) == count
        rendered = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2).flip(1)  # BGR
        distances = torch.cdist(images.flatten(1).float(), rendered.flatten(1).float())
        assert torch.equal(distances.argmin(1), torch.arange(count))  # JPEG leaves a distance


def test_views_are_made_with_their_parameters(cfg):
    factors = RetainedFactors(cfg, GARMENTS, seed=0)
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = ViewParameters((0, 0, 32, 32), False, (), False, 0.0, False)
    assert torch.equal(factors._view(image, whole), image)
    assert torch.equal(factors._view(image, whole._replace(flip=True)), image.flip(2))
    quarter = factors._view(image, whole._replace(box=(16, 0, 16, 16)))
    expected = cv2.resize(image[:, :16, 16:].permute(1, 2, 0).numpy(), (32, 32), interpolation=cv2.INTER_LINEAR)
    assert (quarter.permute(1, 2, 0).int() - torch.from_numpy(expected).int()).abs().max() <= 1


def test_measures_what_features_contain(cfg, monkeypatch):
    """Features that hold one factor of the scene, or of the view, retain that factor and no other."""
    factors = RetainedFactors(cfg, GARMENTS, seed=0)
    rows = {split: factors._draw(factors.loaders[split]) for split in ('train', 'val')}
    known = [
        torch.cat([scene_factors(rows[split][0])['position'] for split in rows]),
        torch.cat([view_factors(rows[split][1], 32, 32)['crop_size'] for split in rows]),
    ]
    calls = [iter(known[0].split([60, 30])), iter(known[1].split([60, 30]))]
    turn = iter(range(4))
    monkeypatch.setitem(retained_factors.FEATURES, 'backbone', lambda *_: next(calls[next(turn) % 2]))
    values = factors.measure(build_random_model(cfg, 0), 'backbone')
    assert values['position'] == pytest.approx(1, abs=1e-6) and values['crop_size'] == pytest.approx(1, abs=1e-6)
    assert max(values[name] for name in ('tint', 'value', 'mirror', 'flip', 'jitter_hue', 'gray')) < 0.4
    assert {'blur', 'solarize'}.isdisjoint(values)  # these views have neither
    scene = ['tint', 'value', 'position', 'scale', 'rotation', 'mirror']
    assert values['scene_mean'] == pytest.approx(sum(values[name] for name in scene) / 6)
    means = ('scene_mean', 'view_mean', 'mean')
    view = [name for name in values if name not in (*scene, *means)]
    assert values['view_mean'] == pytest.approx(sum(values[name] for name in view) / len(view))
    assert values['mean'] == pytest.approx(sum(values[name] for name in scene + view) / len(scene + view))


@pytest.mark.sampled(3)
@pytest.mark.parametrize('features', ['backbone', 'neck', 'pixels'])
def test_is_a_function_of_the_seed(cfg, features):
    model = build_random_model(cfg, 0)
    first, second, other = (RetainedFactors(cfg, GARMENTS, seed).measure(model, features) for seed in (0, 0, 1))
    assert first == second
    assert all(math.isfinite(value) for value in first.values())
    assert first['tint'] == other['tint'] and first['crop_size'] != other['crop_size']


def test_diverged_features_are_refused(cfg):
    model = build_random_model(cfg, 0)
    next(model.backbone.parameters()).data.fill_(float('nan'))
    with pytest.raises(ValueError, match='some features are NaN or infinite'):
        RetainedFactors(cfg, GARMENTS, 0).measure(model, 'backbone')


def test_views_of_either_place(cfg):
    assert training_view(cfg)['crop_scale'] == (0.6, 1.0)
    workers = Config.fromfile(ROOT / 'configs' / 'lewel' / 'lewel-m_resnet50_8xb32-coslr-200e_in1k.py')
    assert training_view(workers)['size'] == 224
    cfg.data_preprocessor.views = []
    cfg.model.pop('data_preprocessor', None)
    with pytest.raises(SetupError, match='has no views of lewel_plugins'):
        training_view(cfg)


def test_other_images_are_refused(cfg, tmp_path, scenes):
    with pytest.raises(FileNotFoundError, match='holds no garment scenes: it has no meta.json'):
        load_renderer(tmp_path, GARMENTS)
    cfg.pop('val_dataloader')
    with pytest.raises(SetupError, match='no val_dataloader'):
        RetainedFactors(cfg, GARMENTS, 0)
