"""Every evaluation recipe has the numbers of its paper, reads its data, trains a step and evaluates."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.recipe_numbers import drops, numbers, plain
from helpers.tiny_data import (
    GARMENTS,
    make_cifar,
    make_imagenet,
    make_inaturalist,
    make_places205,
    make_stl10,
    make_voc,
    trust_cifar,
)
from helpers.toy_classifier import write_checkpoint
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules

from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes
from lewel_plugins.evaluation.linear_probe import check_fast

pytestmark = pytest.mark.core
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LINEAR, SEMI = (sorted((CONFIGS / 'benchmarks' / room).glob('*.py')) for room in ('linear', 'semi'))
CLASSES = {
    'in1k': 1000,
    'in100': 100,
    'places205': 205,
    'inat18': 8142,
    'stl10': 10,
    'cifar10': 10,
    'garment-scenes': 10,
}
NO_WORKERS = dict(num_workers=0, persistent_workers=False)
IMAGENET = dict(
    train=dict(RandomResizedCrop=dict(scale=224, crop_ratio_range=(0.08, 1.0)), RandomFlip=dict(prob=0.5)),
    test=dict(ResizeEdge=dict(scale=256), CenterCrop=dict(crop_size=224)),
)
STL10, CIFAR10 = (
    dict(
        train=dict(RandomResizedCrop=dict(scale=side, crop_ratio_range=(0.2, 1.0)), RandomFlip=dict(prob=0.5)), test={}
    )
    for side in (96, 32)
)
PLAIN = dict(train={}, test={})  # on garment scenes, where BatchViews makes the crops for few labels


def row(epochs: int, lr: float, schedule: dict, batch: tuple[int, int], images: dict, **more) -> dict:
    """Numbers of a recipe for SGD with momentum 0.9 and no weight decay; ``more`` overrides those of the optimizer.

    ``backbone_lr`` is the backbone's rate, None where it is frozen.
    """
    return dict(
        images,
        backbone_lr=more.pop('backbone_lr', None),
        length=(epochs, 'epochs'),
        batch=batch,
        wrapper='OptimWrapper',
        optimizer=dict(dict(type='SGD', lr=lr, momentum=0.9, weight_decay=0.0), **more),
        clip=None,
        schedule=[schedule],
    )


def cosine(epochs: int) -> dict:
    """Return the schedule of half a cosine that is updated every step."""
    return dict(type='CosineAnnealingLR', T_max=epochs, convert_to_iter_based=True, unit='epochs')


def lewel_m(batch: tuple[int, int], images: dict) -> dict:
    return row(90, 3.2, cosine(90), batch, images, type='lewel_plugins.LARS')


def lewel_b(batch: tuple[int, int], images: dict) -> dict:
    return row(50, 0.4, drops(30, 40), batch, images)


def mpcl(batch: tuple[int, int], images: dict) -> dict:
    return row(100, 30.0, drops(60, 80), batch, images)


def msbreg(epochs: int, schedule: dict, batch: tuple[int, int], images: dict) -> dict:
    return row(epochs, 0.2, schedule, batch, images, weight_decay=1e-4)


def lewel_semi(lr: float, backbone_lr: float, batch: tuple[int, int], images: dict, weight_decay: float = 0.0) -> dict:
    return row(50, lr, drops(30, 40), batch, images, backbone_lr=backbone_lr, weight_decay=weight_decay)


MPCL_SEMI = row(20, 0.5, cosine(20), (32, 256), IMAGENET, backbone_lr=0.002)
NUMBERS = {
    'lewel-m-linear_8xb512-lars-coslr-90e_in1k': lewel_m((512, 4096), IMAGENET),
    'lewel-m-linear_8xb512-lars-coslr-90e_in100': lewel_m((512, 4096), IMAGENET),
    'lewel-m-linear_1xb4096-lars-coslr-90e_stl10': lewel_m((4096, 4096), STL10),
    'lewel-b-linear_8xb32-steplr-50e_in1k': lewel_b((32, 256), IMAGENET),
    'lewel-b-linear_8xb32-steplr-50e_in100': lewel_b((32, 256), IMAGENET),
    'lewel-b-linear_1xb256-steplr-50e_stl10': lewel_b((256, 256), STL10),
    'lewel-b-linear_1xb256-steplr-50e_cifar10': lewel_b((256, 256), CIFAR10),
    'lewel-b-linear_1xb256-steplr-50e_garment-scenes': lewel_b((256, 256), PLAIN),
    'mpcl-linear_8xb32-steplr-100e_in1k': mpcl((32, 256), IMAGENET),
    'mpcl-linear_8xb32-steplr-100e_in100': mpcl((32, 256), IMAGENET),
    'mpcl-linear_1xb256-steplr-100e_stl10': mpcl((256, 256), STL10),
    **{
        f'mpcl-barlowtwins-linear_8xb32-coslr-100e_{data}': row(
            100, 0.3, cosine(100), (32, 256), IMAGENET, weight_decay=1e-6
        )
        for data in ('in1k', 'in100')
    },
    **{
        f'mpcl-mocov3-vit-linear_8xb128-coslr-90e_{data}': row(90, 12.0, cosine(90), (128, 1024), IMAGENET)
        for data in ('in1k', 'in100')
    },
    'mpcl-mocov3-linear_8xb128-coslr-90e_in1k': row(90, 0.4, cosine(90), (128, 1024), IMAGENET),
    'smog-linear_8xb512-lars-coslr-90e_in1k': lewel_m((512, 4096), IMAGENET),
    'smog-linear_1xb4096-lars-coslr-90e_stl10': lewel_m((4096, 4096), STL10),
    'msbreg-linear_8xb32-steplr-28e_places205': msbreg(28, drops(9, 19), (32, 256), IMAGENET),
    'msbreg-linear_8xb32-steplr-28e_in1k': msbreg(28, drops(9, 19), (32, 256), IMAGENET),
    'msbreg-linear_8xb32-steplr-84e_inat18': msbreg(84, drops(28, 56), (32, 256), IMAGENET),
    'msbreg-linear_8xb32-steplr-84e_in100': msbreg(84, drops(28, 56), (32, 256), IMAGENET),
    'msbreg-linear_1xb256-steplr-84e_stl10': msbreg(84, drops(28, 56), (256, 256), STL10),
    'lewel-semi-1pct_8xb32-steplr-50e_in1k': lewel_semi(1.0, 1e-4, (32, 256), IMAGENET, 1e-4),
    'lewel-semi-10pct_8xb32-steplr-50e_in1k': lewel_semi(0.1, 0.01, (32, 256), IMAGENET, 1e-4),
    'lewel-semi-1pct_1xb64-steplr-50e_cifar10': lewel_semi(1.0, 1e-4, (64, 64), CIFAR10),
    'lewel-semi-10pct_1xb64-steplr-50e_cifar10': lewel_semi(0.1, 0.01, (64, 64), CIFAR10),
    'lewel-semi-100pct_1xb64-steplr-50e_cifar10': lewel_semi(0.1, 0.01, (64, 64), CIFAR10),
    'lewel-semi-1pct_1xb64-steplr-50e_garment-scenes': lewel_semi(1.0, 1e-4, (64, 64), PLAIN),
    'lewel-semi-10pct_1xb64-steplr-50e_garment-scenes': lewel_semi(0.1, 0.01, (64, 64), PLAIN),
    'lewel-semi-100pct_1xb64-steplr-50e_garment-scenes': lewel_semi(0.1, 0.01, (64, 64), PLAIN),
    'mpcl-semi-1pct_8xb32-coslr-20e_in1k': MPCL_SEMI,
    'mpcl-semi-10pct_8xb32-coslr-20e_in1k': MPCL_SEMI,
    'msbreg-semi-1pct_8xb128-coslr-50e_in1k': row(50, 2.0, cosine(50), (128, 1024), IMAGENET, nesterov=True),
    'msbreg-semi-10pct_8xb128-coslr-50e_in1k': row(
        50, 0.25, cosine(50), (128, 1024), IMAGENET, nesterov=True, backbone_lr=2.5e-4
    ),
    'smog-semi-100pct_8xb32-steplr-100e_in1k': row(
        100, 0.1, drops(30, 60, 90), (32, 256), IMAGENET, weight_decay=1e-4, backbone_lr=0.1
    ),
    **{
        f'smog-semi-{percent}pct_8xb512-coslr-{epochs}e_in1k': row(
            epochs, 0.8, cosine(epochs), (512, 4096), IMAGENET, nesterov=True, backbone_lr=0.8
        )
        for percent, epochs in ((1, 60), (10, 30))
    },
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Write a few images of each data set to ``data`` in a folder, where the configs expect them."""
    root = tmp_path_factory.mktemp('cwd')
    rng = np.random.default_rng(0)
    make_imagenet(root / 'data' / 'imagenet', rng)
    make_cifar(root / 'data' / 'cifar10', 'cifar10', rng)
    make_stl10(root / 'data' / 'stl10_binary', rng)
    make_inaturalist(root / 'data' / 'inat2018', rng)
    make_places205(root / 'data' / 'places205', rng)
    make_voc(root / 'data' / 'VOCdevkit', rng)
    make_scenes(SceneConfig(num_train=40, num_val=10), GARMENTS, root / 'data' / 'garment_scenes', 1)
    scenes = SceneConfig(kind='multi', size=48, num_train=8, num_val=4, scale=(0.3, 0.6))
    make_scenes(scenes, GARMENTS, root / 'data' / 'garment_scenes_multi', 1)
    return root


def first_batch(loader: dict) -> dict:
    return next(iter(Runner.build_dataloader({**loader, 'batch_size': 4, **NO_WORKERS}, seed=0)))


def test_all_labels_are_fine_tuned_by_mmpretrains_recipe():
    cfg = Config.fromfile(str(CONFIGS / 'benchmarks' / 'semi' / 'smog-semi-100pct_8xb32-steplr-100e_in1k.py'))
    standard = get_config('mmpretrain::resnet/resnet50_8xb32_in1k.py')
    (schedule,) = cfg.param_scheduler
    assert cfg.optim_wrapper.optimizer == standard.optim_wrapper.optimizer
    assert schedule == standard.param_scheduler
    assert cfg.train_cfg.max_epochs == standard.train_cfg.max_epochs
    assert cfg.auto_scale_lr == standard.auto_scale_lr


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('mpcl-barlowtwins-linear_8xb32-coslr-100e', 'barlowtwins/benchmarks/resnet50_8xb32-linear-coslr-100e_in1k'),
        ('mpcl-mocov3-linear_8xb128-coslr-90e', 'mocov3/benchmarks/resnet50_8xb128-linear-coslr-90e_in1k'),
        ('mpcl-mocov3-vit-linear_8xb128-coslr-90e', 'mocov3/benchmarks/vit-base-p16_8xb128-linear-coslr-90e_in1k'),
    ],
)
def test_linear_evaluation_has_the_numbers_of_mmpretrain(name, source):
    cfg = Config.fromfile(str(CONFIGS / 'benchmarks' / 'linear' / f'{name}_in1k.py'))
    standard = get_config(f'mmpretrain::{source}.py')
    assert cfg.optim_wrapper.optimizer == standard.optim_wrapper.optimizer
    assert cfg.train_cfg.max_epochs == standard.train_cfg.max_epochs
    assert cfg.train_dataloader.batch_size == standard.train_dataloader.batch_size
    assert [part.type for part in cfg.param_scheduler] == [part.type for part in standard.param_scheduler]


def test_every_row_of_numbers_has_a_config():
    assert set(NUMBERS) == {path.stem for path in (*LINEAR, *SEMI)}


@pytest.mark.parametrize('path', [*LINEAR, *SEMI], ids=lambda path: path.stem)
def test_numbers_are_the_papers(path):
    cfg = Config.fromfile(str(path))
    expected = plain(NUMBERS[path.stem])
    actual = numbers(cfg)
    lr, backbone_lr = expected['optimizer']['lr'], expected.pop('backbone_lr')
    multiplier = actual.pop('multipliers').get('custom_keys', {}).get('backbone', {}).get('lr_mult', 1.0)
    assert cfg.model.frozen is (backbone_lr is None)
    assert backbone_lr is None or multiplier * lr == pytest.approx(backbone_lr)
    assert actual == expected

    # The file name agrees.
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)-', path.stem).groups())
    assert actual['batch'] == [batch, gpus * batch]
    assert actual['length'][0] == int(re.search(r'-(\d+)e_', path.stem)[1])


@pytest.mark.sampled(4)
@pytest.mark.parametrize('path', [*LINEAR, *SEMI], ids=lambda path: path.stem)
def test_opens_its_data_trains_a_step_and_measures(path, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    trust_cifar(monkeypatch)
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(str(path))
    classes = CLASSES[path.stem.rsplit('_', 1)[1]]
    assert cfg.model.head.num_classes == classes
    cfg.model.checkpoint = write_checkpoint(tmp_path / 'a.pth')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            rates[id(parameter)] = group['lr']
    expected = NUMBERS[path.stem]
    (head_rate,) = {rates[id(p)] for p in model.head.parameters()}
    (backbone_rate,) = {rates[id(p)] if p.requires_grad else None for p in model.backbone.parameters()}
    assert head_rate == pytest.approx(expected['optimizer']['lr'])
    assert backbone_rate == pytest.approx(expected['backbone_lr'])
    if path in LINEAR:
        check_fast(cfg)

    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = first_batch(cfg.train_dataloader)
    assert all(0 <= int(sample.gt_label) < classes for sample in batch['data_samples'])
    model.train()
    model.train_step(batch, wrapper)
    moved = {name.split('.')[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == ({'head'} if expected['backbone_lr'] is None else {'head', 'backbone'})

    model.eval()
    batch = first_batch(cfg.val_dataloader)
    evaluator = Evaluator(cfg.val_evaluator)
    with torch.no_grad():
        evaluator.process(model.val_step(batch), batch)
    metrics = evaluator.evaluate(4)
    assert set(metrics) == {'accuracy/top1', 'accuracy/top5'} and all(0 <= value <= 100 for value in metrics.values())


@pytest.mark.parametrize('path', SEMI, ids=lambda path: path.stem)
def test_split_has_the_share_that_the_name_says(path):
    dataset = Config.fromfile(str(path)).train_dataloader.dataset.dataset
    percent = int(re.search(r'semi-(\d+)pct', path.stem)[1])
    if percent == 100:
        assert dataset.type != 'lewel_plugins.LabeledSplit'
        return
    assert dataset.type == 'lewel_plugins.LabeledSplit' and dataset.fraction == percent / 100
    data = path.stem.rsplit('_', 1)[1]
    assert dataset.split_file == f'data/splits/{data}_{percent}pct_seed0.txt' and dataset.seed == 0
    assert dataset.dataset.type in ('ImageNet', 'CustomDataset', 'lewel_plugins.CIFAR10')


@pytest.mark.skipif(find_spec('mmdet') is None, reason='the recipes of its evaluation build on configs of mmdet')
def test_evaluation_comparison_has_all_rows_and_evaluates_each():
    comparison = load_comparison(CONFIGS / 'comparisons' / 'all-methods_garment-scenes.py')
    runs = {run.row.name: run for run in plan_runs(comparison, [1], Path('work'), Path('tools/train.py'))}
    random = 'random initialisation'  # prose: ok
    assert list(runs) == [
        random, 'supervised', 'BYOL', 'MoCo v2', 'LEWEL_M', 'LEWEL_B', 'SMoG', 'MPCL', 'MSBReg',
    ]  # fmt: skip
    budgets = set()
    for name, run in runs.items():
        (step,) = (step for step in run.steps if step.output is not None)
        assert any(word.endswith('evaluate.py') for word in step.command) and '{json}' in step.command, name
        if name == random:
            assert run.command(step)[3] == str(run.config_path)
            continue
        cfg = run.config
        budgets.add((cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, str(cfg.optim_wrapper.to_dict())))
    assert len(budgets) == 1 and next(iter(budgets))[0] == 6


@pytest.mark.parametrize('stem', ['resnet10_1xb64-24e_garment-scenes', 'resnet10_1xb128-10e_cifar10'])
def test_supervised_row_trains_on_the_view_of_the_others(stem):
    cfg = Config.fromfile(str(CONFIGS / f'benchmarks/supervised/supervised_{stem}.py'))
    other = Config.fromfile(str(CONFIGS / f'baselines/byol_{stem}.py'))
    assert cfg.optim_wrapper == other.optim_wrapper and cfg.param_scheduler == other.param_scheduler
    assert cfg.data_preprocessor.views == other.data_preprocessor.views[:1]
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = model.backbone.conv1.weight.detach().clone()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    batch = dict(inputs=images, data_samples=[DataSample().set_gt_label(i) for i in range(4)])
    assert model.train_step(batch, wrapper)['loss'].isfinite()
    assert not torch.equal(before, model.backbone.conv1.weight)


@pytest.mark.parametrize('path', sorted((CONFIGS / 'benchmarks' / 'svm').glob('*.py')), ids=lambda path: path.stem)
def test_svm_config_opens_its_data_and_names_a_head_of_its_classes(path, folder, monkeypatch):
    monkeypatch.chdir(folder)
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(str(path))
    assert cfg.svm.shots[0] == 1 and cfg.train_dataloader.dataset.split != cfg.test_dataloader.dataset.split
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader = Runner.build_dataloader({**loader, 'batch_size': 2, 'num_workers': 0}, seed=0)
        assert len(loader.dataset.metainfo['classes']) == cfg.model.head.num_classes
        batch = next(iter(loader))
        assert len(batch['inputs']) == 2
        assert all(
            0 <= sample.gt_label.min() <= sample.gt_label.max() < cfg.model.head.num_classes
            for sample in batch['data_samples']
        )
