"""The config of a plan: the recipe where there is one, and a model that builds and trains for every method."""

import pytest
import torch
from helpers.tool_runs import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.planning import GPU, METHODS, Facts, Folder, Machine, Request, plan
from lewel_plugins.planning.compose import Images, compose

GIB = 2**30
IMAGES = dict(type='lewel_plugins.ImageTree', data_root='data/images')
# What does not shape the weights: where images come from, and how a run is shown, saved and stopped.
RUNTIME = {'train_dataloader.num_workers', 'train_dataloader.persistent_workers', 'default_hooks.checkpoint.interval'}


def facts(images: int, side: int = 1200, gpus: int = 1) -> Facts:
    devices = tuple(GPU(i, 'RTX 4090', 24 * GIB, 23 * GIB, (8, 9)) for i in range(gpus))
    return Facts(Folder(images, images, median_short_side=side), Machine(devices, cores=16))


def flat(value, prefix: str = '') -> dict:
    if isinstance(value, dict):
        return {key: leaf for name, item in value.items() for key, leaf in flat(item, f'{prefix}{name}.').items()}
    if isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value):
        return {key: leaf for i, item in enumerate(value) for key, leaf in flat(item, f'{prefix}{i}.').items()}
    return {prefix[:-1]: tuple(value) if isinstance(value, list) else value}


def test_lewel_b_on_a_large_folder_is_the_recipe_for_a_folder():
    request = Request('lewel-b', backbone='resnet18', holdout=0)
    config = flat(compose(plan(facts(100_000), request), Images(IMAGES)).to_dict())
    recipe = Config.fromfile(ROOT / 'configs/lewel/lewel-b_resnet18_1xb256-lars-coslr-200e_image-folder.py').to_dict()
    recipe = flat({key: value for key, value in recipe.items() if key not in ('views', 'train_pipeline')})
    different = {key for key in {*config, *recipe} if config.get(key) != recipe.get(key)} - RUNTIME
    assert different <= {'train_cfg.val_interval', 'train_cfg.type', 'custom_hooks'}, different


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('side', [32, 96])
def test_a_step_of_every_method(method, side):
    resolved = plan(facts(100, side, gpus=0), Request(method))
    config = compose(resolved, Images(IMAGES))
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    count = len(config.train_dataloader.dataset.dataset.pipeline[0].views)
    assert count == (4 if method == 'msbreg' else 2)
    if method in ('byol', 'mocov3'):
        pytest.skip("mmpretrain's teacher reads its schedule from a Runner")
    losses = model.loss([torch.randn(4, 3, side, side) for _ in range(count)], [])
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    assert loss.isfinite() and config.optim_wrapper.type == 'OptimWrapper'


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('count', [2, 7])
def test_a_step_on_a_few_images(method, count):
    resolved = plan(facts(count, 32, gpus=0), Request(method, backbone='resnet10'))
    config = compose(resolved, Images(IMAGES))
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    views = [torch.randn(resolved['batch_size'], 3, 32, 32) for _ in range(resolved.method.num_views)]
    losses = model.loss(views, [])
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    assert loss.isfinite() and len(views[0]) == count


def test_precision_accumulation_and_workers_reach_the_config():
    old = (GPU(0, 'T4', 16 * GIB, 15 * GIB, (7, 5)),)
    resolved = plan(Facts(Folder(9400, 9400, median_short_side=300), Machine(old, 4)), Request('byol', workers=0))
    config = compose(resolved, Images(IMAGES), seed=7)
    assert (config.optim_wrapper.dtype, config.optim_wrapper.loss_scale) == ('float16', 'dynamic')
    assert config.train_dataloader.num_workers == 0 and not config.train_dataloader.persistent_workers
    assert config.randomness.seed == 7 and config.model.neck.hid_channels == 1024
