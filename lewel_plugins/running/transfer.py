"""Start fine-tunings in mmdet and mmseg from a pretrained backbone."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from lewel_plugins.checkpoints import local_file, normalization, read_pretrained
from lewel_plugins.files import file_digest, write_checkpoint

RANDOM = 'random'
PREFIX = 'backbone.'


def read_backbone(checkpoint: str) -> dict[str, Any]:
    """Reduce a checkpoint to its backbone: the tensors, their source, and the normalization of the training's images.

    Args:
        checkpoint: A pretraining with this package or mmpretrain, an exported backbone, or the address of one.

    Raises:
        SetupError: The file is missing or has no ``backbone.…`` tensors.
    """
    content, state = read_pretrained(checkpoint, PREFIX)
    meta = dict(
        source=checkpoint,
        source_sha256=file_digest(local_file(checkpoint)),
        data_preprocessor=normalization(content),
    )
    tensors = {f'{PREFIX}{name}': value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return dict(meta=meta, state_dict=tensors)


def set_checkpoint(cfg: Config, backbone: dict[str, Any] | None, file: Path) -> None:
    """Set the ``init_cfg`` of all parts of a detector or segmenter that start from a pretrained backbone.

    These parts are ``model.backbone`` and, in a C4 detector, ``model.roi_head.shared_head``. They start from a copy
    that holds nothing but tensors, because mmengine unpickles what ``init_cfg`` names even where torch refuses the file
    as unsafe.

    Args:
        cfg: The config, which is changed.
        backbone: Result of :func:`read_backbone`; None for random weights.
        file: Where to write the copy.
    """
    init: dict[str, Any] | None = None
    if backbone is not None:
        write_checkpoint(file, backbone)
        init = dict(type='Pretrained', checkpoint=str(file.resolve()), prefix=PREFIX)
    for hook in cfg.get('custom_hooks', []):
        if backbone is None and hook.type == 'lewel_plugins.StrictPretrainedHook':
            hook.allow_random = True
    for part in (cfg.model.backbone, cfg.model.get('roi_head', {}).get('shared_head')):
        if part:
            part.init_cfg = init


def merge_metrics(by_config: dict[str, dict[str, float]]) -> dict[str, float]:
    """Merge the metrics of several configs; a name that occurs more than once becomes ``CONFIG/NAME``.

    Args:
        by_config: Name of the config → metrics.
    """
    count = Counter(name for metrics in by_config.values() for name in metrics)
    return {
        name if count[name] == 1 else f'{config}/{name}': value
        for config, metrics in by_config.items()
        for name, value in metrics.items()
    }
