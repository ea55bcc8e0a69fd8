"""Every recipe builds: model, optimizer, schedule, hooks; names are what MIM and readers rely on."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, init_default_scope

from lewel_plugins.models import MomentumPretrainer

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SMOG = sorted(CONFIGS.glob('smog/*.py'))
RECIPES = sorted([*CONFIGS.glob('lewel/*.py'), *SMOG, *CONFIGS.glob('baselines/*.py')])


def test_basenames_are_unique():
    names = [path.name for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    assert len(names) == len(set(names)) > 20


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe_builds(path):
    cfg = Config.fromfile(str(path))
    init_default_scope('mmpretrain')
    cfg.model.data_preprocessor = cfg.data_preprocessor
    if 'resnet50x' in path.stem:  # up to 3 GB, and no other layers than at a sixteenth of the width
        for part, name in ((cfg.model.neck, 'in_channels'), (cfg.model.backbone, 'base_channels')):
            part[name] //= 16
        cfg.model.backbone.stem_channels //= 16
    model = MODELS.build(cfg.model)
    ours = path.stem.startswith(('lewel', 'smog'))
    assert isinstance(model, MomentumPretrainer) == ours
    # Without a GPU tools/train.py does the same to mixed precision.
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, ConfigDict(wrapper_cfg, type='OptimWrapper'))
    assert len(wrapper.optimizer.param_groups) <= 2
    optimized = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}
    if ours:
        assert not optimized & {id(p) for p in model.teacher.parameters()}
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        if hook['type'].startswith('lewel_plugins.'):
            HOOKS.build(hook)


def shrink(cfg: Config) -> None:
    """The recipe on a network and groups that train a step in no time."""
    backbone = cfg.model.backbone
    if backbone.type == 'SwinTransformer':
        backbone.arch = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
        width = 64
    else:
        backbone.base_channels = 8
        if backbone.type != 'lewel_plugins.ResNet10':
            backbone.stem_channels = 8
        width = 8 * 8 * (4 if backbone.get('depth') == 50 else 1)
    cfg.model.neck.update(in_channels=width, hid_channels=16)
    cfg.model.update(hid_channels=16, num_groups=6, init_cfg=None)


@pytest.mark.parametrize('path', SMOG, ids=lambda path: path.stem)
def test_recipe_trains_a_step(path):
    cfg = Config.fromfile(str(path))
    init_default_scope('mmpretrain')
    shrink(cfg)
    model = MODELS.build(cfg.model).train()
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, ConfigDict(wrapper_cfg, type='OptimWrapper'))
    (hook,) = (HOOKS.build(hook) for hook in cfg.custom_hooks)
    model.start_training()
    model.cache.start(hook.interval)
    large = 224 if cfg.model.backbone.type == 'SwinTransformer' else 32  # Swin's windows of 7 fit no others
    sizes = [large] * 2 + [96] * (model.num_views - 2)
    torch.manual_seed(0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    groups = model.groups.clone()
    for step in range(2):
        views = [torch.randn(4, 3, size, size) for size in sizes]
        wrapper.update_params(model.parse_losses(model.loss(views))[0])
        model.momentum_update((step + 1) / 2)
    assert all(v.isfinite().all() for v in model.state_dict().values())
    assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters() if p.requires_grad)
    assert not torch.equal(model.groups, groups)
    model.cluster_groups(model.cache, seed=0)
    model.reset_teacher()


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_schedule_and_batch_are_what_the_name_says(path):
    cfg = Config.fromfile(str(path))
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs
    assert cfg.param_scheduler[-1].T_max == cfg.train_cfg.max_epochs - cfg.param_scheduler[-1].begin
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)-', path.stem).groups())
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    epochs = int(re.search(r'-(\d+)e_', path.stem)[1])
    assert cfg.train_cfg.max_epochs == epochs


def test_model_index_names_files_that_exist():
    root = CONFIGS.parent
    metafiles = yaml.safe_load((root / 'model-index.yml').read_text())['Import']
    for metafile in metafiles:
        models = yaml.safe_load((root / metafile).read_text())['Models']
        for model in models:
            assert (root / model['Config']).is_file(), model['Config']
