"""Every row of the MPCL comparisons resolves, builds and trains a step; the baselines have the same networks."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FILES = sorted((CONFIGS / 'comparisons').glob('mpcl_*.py'))


def runs(path: Path) -> dict:
    comparison = load_comparison(path)
    return {run.row.name: run for run in plan_runs(comparison, [0], Path('work'), Path('tools/train.py'))}


def build(cfg) -> torch.nn.Module:
    init_default_scope('mmpretrain')
    return MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_row_trains_a_step(path):
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    budgets = set()
    for name, run in runs(path).items():
        cfg = run.config
        budgets.add((cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, str(cfg.optim_wrapper.to_dict())))
        if run.row.config.parent.name == 'baselines':
            continue
        model = build(cfg).train()
        model.init_weights()
        model.before_training()
        losses = model.train_step(dict(inputs=images, data_samples=[]), build_optim_wrapper(model, cfg.optim_wrapper))
        assert all(value.isfinite() for value in losses.values()), name
        penalized = 'no PCR' not in name and any(word in name for word in ('PCR', 'λ', 'cross-correlation'))
        assert (losses['loss_pcr'] != 0) == penalized, name
        with_ptb = 'PTB' in name or (name == 'M = 1' and path.stem != 'mpcl_pcr_garment-scenes')
        assert (cfg.custom_hooks[0].epsilon is not None) == with_ptb, name
        expected = int(name[4]) if name.startswith('M = ') else 4
        assert model.neck.num_projectors == expected, name
    assert len(budgets) == 1  # the same for all rows


@pytest.mark.parametrize('stem', ['mpcl_mocov2', 'mpcl_mocov3'])
def test_different_widths_cost_as_much_as_the_same(stem):
    rows = runs(CONFIGS / 'comparisons' / f'{stem}_garment-scenes.py')
    same, different = (build(rows[f'M = 4, {name}'].config) for name in ('same', 'different'))
    widths = [mlp.fc0.weight.shape[1] for mlp in different.neck.mlps]
    assert len(set(widths)) == 4
    assert sum(widths) == 4 * same.neck.mlps.fc0.weight.shape[1]


@pytest.mark.parametrize('stem', ['mpcl_mocov2', 'mpcl_mocov3', 'mpcl_barlowtwins'])
def test_the_baseline_is_one_of_the_projectors(stem):
    rows = runs(CONFIGS / 'comparisons' / f'{stem}_garment-scenes.py')
    cfg = rows['M = 4, PCR'].config
    cfg.model.neck.num_projectors = 1
    single, base = build(cfg), build(next(iter(rows.values())).config)
    for ours, theirs in ((single.backbone, base.backbone), (single.neck, base.neck)):
        assert [p.numel() for p in ours.parameters()] == [p.numel() for p in theirs.parameters()]
    if stem == 'mpcl_mocov3':
        theirs = [p.numel() for p in base.head.predictor.parameters()]
        assert [p.numel() for p in single.head.predictor.parameters()] == theirs
        assert single.head.temperature == base.head.temperature
        assert base.head.loss_module.loss_weight == 2 * single.head.temperature
