"""Every row of the MSBReg comparisons resolves, builds and trains a step, in the small and at the paper's data."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, init_default_scope

from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.running.num_views import check_num_views, expand_num_views

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FILES = sorted((CONFIGS / 'comparisons').glob('msbreg_*.py'))
IN100 = CONFIGS / 'msbreg' / 'msbreg-k4_resnet18_8xb64-lars-coslr-300e_in100.py'


def rows(path: Path) -> dict[str, Config]:
    """Return the resolved config of each row."""
    return {run.row.name: run.config for run in plan_runs(load_comparison(path), [0], Path('work'), Path('train.py'))}


def build(cfg: Config) -> torch.nn.Module:
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    model.init_weights()
    hooks = [*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or [])]
    for hook in hooks:
        if hook['type'] == 'lewel_plugins.RegularizerHook':
            HOOKS.build(hook).attach(model)
    return model


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    'path', [path for path in FILES if '-k2_' not in path.name and '-k8_' not in path.name], ids=lambda path: path.stem
)
def test_every_row_trains_a_step(path):
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    budgets = set()
    for name, cfg in rows(path).items():
        budgets.add((cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, str(cfg.optim_wrapper.to_dict())))
        if cfg.model.type not in ('lewel_plugins.MSBReg', 'lewel_plugins.BYOLMultiCrop', 'BYOL'):
            continue  # SMoG needs its groups first
        model = build(cfg)
        losses = model.train_step(dict(inputs=images, data_samples=[]), build_optim_wrapper(model, cfg.optim_wrapper))
        assert all(value.isfinite() for value in losses.values()), name
        for loss, letter in (('loss_singular', 'L_s'), ('loss_brownian', 'L_b')):
            if 'weights' not in path.stem and 'MSBReg' not in name and not name.startswith('K = 4, '):
                assert (loss in losses) == (letter in name), name
    assert len(budgets) == 1  # the same for all rows


@pytest.mark.parametrize('K', [2, 4, 8])
def test_table_11_is_complete(K):
    suffix = '' if K == 4 else f'-k{K}'
    factor = 2 if K == 2 else 1
    weights = set()
    for cfg in list(rows(CONFIGS / 'comparisons' / f'msbreg_weights{suffix}_garment-scenes.py').values())[:20]:
        head = cfg.model.head
        assert len(cfg.data_preprocessor.views) == K
        assert (head.get('lambda_c', 1.0), head.get('exclude_self', False)) == (factor, K == 2)
        weights.add((head.lambda_s / factor, head.lambda_b / factor))
    assert weights == {(s, b) for s in (0.0, 2e-3, 4e-3, 1e-2) for b in (0.0, 0.25, 0.5, 1.0, 2.0)}


@pytest.mark.parametrize('name', ['uniformity', 'weights', 'weights-k2', 'weights-k8', 'norms-k4'])
def test_rows_are_options_of_any_base(name):
    """Here of ImageNet-100, whose rate then follows the number of views."""
    comparison = load_comparison(CONFIGS / 'comparisons' / f'msbreg_{name}_garment-scenes.py')
    assert len({row.config for row in comparison.rows}) == 1
    small = ('optim_wrapper.optimizer', 'train_cfg.max_epochs', 'train_cfg.val_interval')
    for row in comparison.rows[1:3]:
        cfg = Config.fromfile(IN100)
        options = {k: v for k, v in row.options.items() if k not in small and not k.startswith('param_scheduler')}
        cfg.merge_from_dict(expand_num_views(cfg, options))
        check_num_views(cfg)
        assert cfg.optim_wrapper.optimizer.lr == 0.4 * 512 / 256 * cfg.num_views
        model = build(cfg)
        losses = model.loss([torch.randn(2, 3, 32, 32) for _ in range(cfg.num_views)])
        assert 'loss_centroid' in losses and all(value.isfinite() for value in losses.values())


def test_a_row_of_byol_is_that_recipe():
    """Of Table 12 on ImageNet-100, and of Table 1."""
    comparison = load_comparison(CONFIGS / 'comparisons' / 'msbreg_uniformity_garment-scenes.py')
    options = {k: v for k, v in comparison.rows[0].options.items() if k == 'num_views' or k.startswith('model.')}
    cfg = Config.fromfile(CONFIGS / 'msbreg' / 'msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py')
    cfg.merge_from_dict(expand_num_views(cfg, options))
    byol = Config.fromfile(CONFIGS / 'msbreg' / 'byol-k2_resnet18_8xb64-lars-coslr-320e_in100.py')
    cfg.train_pipeline[0].num_views = 2  # a variable of the file, which sets nothing
    assert cfg.to_dict() == byol.to_dict()
