"""Models of recipes on a ResNet of any depth, in float32 or bfloat16, with random views."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS, init_default_scope
from torch import nn

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


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on a CPU, for which mmengine has none."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under autocast."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def in_bfloat16(wrapper: OptimWrapper, device: str) -> OptimWrapper:
    """Return an optim wrapper for the recipes' mixed precision, with the same optimizer."""
    cfg: dict[str, Any] = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    if device == 'cpu':
        cfg = dict(type='CPUAmpOptimWrapper')
    return OPTIM_WRAPPERS.build(dict(cfg, optimizer=wrapper.optimizer))


def recipe_batch(method: str) -> int:
    """Return the images per GPU of the recipe of one of ``METHODS``."""
    return Config.fromfile(str(CONFIGS / METHODS[method])).train_dataloader.batch_size


def prepare(threads: int | None) -> None:
    """Choose mmpretrain's registry, schedules that end far away, and the number of PyTorch's threads."""
    if threads:
        torch.set_num_threads(threads)
    init_default_scope('mmpretrain')
    MessageHub.get_current_instance().update_info('max_iters', 10**6)


def load_recipe(path: str, depth: int, options: dict[str, Any] | None = None, base: str | None = None) -> Config:
    """Return a recipe with a ResNet of this depth, in float32.

    Args:
        path: Config file in ``configs/``.
        depth: Depth of the ResNet.
        options: Overrides, as in ``--cfg-options``.
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
    cfg = load_recipe(METHODS[method], depth, overrides, BASES.get(method))
    model = build_model(cfg, device)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return model, in_bfloat16(wrapper, device) if bf16 else wrapper


def start_cache(model: Any, steps: int) -> None:
    """Make room for the features of so many steps, if the model caches them."""
    if hasattr(model, 'cache'):
        model.cache.start(steps)


def random_views(batch: int, size: int, count: int) -> dict:
    """Return a batch of random 8-bit images, as a data loader does: in pinned memory if there is a GPU."""
    views = [torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8) for _ in range(count)]
    if torch.cuda.is_available():
        views = [view.pin_memory() for view in views]
    return dict(inputs=views, data_samples=[])
