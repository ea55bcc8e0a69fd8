"""The config of a plan: the recipe where there is one, and a model that builds and trains for every method."""

import functools
import shutil
from dataclasses import replace

import pytest
import torch
from helpers.tool_runs import ROOT
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, init_default_scope

import lewel_plugins
from lewel_plugins.datasets import SeededSampler
from lewel_plugins.errors import SetupError
from lewel_plugins.planning import GPU, METHODS, Facts, Folder, Machine, Memory, Request, plan
from lewel_plugins.planning.backbones import BACKBONES
from lewel_plugins.planning.compose import Images, compose, configs_folder
from lewel_plugins.planning.devices import USABLE

GIB = 2**30
IMAGES = dict(type='lewel_plugins.ImageTree', data_root='data/images')
# What does not shape the weights: where images come from, and how a run is shown, saved and stopped.
RUNTIME = {
    *('train_dataloader.num_workers', 'train_dataloader.persistent_workers'),
    *('default_hooks.checkpoint.interval', 'default_hooks.checkpoint.minutes'),
}


def facts(images: int, side: int = 1200, gpus: int = 1) -> Facts:
    devices = tuple(GPU(i, 'RTX 4090', 24 * GIB, 23 * GIB, (8, 9)) for i in range(gpus))
    return Facts(Folder(images, images, median_short_side=side), Machine(devices, cores=16))


def test_configs_of_another_package_beside_an_installed_one_are_not_taken(tmp_path, monkeypatch):
    package = tmp_path / 'site-packages' / 'lewel_plugins'
    shutil.copytree(ROOT / 'configs' / '_base_' / 'models', package / '.mim' / 'configs' / '_base_' / 'models')
    (package.parent / 'configs' / '_base_' / 'models').mkdir(parents=True)
    monkeypatch.setattr(lewel_plugins, '__file__', str(package / '__init__.py'))
    assert configs_folder() == package / '.mim' / 'configs'
    shutil.rmtree(package / '.mim')
    with pytest.raises(SetupError, match='the configs of lewel_plugins are neither beside'):
        configs_folder()


def test_checkpoints_are_ten_minutes_apart():
    for step_seconds in (None, 0.5):
        resolved = plan(replace(facts(1000), step_seconds=step_seconds), Request())
        hook = compose(resolved, Images(IMAGES)).default_hooks.checkpoint
        assert (hook.minutes, hook.interval, hook.max_keep_ckpts) == (10, 1, 3)
        assert resolved.settings['checkpoint_minutes'].reason == 'at the end of an epoch; the last three are kept'


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


@pytest.mark.parametrize(
    ('method', 'epochs', 'expected'),
    [('lewel-b', 640, 'train'), ('lewel-b', 642, 'eman'), ('msbreg', 640, 'train'), ('lewel-m', 640, 'train')],
)
def test_batch_norm_in_the_teacher_of_lewel_b_depends_on_the_length(method, epochs, expected):
    resolved = plan(facts(20_000), Request(method, holdout=0, epochs=epochs))  # 78 steps of 256 images
    model = compose(resolved, Images(IMAGES)).model
    assert MODELS.build(model).teacher.norm == expected
    assert ('teacher_norm' in resolved.settings) == (method == 'lewel-b' and expected == 'train')


@pytest.mark.parametrize(
    ('images', 'workers', 'expected'),
    [(12_800, 8, False), (12_799, 8, True), (12_799, 0, False)],  # 50 and 49 steps of 256 images
)
def test_the_loader_goes_on_between_short_epochs(images, workers, expected):
    config = compose(plan(facts(images), Request('lewel-b', holdout=0, workers=workers)), Images(IMAGES))
    hooks = [hook.type for hook in config.get('custom_hooks', [])]
    assert ('lewel_plugins.ContinuousLoaderHook' in hooks) == expected


def test_labels_are_for_the_monitors_alone():
    resolved = plan(facts(1000), Request())
    plain, labeled = (compose(resolved, Images(IMAGES, IMAGES, None, *more)) for more in ((), (IMAGES, IMAGES, 3)))
    added = [hook for hook in labeled.custom_hooks if hook not in plain.custom_hooks]
    probe = dict(type='lewel_plugins.OnlineProbeHook', num_classes=3, interval=7)  # steps of an epoch
    assert added == [dict(type='lewel_plugins.PixelBaselineHook'), probe]
    assert labeled.train_dataloader.dataset.labels is False


def test_a_hook_has_its_place_whatever_the_length_of_an_epoch():
    settings = {'custom_hooks.1.lidar_views': 10}  # checked with a plan for many images, and again with that of the run
    for images in (100, 100_000):
        config = compose(plan(facts(images), Request()), Images(IMAGES, IMAGES), settings=settings)
        assert config.custom_hooks[1].lidar_views == 10 and 'ViewRetrieval' in config.custom_hooks[1].type


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


@pytest.mark.sampled(3)
@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_every_plan_has_a_model(method, backbone, monkeypatch):
    for name in ('linspace', 'randn'):  # values of rates of drop paths, and a generator, which meta tensors lack
        monkeypatch.setattr(torch, name, functools.partial(getattr(torch, name), device='cpu'))
    init_default_scope('mmpretrain')
    try:
        resolved = plan(facts(100, 32, gpus=0), Request(method, backbone=backbone))
    except SetupError as error:
        assert backbone == 'vit-small' and method not in ('mocov3', 'mpcl-mocov3')
        assert 'use a ResNet, Swin or ConvNeXt, or --method mocov3 or mpcl-mocov3' in str(error)
        return
    config = compose(resolved, Images(IMAGES))
    with torch.device('meta'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
        features = model.backbone(torch.empty(2, 3, 32, 32))[-1]
    assert features.shape[:2] == (2, config.model.neck.in_channels) == (2, BACKBONES[backbone].channels)
    assert features.dim() == (4 if BACKBONES[backbone].has_map else 2)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_backbone_without_batch_norm_is_trained_by_adamw(method, backbone):
    try:
        resolved = plan(facts(100_000, 32, gpus=0), Request(method, backbone=backbone))
    except SetupError:
        return
    optimizer = compose(resolved, Images(IMAGES)).optim_wrapper.optimizer
    if backbone.startswith('resnet'):
        assert optimizer.type in ('SGD', 'lewel_plugins.LARS') and resolved['optimizer'] in ('sgd', 'lars')
        return
    recipe = Config.fromfile(ROOT / 'configs/mpcl/mpcl-mocov3_vit-small-p16_16xb256-coslr-300e_in1k.py')
    rate = recipe.optim_wrapper.optimizer.lr * resolved['batch_size'] / recipe.auto_scale_lr.base_batch_size
    assert optimizer == {**recipe.optim_wrapper.optimizer, 'lr': pytest.approx(rate)}
    share = recipe.param_scheduler[0].end / recipe.train_cfg.max_epochs
    assert resolved['warm_up'] == round(resolved['epochs'] * share)


@pytest.mark.parametrize('method', ['mocov3', 'mpcl-mocov3'])
def test_a_step_of_a_transformer(method):
    resolved = plan(facts(100, 32, gpus=0), Request(method, backbone='vit-small'))
    config = compose(resolved, Images(IMAGES))
    assert (config.model.backbone.img_size, config.model.backbone.patch_size) == (32, 16)
    init_default_scope('mmpretrain')
    MessageHub.get_instance('transformer').update_info('max_iters', 10)  # mmpretrain's teacher reads it
    torch.manual_seed(0)
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    model.init_weights()
    losses = model.loss([torch.randn(4, 3, 32, 32) for _ in range(2)], [])
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    still = [name for name, weight in model.backbone.named_parameters() if weight.requires_grad and weight.grad is None]
    assert loss.isfinite() and not still
    assert config.get('find_unused_parameters', False) == (method == 'mocov3')


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


def test_the_queue_of_mmpretrain_takes_any_batch():
    resolved = plan(facts(200, 32, gpus=0), Request('mocov2', backbone='resnet10', batch_size=12))
    config = compose(resolved, Images(IMAGES))
    assert config.model.queue_len == resolved['queue_len'] == 24
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    for _ in range(3):
        losses = model.loss([torch.randn(12, 3, 32, 32) for _ in range(2)], [])
    assert losses['loss'].isfinite()


def test_precision_accumulation_and_workers_reach_the_config():
    old = (GPU(0, 'T4', 16 * GIB, 15 * GIB, (7, 5)),)
    resolved = plan(Facts(Folder(9400, 9400, median_short_side=300), Machine(old, 4)), Request('byol', workers=0))
    config = compose(resolved, Images(IMAGES), seed=7)
    assert (config.optim_wrapper.dtype, config.optim_wrapper.loss_scale) == ('float16', 'dynamic')
    assert config.train_dataloader.num_workers == 0 and not config.train_dataloader.persistent_workers
    assert config.randomness.seed == 7 and config.model.neck.hid_channels == 1024


@pytest.mark.parametrize('images', [100, 257, 1000, 9399])
@pytest.mark.parametrize(('gpus', 'fits'), [(0, 999), (1, 999), (1, 8), (1, 20), (2, 999), (2, 8), (3, 16), (4, 12)])
def test_an_epoch_is_the_whole_steps_that_the_plan_counts(images, gpus, fits, monkeypatch):
    """The checkpoint at its end has no gradients of an unfinished step."""
    known = replace(facts(images, gpus=gpus), memory=Memory(0, USABLE * 23 * GIB / (fits + 0.5)))
    resolved = plan(known, Request('lewel-b', backbone='resnet10', batch_size=96))
    assert (resolved['accumulation'] > 1) == (gpus > 0 and 96 // resolved['ranks'] > fits)
    config = compose(resolved, Images(IMAGES, IMAGES))
    loader, parts = config.train_dataloader, config.optim_wrapper.get('accumulative_counts', 1)
    assert parts == resolved['accumulation']
    sampler = {name: value for name, value in loader.sampler.items() if name != 'type'}
    monkeypatch.setattr('lewel_plugins.datasets.seeded_sampler.get_dist_info', lambda: (0, resolved['ranks']))
    samples = len(SeededSampler(range(resolved['images'] - resolved['holdout']), seed=0, **sampler))
    iterations = samples // loader.batch_size  # drop_last
    steps = (resolved['images'] - resolved['holdout']) // resolved['batch_size']
    assert iterations == steps * parts and loader.drop_last
    assert loader.batch_size * resolved['ranks'] * parts == resolved['batch_size']
    assert config.default_hooks.monitor.interval == min(50, iterations)


def test_accumulation_of_the_user_has_whole_steps_too():
    resolved = plan(facts(1000, 32, gpus=0), Request('lewel-b', batch_size=100))
    config = compose(resolved, Images(IMAGES), settings={'optim_wrapper.accumulative_counts': 3})
    assert config.train_dataloader.sampler.step == 300
    for value, message in (
        (11, 'makes a step of 1,100 images, and there are 1,000'),
        (0, 'whole number of at least 1'),
    ):
        with pytest.raises(SetupError, match=message):
            compose(resolved, Images(IMAGES), settings={'optim_wrapper.accumulative_counts': value})
