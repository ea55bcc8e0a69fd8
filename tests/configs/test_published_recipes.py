"""The recipes in the settings of published benchmarks on CIFAR-10, number by number."""

import pytest
import torch
from helpers.tool_runs import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

LIGHTLY = {
    'baselines/byol': 'ConstantBYOL',
    'baselines/mocov2': 'SymmetricMoCo',
    'baselines/barlowtwins': 'BarlowTwins',
    'smog/smog': 'SMoG',
    'lewel/lewel-m': 'LEWELM',
    'lewel/lewel-b': 'LEWELB',
    'mpcl/mpcl-mocov2': 'MPCLMoCo',
    'msbreg/msbreg-k4': 'MSBReg',
}
NETWORK = dict(depth=18, zero_init_residual=False, init_cfg=[])
VIEW = dict(size=32, crop_scale=(0.08, 1.0), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)


def lightly(name: str) -> Config:
    optimizer = 'lars-' if name.startswith('msbreg') else ''
    return Config.fromfile(ROOT / 'configs' / f'{name}_resnet18_1xb128-{optimizer}coslr-200e_cifar10.py')


def linear_layers(module: nn.Module) -> list[tuple[int, int, bool]]:
    """Return (inputs, outputs, has a bias) of the linear layers."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [(layer.in_features, layer.out_features, layer.bias is not None) for layer in layers]


@pytest.mark.parametrize(('name', 'algorithm'), LIGHTLY.items())
def test_lightly_recipes_share_data_network_optimizer_and_schedule(name, algorithm):
    cfg = lightly(name)
    assert cfg.model.type.removeprefix('lewel_plugins.') == algorithm
    backbone = {key: cfg.model.backbone[key] for key in NETWORK}
    assert cfg.model.backbone.type == 'ResNet_CIFAR' and backbone == NETWORK
    norm = dict(type='lewel_plugins.SplitBN', num_splits=8) if algorithm == 'SymmetricMoCo' else dict(type='BN')
    assert cfg.model.backbone.norm_cfg == norm
    assert cfg.train_dataloader.batch_size == 128 and cfg.train_dataloader.drop_last
    optimizer = dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=5e-4)
    if algorithm == 'MSBReg':  # by SGD its loss can become infinite
        optimizer = dict(type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6)
    assert cfg.optim_wrapper.optimizer == optimizer
    assert 'paramwise_cfg' not in cfg.optim_wrapper
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.dtype) == ('AmpOptimWrapper', 'bfloat16')
    assert cfg.param_scheduler == [dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200)]
    assert cfg.train_cfg.max_epochs == 200
    knn = cfg.val_evaluator[0]
    assert 200 in knn.k and knn.temperature == 0.1
    for loader in (cfg.train_dataloader, cfg.val_cfg.bank_dataloader, cfg.val_dataloader):
        dataset = loader.dataset
        assert loader.num_workers >= 2 and loader.persistent_workers
        assert dataset.get('dataset', dataset).pipeline[0].cache
    assert cfg.data_preprocessor.mean == [123.675, 116.28, 103.53]
    if algorithm == 'SMoG':
        view = dict(VIEW, crop_scale=(0.2, 1.0), saturation=0.2, jitter=1.0)
        assert cfg.data_preprocessor.views == [view, dict(view, solarize=0.2)]
    else:
        assert cfg.data_preprocessor.views == [VIEW] * (4 if algorithm == 'MSBReg' else 2)


HEADS = {
    'baselines/byol': ([(512, 1024, False), (1024, 256, True)], [(256, 1024, False), (1024, 256, True)]),
    'baselines/mocov2': ([(512, 512, True), (512, 128, True)], []),
    'baselines/barlowtwins': ([(512, 2048, False), (2048, 2048, True)], []),
    'smog/smog': ([(512, 2048, False), (2048, 128, False)], [(128, 2048, False), (2048, 128, False)]),
}


@pytest.mark.parametrize(('name', 'layers'), HEADS.items())
def test_lightly_recipes_have_its_heads(name, layers):
    cfg = lightly(name)
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    assert (linear_layers(model.neck), linear_layers(model.head)) == layers
    before = model.backbone.conv1.weight.clone()
    model.init_weights()
    assert torch.equal(model.backbone.conv1.weight, before)  # torch's own initialization


def test_lightly_recipes_have_its_losses_and_teachers():
    byol, moco, twins, smog = (lightly(name).model for name in HEADS)
    assert (byol.base_momentum, moco.momentum, smog.momentum) == (0.01, 0.01, 0.01)
    assert byol.head.loss.scale_factor == 0.25
    assert (moco.head.temperature, moco.queue_len) == (0.1, 4096)
    assert twins.head.loss == dict(type='CrossCorrelationLoss', lambd=5e-3)
    head = smog.head
    assert (head.num_groups, head.beta, head.end_beta, head.temperature) == (300, 0.99, None, 0.1)
    assert lightly('smog/smog').custom_hooks == [
        dict(type='lewel_plugins.SMoGResetHook', interval=300, window=78, start='random')
    ]


def test_methods_of_this_package_there_have_their_own_numbers():
    m, b, mpcl, msbreg = (lightly(name).model for name in list(LIGHTLY)[4:])
    assert [model.momentum for model in (m, b, mpcl, msbreg)] == [0.01] * 4
    assert (m.queue_len, mpcl.queue_len, m.head.temperature, mpcl.head.temperature) == (4096, 4096, 0.2, 0.2)
    assert (m.neck.hid_channels, b.neck.hid_channels, mpcl.neck.hid_channels) == (512, 1024, 512)
    assert (msbreg.neck.hid_channels, msbreg.neck.out_channels, msbreg.head.lambda_s) == (512, 64, 4e-3)


def test_byol_by_the_settings_of_solo_learn():
    cfg = Config.fromfile(ROOT / 'configs/baselines/byol-sololearn_resnet18_1xb256-lars-coslr-30e_cifar10.py')
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    assert linear_layers(model.neck) == [(512, 4096, True), (4096, 256, True)]
    assert linear_layers(model.head) == [(256, 4096, True), (4096, 256, True)]
    assert cfg.model.type == 'BYOL' and cfg.model.base_momentum == 0.01
    lars = dict(type='lewel_plugins.LARS', lr=1.0, momentum=0.9, weight_decay=1e-5, eta=0.02, clip=True)
    assert cfg.optim_wrapper.optimizer == lars
    assert cfg.optim_wrapper.paramwise_cfg.adapt_norm_and_bias is False
    assert cfg.train_dataloader.batch_size == 256
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end, cosine.begin, cosine.end) == (0.003, 10, 10, 30)
    assert cfg.data_preprocessor.views == [
        dict(size=32, crop_scale=(0.08, 1.0)), dict(size=32, crop_scale=(0.08, 1.0), solarize=0.2)
    ]  # fmt: skip
