"""Every pair of data set and views in the recipes yields a batch from tiny data of its kind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_data import GARMENTS, ROOT, make_cifar, make_imagenet, make_stl10, trust_cifar, write_image
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmpretrain.utils import register_all_modules
from PIL import Image

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes

pytestmark = pytest.mark.core
RECIPES = sorted(
    path for room in ('baselines', 'lewel', 'smog', 'mpcl', 'msbreg') for path in (ROOT / 'configs' / room).glob('*.py')
)


def input_settings(config: Config) -> str:
    """Return data, transforms and views of a recipe as text."""
    return json.dumps([config.data_preprocessor.to_dict(), config.train_dataloader.dataset.to_dict()], sort_keys=True)


# One recipe for each pair of images and views.
PAIRS = {input_settings(Config.fromfile(path)): path for path in RECIPES}.values()


def view_sizes(config: Config) -> list[int]:
    """Return the side of each view in pixels."""
    if 'views' in config.data_preprocessor:
        return [view.size for view in config.data_preprocessor.views]
    load = config.train_dataloader.dataset.dataset.pipeline[0]
    counts = load.get('num_views', 1)
    counts = counts if isinstance(counts, list) else [counts] * len(load.views)
    return [view.size for view, count in zip(load.views, counts) for _ in range(count)]


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Write a few images of each data set to a folder ``data``, where the configs expect them."""
    root = tmp_path_factory.mktemp('cwd') / 'data'
    rng = np.random.default_rng(0)
    make_imagenet(root / 'imagenet', rng)
    make_cifar(root / 'cifar10', 'cifar10', rng)
    make_stl10(root / 'stl10_binary', rng)
    for i in range(8):
        write_image(root / 'images' / 'any' / f'{i}.jpg', rng)
    make_scenes(SceneConfig(num_train=40, num_val=40), GARMENTS, root / 'garment_scenes', 1)
    return root


def first_batch(loader: dict, batch_size: int) -> dict:
    small = {**loader, 'batch_size': batch_size, 'num_workers': 0, 'persistent_workers': False}
    return next(iter(Runner.build_dataloader(small, seed=0)))


@pytest.mark.sampled(4)
@pytest.mark.parametrize('path', PAIRS, ids=lambda path: path.stem)
def test_recipe_yields_views_and_evaluation_images(path, data, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.chdir(data.parent)
    trust_cifar(monkeypatch)
    config = Config.fromfile(path)
    sizes = view_sizes(config)
    preprocessor = MODELS.build(config.data_preprocessor)

    batch = first_batch(config.train_dataloader, 4)
    views = preprocessor(batch, training=True)['inputs']
    assert [tuple(view.shape) for view in views] == [(4, 3, size, size) for size in sizes]
    assert all(view.dtype == torch.float32 and view.isfinite().all() for view in views)
    assert not torch.equal(views[0], views[1])
    assert not any('broken_files' in sample for sample in batch['data_samples'])

    again = first_batch(config.train_dataloader, 4)['inputs']
    pairs = zip(batch['inputs'], again)  # views, or images of which the preprocessor makes views
    assert all(torch.equal(first, second) for first, second in pairs)

    if 'image-folder' in path.stem:
        return
    for loader in (config.bank_dataloader, config.val_dataloader):
        batch = first_batch(loader, 4)
        image = preprocessor(batch, training=False)['inputs']
        assert tuple(image.shape) == (4, 3, sizes[0], sizes[0])
        assert all(0 <= int(sample.gt_label) < 100 for sample in batch['data_samples'])
    assert config.val_cfg.bank_dataloader == config.bank_dataloader


@pytest.mark.parametrize('path', sorted((ROOT / 'configs' / 'smog').glob('*multicrop*')), ids=lambda path: path.stem)
def test_multi_crop_yields_two_large_and_four_small_views(path, data, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.chdir(data.parent)
    trust_cifar(monkeypatch)
    config = Config.fromfile(path)
    views = MODELS.build(config.data_preprocessor)(first_batch(config.train_dataloader, 2), training=True)['inputs']
    large, small = (224, 96) if path.stem.endswith('in1k') else (32, 16)
    assert [tuple(view.shape) for view in views] == [(2, 3, large, large)] * 2 + [(2, 3, small, small)] * 4
    assert len(views) == config.model.num_views
    assert not torch.equal(views[2], views[3])


@pytest.mark.parametrize('name', ['byol_224px', 'mocov2_224px'])
def test_channels_reach_the_network_as_rgb(name, tmp_path):
    """A red image is brightest in the first channel when it reaches the network."""
    register_all_modules(init_default_scope=True)
    for i in range(4):
        Image.new('RGB', (60, 60), (200, 90, 30)).save(tmp_path / f'{i}.png')
    config = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / 'image-folder.py')
    views = Config.fromfile(ROOT / 'configs' / '_base_' / 'views' / f'{name}.py').views
    dataset = config.train_dataloader.dataset.dataset
    dataset.data_root = str(tmp_path)
    dataset.pipeline[0].views = [dict(view, jitter=0.0, gray=0.0, solarize=0.0) for view in views]
    preprocessor = MODELS.build(config.data_preprocessor)
    view = preprocessor(first_batch(config.train_dataloader, 4), training=True)['inputs'][0]
    pixel = view[0, :, 100, 100] * preprocessor.std.view(3) + preprocessor.mean.view(3)
    assert torch.allclose(pixel, torch.tensor([200.0, 90.0, 30.0]), atol=1.5)


def test_basenames_are_unique():
    """MIM finds a config by its basename."""
    names = [path.name for path in (ROOT / 'configs').rglob('*.py')]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs/benchmarks/supervised').glob('*.py')), ids=lambda path: path.stem
)
def test_supervised_recipes_train_on_a_batch_of_their_data(path, data, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.chdir(data.parent)
    trust_cifar(monkeypatch)
    config = Config.fromfile(path)
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    batch = model.data_preprocessor(first_batch(config.train_dataloader, 4), training=True)
    assert model(**batch, mode='loss')['loss'].isfinite()
