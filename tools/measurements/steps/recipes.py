"""Models of recipes on a ResNet of any depth, in float32 or bfloat16, with random views."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
METHODS = {
    'LEWEL_B': 'lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'BYOL (mmpretrain)': 'lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'LEWEL_M': 'lewel/lewel-m_resnet50_8xb32-coslr-200e_in1k.py',
    'MoCo v2 (mmpretrain)': 'lewel/lewel-m_resnet50_8xb32-coslr-200e_in1k.py',
    'SMoG': 'smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
    'SMoG, 30,000 groups': 'smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
    'MPCL on MoCo v2, M = 4': 'mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'MPCL on MoCo v3, M = 4': 'mpcl/mpcl-mocov3_resnet50_8xb512-lars-coslr-300e_in1k.py',
    'MPCL on Barlow Twins, M = 4': 'mpcl/mpcl-barlowtwins_resnet50_8xb256-lars-coslr-300e_in1k.py',
    **{f'MSBReg, K = {k}': 'msbreg/msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py' for k in (2, 4, 8)},
}
# Files whose model takes the place of that in the recipe.
BASES = {
    'BYOL (mmpretrain)': '_base_/models/byol_resnet50.py',
    'MoCo v2 (mmpretrain)': '_base_/models/mocov2_resnet50.py',
}
OPTIONS = {'SMoG, 30,000 groups': {'model.head.num_groups': 30000}}


def prepare(threads: int | None) -> None:
    """Choose mmpretrain's registry, schedules that end far away, and the number of PyTorch's threads."""
    if threads:
        torch.set_num_threads(threads)
    init_default_scope('mmpretrain')
    MessageHub.get_current_instance().update_info('max_iters', 10**6)


def load_recipe(
    path: str, depth: int, options: dict[str, Any] | None = None, bf16: bool = False, base: str | None = None
) -> Config:
    """Return a recipe with a ResNet of this depth, in float32 or bfloat16.

    Args:
        path: Config file in ``configs/``.
        depth: Depth of the ResNet.
        options: Overrides, as in ``--cfg-options``.
        bf16: Whether to train in the recipes' mixed precision.
        base: Config file in ``configs/`` whose model takes the place of that in the recipe.
    """
    cfg = Config.fromfile(str(CONFIGS / path))
    if base is not None:
        cfg.model = Config.fromfile(str(CONFIGS / base)).model
    cfg.merge_from_dict(options or {})
    cfg.model.backbone.depth = depth
    cfg.model.neck.in_channels = 512 if depth < 50 else 2048
    cfg.optim_wrapper.type = 'OptimWrapper'
    for key in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(key, None)
    if bf16:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    cfg.optim_wrapper.optimizer.lr = 1e-3  # keeps the weights finite on random images
    return cfg


def build_model(cfg: Config, device: str) -> Any:
    """Return the model of a recipe, ready to train."""
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).to(device).train()
    if hasattr(model, 'before_training'):
        model.before_training()
    return model


def build(
    method: str, depth: int, device: str, options: dict[str, Any] | None = None, bf16: bool = False
) -> tuple[Any, OptimWrapper]:
    """Return the model of one of ``METHODS`` and its optim wrapper; ``options`` take the place of ``OPTIONS``."""
    overrides = OPTIONS.get(method) if options is None else options
    cfg = load_recipe(METHODS[method], depth, overrides, bf16, BASES.get(method))
    model = build_model(cfg, device)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def start_cache(model: Any, steps: int) -> None:
    """Make room for the features of so many steps, if the model caches them."""
    if hasattr(model, 'cache'):
        model.cache.start(steps)


def random_views(batch: int, size: int, count: int) -> dict:
    """Return a batch of random 8-bit images, as a data loader does."""
    views = [torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8) for _ in range(count)]
    return dict(inputs=views, data_samples=[])
