"""Every dataset config draws a batch from tiny data of its kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmpretrain.utils import register_all_modules
from PIL import Image
from helpers.tiny_data import GARMENTS, ROOT, make_cifar, make_imagenet, make_stl10, trust_cifar, write_image

from lewel_plugins.datasets.garment_scenes.files import make_scenes
from lewel_plugins.datasets.garment_scenes.scenes import SceneConfig

pytestmark = pytest.mark.core
WITHOUT_VIEWS = ('cifar10', 'cifar100', 'stl10', 'in100', 'in1k')  # the others' bases
CONFIGS = sorted(
    path for path in (ROOT / 'configs' / '_base_' / 'datasets').glob('*.py') if path.stem not in WITHOUT_VIEWS
)
SIZES = {'stl10': 96, 'cifar10': 32, 'cifar100': 32, 'fashion-mnist': 32, 'garment-scenes': 32}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A folder ``data`` with little of everything, at the places that the configs name."""
    root = tmp_path_factory.mktemp('cwd') / 'data'
    rng = np.random.default_rng(0)
    make_imagenet(root / 'imagenet', rng)
    for name in ('cifar10', 'cifar100'):
        make_cifar(root / name, name, rng)
    make_stl10(root / 'stl10_binary', rng)
    for i in range(8):
        write_image(root / 'images' / 'any' / f'{i}.jpg', rng)
    make_scenes(SceneConfig(num_train=40, num_val=40), GARMENTS, root / 'garment_scenes', 1)
    (root / 'fashion_mnist').symlink_to(GARMENTS)
    return root


def first_batch(loader: dict, batch_size: int) -> dict:
    small = {**loader, 'batch_size': batch_size, 'num_workers': 0, 'persistent_workers': False}
    return next(iter(Runner.build_dataloader(small, seed=0)))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_draws_views_and_evaluation_images(path, data, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.chdir(data.parent)
    trust_cifar(monkeypatch)
    config = Config.fromfile(path)
    size = SIZES.get(path.stem.split('_')[0], 224)
    preprocessor = MODELS.build(config.data_preprocessor)

    batch = first_batch(config.train_dataloader, 4)
    views = preprocessor(batch, training=True)['inputs']
    assert [tuple(view.shape) for view in views] == [(4, 3, size, size)] * 2
    assert all(view.dtype == torch.float32 and view.isfinite().all() for view in views)
    assert not torch.equal(views[0], views[1])
    assert not any('broken_files' in sample for sample in batch['data_samples'])

    again = first_batch(config.train_dataloader, 4)['inputs']
    pairs = zip(batch['inputs'], again)  # views, or images of which the preprocessor makes views
    assert all(torch.equal(first, second) for first, second in pairs)

    if path.stem == 'image-folder':
        return
    for loader in (config.bank_dataloader, config.val_dataloader):
        batch = first_batch(loader, 4)
        image = preprocessor(batch, training=False)['inputs']
        eval_size = 28 if path.stem.startswith('fashion-mnist') else size
        assert tuple(image.shape) == (4, 3, eval_size, eval_size)
        assert all(0 <= int(sample.gt_label) < 100 for sample in batch['data_samples'])
    assert config.val_cfg.bank_dataloader == config.bank_dataloader


@pytest.mark.parametrize('path', sorted((ROOT / 'configs' / 'smog').glob('*multicrop*')), ids=lambda path: path.stem)
def test_multi_crop_draws_two_large_and_four_small_views(path, data, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.chdir(data.parent)
    config = Config.fromfile(path)
    views = MODELS.build(config.data_preprocessor)(first_batch(config.train_dataloader, 2), training=True)['inputs']
    assert [tuple(view.shape) for view in views] == [(2, 3, 224, 224)] * 2 + [(2, 3, 96, 96)] * 4
    assert len(views) == config.model.num_views
    assert not torch.equal(views[2], views[3])


@pytest.mark.parametrize('name', ['byol_224px', 'mocov2_224px'])
def test_channels_reach_the_network_as_rgb(name, tmp_path):
    """A red image is brightest in the first channel after the whole way from file to network."""
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
