"""The job of a training that starts from a checkpoint."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.checkpoints import local_file
from lewel_plugins.files import file_digest

from .jobs import Changes, Job
from .work_dir import LAST_CHECKPOINT, list_checkpoints

_SHOWN_LINES = 6


def claim_training(work_dir: str | Path, cfg: Config, checkpoint: str | None) -> Job:
    """Claim a work dir for a training, so that it never goes on from the run of another checkpoint.

    The inputs are the checkpoint's content, wherever the file is, the seed, and the config with all that it inherits.
    The content of data sets is not among them.

    Args:
        work_dir: Folder of the training, new or to go on in.
        cfg: Config of the training; its ``work_dir`` and ``model.checkpoint`` do not count.
        checkpoint: File or address of the weights that the training starts from; None for random weights.

    Returns:
        The training's job.

    Raises:
        SetupError: The folder holds a run from other inputs, which are named, or from unrecorded ones.
    """
    compared = Config(cfg.to_dict())
    compared.pop('work_dir', None)
    if 'checkpoint' in compared.get('model', {}):
        compared.model.checkpoint = None
    inputs = dict(
        sha256=None if checkpoint is None else file_digest(local_file(checkpoint)),
        seed=(cfg.get('randomness') or {}).get('seed'),
        config=compared.pretty_text,
    )
    job = Job(Path(work_dir) / 'inputs.json', inputs, about=dict(checkpoint=checkpoint))

    def describe(changes: Changes, about: Mapping[str, Any]) -> list[str]:
        return _describe(changes, str(about.get('checkpoint')), str(checkpoint))

    job.claim([Path(work_dir) / LAST_CHECKPOINT, *list_checkpoints(work_dir)], describe)
    return job


def _describe(changes: Changes, recorded_path: str, path: str) -> list[str]:
    reasons = []
    if 'sha256' in changes:
        recorded, digest = (_short(value) for value in changes['sha256'])
        reasons.append(f'checkpoint {recorded_path} ({recorded}), not {path} ({digest})')
    if 'seed' in changes:
        recorded, seed = changes['seed']
        reasons.append(f'seed {recorded}, not {seed}')
    elif 'config' in changes:  # another seed makes another config, too
        reasons.append(f'another config ({"; ".join(_changed_lines(*map(str, changes["config"])))})')
    return reasons


def _changed_lines(recorded: str, text: str) -> list[str]:
    lines = difflib.unified_diff(recorded.splitlines(), text.splitlines(), n=0)
    changed = [line for line in lines if line[0] in '-+' and line[:3] not in ('---', '+++')]
    return [' '.join(line.split()) for line in changed[:_SHOWN_LINES]]


def _short(digest: str | None) -> str:
    return f'sha256 {digest[:12]}…' if digest else 'random weights'
