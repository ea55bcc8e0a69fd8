"""Start fine-tunings in mmdet and mmseg from a pretrained backbone, and read what came out."""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .checkpoint import read_pretrained
from .runner_setup import SetupError

RANDOM = 'random'
PREFIX = 'backbone.'
_NO_METRICS = ('step', 'time', 'data_time')


def set_checkpoint(cfg: Config, checkpoint: str) -> None:
    """Let a detector or segmenter start from a pretrained backbone: ``init_cfg`` of all its parts that come from it.

    Those are ``model.backbone`` and, of a C4 detector, ``model.roi_head.shared_head``.

    Args:
        cfg: The config, which is changed.
        checkpoint: A pretraining of ours or mmpretrain's, an exported backbone, or ``random`` for random weights.

    Raises:
        SetupError: The file is missing or has no ``backbone.…`` tensors.
    """
    init: dict[str, Any] | None = None
    if checkpoint != RANDOM:
        if '://' not in checkpoint:
            checkpoint = str(Path(checkpoint).resolve())
        read_pretrained(checkpoint, PREFIX)
        init = dict(type='Pretrained', checkpoint=checkpoint, prefix=PREFIX)
    for hook in cfg.get('custom_hooks', []):
        if checkpoint == RANDOM and hook.type == 'lewel_plugins.StrictPretrainedHook':
            hook.allow_random = True
    parts = [cfg.model.backbone, cfg.model.get('roi_head', {}).get('shared_head')]
    for part in parts:
        if part:
            part.init_cfg = init


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
