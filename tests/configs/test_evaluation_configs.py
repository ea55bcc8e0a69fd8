"""Every recipe of evaluation builds, has the rates and schedule that its name and paper say, and trains a step."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmpretrain.structures import DataSample
from toy_classifier import write_checkpoint

from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.evaluation.linear_probe import check_fast

pytestmark = pytest.mark.core
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LINEAR, SEMI = (sorted((CONFIGS / 'benchmarks' / room).glob('*.py')) for room in ('linear', 'semi'))
CLASSES = {'in1k': 1000, 'in100': 100, 'places205': 205, 'inat18': 8142, 'stl10': 10, 'cifar10': 10, 'garment-scenes': 10}
# SPEC's table: head and backbone rate (None: frozen), momentum variant, epochs, milestones.
RATES = {
    'lewel-m-linear': (3.2, None, 90, None),
    'lewel-b-linear': (0.4, None, 50, [30, 40]),
    'smog-linear': (3.2, None, 90, None),
    'mpcl-linear': (30.0, None, 100, [60, 80]),
    'lewel-semi-1pct': (1.0, 1e-4, 50, [30, 40]),
    'lewel-semi-10pct': (0.1, 0.01, 50, [30, 40]),
    'lewel-semi-100pct': (0.1, 0.01, 50, [30, 40]),
    'mpcl-semi-1pct': (0.5, 0.002, 20, [12, 16]),
    'mpcl-semi-10pct': (0.5, 0.002, 20, [12, 16]),
    'msbreg-semi-1pct': (2.0, None, 50, None),
    'msbreg-semi-10pct': (0.25, 2.5e-4, 50, None),
    'smog-semi-1pct': (0.8, 0.8, 60, None),
    'smog-semi-10pct': (0.8, 0.8, 30, None),
    'smog-semi-100pct': (0.1, 0.1, 100, [30, 60, 90]),
}


@pytest.mark.parametrize('path', [*LINEAR, *SEMI], ids=lambda path: path.stem)
def test_recipe_is_the_papers_and_trains_a_step(path, tmp_path):
    cfg = Config.fromfile(str(path))
    recipe, batch_tag, data = re.fullmatch(r'(.+?)_(.+?)_(.+)', path.stem).groups()
    gpus, batch = map(int, re.match(r'(\d+)xb(\d+)-', batch_tag).groups())
    assert cfg.train_dataloader.batch_size == batch and cfg.auto_scale_lr.base_batch_size == gpus * batch
    assert cfg.model.head.num_classes == CLASSES[data]
    assert cfg.train_cfg.max_epochs == int(re.search(r'-(\d+)e', batch_tag)[1])
    assert ('nesterov' in cfg.optim_wrapper.optimizer) == (
        recipe.startswith('msbreg-semi') or recipe in ('smog-semi-1pct', 'smog-semi-10pct')
    )

    init_default_scope('mmpretrain')
    cfg.model.checkpoint = write_checkpoint(tmp_path / 'a.pth')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    if recipe.startswith('msbreg-linear'):
        expected = (0.2, None, *((28, [9, 19]) if data in ('places205', 'in1k') else (84, [28, 56])))
    else:
        expected = RATES[recipe]
    head_lr, backbone_lr, epochs, milestones = expected
    rates = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            rates[id(parameter)] = group['lr']
    (of_head,) = {rates[id(p)] for p in model.head.parameters()}
    (of_backbone,) = {rates[id(p)] if p.requires_grad else None for p in model.backbone.parameters()}
    assert of_head == pytest.approx(head_lr) and of_backbone == pytest.approx(backbone_lr)
    assert cfg.train_cfg.max_epochs == epochs
    assert [step for s in cfg.param_scheduler for step in s.get('milestones', [])] == (milestones or [])
    if path in LINEAR:
        check_fast(cfg)

    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    model.train()
    model.train_step(dict(inputs=images, data_samples=samples), wrapper)
    moved = {name.split('.')[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == ({'head'} if backbone_lr is None else {'head', 'backbone'})


@pytest.mark.parametrize('path', SEMI, ids=lambda path: path.stem)
def test_split_has_the_share_that_the_name_says(path):
    dataset = Config.fromfile(str(path)).train_dataloader.dataset.dataset
    percent = int(re.search(r'semi-(\d+)pct', path.stem)[1])
    if percent == 100:
        assert dataset.type != 'lewel_plugins.LabelledSplit'
        return
    assert dataset.type == 'lewel_plugins.LabelledSplit' and dataset.fraction == percent / 100
    data = path.stem.rsplit('_', 1)[1]
    assert dataset.split_file == f'data/splits/{data}_{percent}pct_seed0.txt' and dataset.seed == 0
    assert dataset.dataset.type in ('ImageNet', 'CustomDataset')


def test_all_labels_are_fine_tuned_by_mmpretrains_recipe():
    (path,) = (CONFIGS / 'benchmarks' / 'semi').glob('smog-semi-100pct_*.py')
    cfg, standard = Config.fromfile(str(path)), get_config('mmpretrain::resnet/resnet50_8xb32_in1k.py')
    (schedule,) = cfg.param_scheduler
    assert cfg.optim_wrapper.optimizer == standard.optim_wrapper.optimizer
    assert schedule == standard.param_scheduler
    assert cfg.train_cfg.max_epochs == standard.train_cfg.max_epochs
    assert cfg.auto_scale_lr == standard.auto_scale_lr


def test_evaluation_comparison_has_all_rows_and_evaluates_each():
    comparison = load_comparison(CONFIGS / 'comparisons' / 'all-methods_garment-scenes.py')
    runs = {run.row.name: run for run in plan_runs(comparison, [1], Path('work'), Path('tools/train.py'))}
    assert list(runs) == [
        'random initialisation', 'supervised', 'BYOL', 'MoCo v2', 'LEWEL_M', 'LEWEL_B', 'SMoG', 'MPCL', 'MSBReg',
    ]  # fmt: skip
    budgets = set()
    for name, run in runs.items():
        (step,) = (step for step in run.steps if step.output is not None)
        assert any(word.endswith('evaluate.py') for word in step.command) and '{json}' in step.command, name
        if name == 'random initialisation':
            assert run.command(step)[3] == str(run.config_path)
            continue
        cfg = run.config
        budgets.add((cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, str(cfg.optim_wrapper.to_dict())))
    assert len(budgets) == 1 and next(iter(budgets))[0] == 12


def test_supervised_row_trains_on_the_view_of_the_others():
    cfg = Config.fromfile(str(CONFIGS / 'benchmarks/supervised/supervised_resnet10_1xb64-24e_garment-scenes.py'))
    other = Config.fromfile(str(CONFIGS / 'baselines/byol_resnet10_1xb64-24e_garment-scenes.py'))
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
def test_svm_config_names_a_head_of_its_classes(path):
    cfg = Config.fromfile(str(path))
    dataset = DATASETS.module_dict.get('VOC') or DATASETS.get('mmpretrain.VOC')
    classes = cfg.train_dataloader.dataset.get('metainfo', dataset.METAINFO)['classes']
    assert len(classes) == cfg.model.head.num_classes
    assert cfg.svm.shots[0] == 1 and cfg.train_dataloader.dataset.split != cfg.test_dataloader.dataset.split
