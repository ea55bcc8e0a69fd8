"""Start fine-tunings in mmdet and mmseg from a pretrained backbone, and read what came out."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from lewel_plugins.checkpoints import local_file, normalization, read_pretrained
from lewel_plugins.errors import SetupError

from .provenance import file_digest

RANDOM = 'random'
PREFIX = 'backbone.'
_NO_METRICS = ('step', 'time', 'data_time')


def read_backbone(checkpoint: str) -> dict[str, Any]:
    """A checkpoint of the backbone alone: its tensors, where they come from, and how their images were normalised.

    Args:
        checkpoint: A pretraining of ours or mmpretrain's, an exported backbone, or an address of one.

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
    """Let a detector or segmenter start from a pretrained backbone: ``init_cfg`` of all its parts that come from it.

    Those are ``model.backbone`` and, of a C4 detector, ``model.roi_head.shared_head``. They start from a copy that
    holds tensors only: mmengine loads what ``init_cfg`` names, and where torch refuses a file as unsafe it unpickles
    it nevertheless.

    Args:
        cfg: The config, which is changed.
        backbone: What :func:`read_backbone` gives; None for random weights.
        file: Where to write it.
    """
    init: dict[str, Any] | None = None
    if backbone is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f'.{file.name}.{os.getpid()}')
        torch.save(backbone, partial)
        os.replace(partial, file)
        init = dict(type='Pretrained', checkpoint=str(file.resolve()), prefix=PREFIX)
    for hook in cfg.get('custom_hooks', []):
        if backbone is None and hook.type == 'lewel_plugins.StrictPretrainedHook':
            hook.allow_random = True
    parts = [cfg.model.backbone, cfg.model.get('roi_head', {}).get('shared_head')]
    for part in parts:
        if part:
            part.init_cfg = init


def merge_metrics(by_config: dict[str, dict[str, float]]) -> dict[str, float]:
    """Metrics of several configs in one dict; a name that several have gets its config's in front: ``CONFIG/NAME``.

    Args:
        by_config: Metrics by the names of the configs.
    """
    count = Counter(name for metrics in by_config.values() for name in metrics)
    return {
        name if count[name] == 1 else f'{config}/{name}': value
        for config, metrics in by_config.items()
        for name, value in metrics.items()
    }


def last_metrics(work_dir: str | Path) -> dict[str, float]:
    """Metrics of a run's last validation.

    Raises:
        SetupError: There was none.
    """
    found: dict[str, float] = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            record = json.loads(line)
            if 'lr' not in record:
                found = {name: value for name, value in record.items() if name not in _NO_METRICS}
    if not found:
        raise SetupError(f'{work_dir} has no validation in */vis_data/scalars.json')
    return found


def last_checkpoint(work_dir: str | Path) -> Path:
    """Path of a run's last checkpoint.

    Raises:
        SetupError: There is none.
    """
    note = Path(work_dir) / 'last_checkpoint'
    if not note.is_file():
        raise SetupError(f'{work_dir} has no last_checkpoint')
    return note.parent / Path(note.read_text(encoding='utf-8').strip()).name
