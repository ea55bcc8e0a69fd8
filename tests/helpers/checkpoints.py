from pathlib import Path

import torch
from torch import Tensor


def save(path: Path, state: dict[str, Tensor], cfg: str = '', **meta: object) -> Path:
    """Write a checkpoint as mmengine does; return its path."""
    torch.save(dict(meta=dict(cfg=cfg, **meta), state_dict=state), path)
    return path
