"""Backbones with random weights, as a baseline of evaluations."""

from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from lewel_plugins.checkpoints import model_config
from lewel_plugins.files import write_checkpoint
from lewel_plugins.running.setup import load_config


def build_random_model(cfg: Config, seed: int) -> BaseModel:
    """Build the model of a config, with weights that are initialized under a seed."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    set_random_seed(seed)
    model = MODELS.build(model_config(cfg))
    model.init_weights()
    return model


def write_random_checkpoint(config: str, seed: int, out: Path) -> Path:
    """Initialize the model of a config under a seed, and write its backbone as a checkpoint.

    Args:
        config: The config file.
        seed: The seed.
        out: Folder of the checkpoint.

    Returns:
        Path of the checkpoint.
    """
    cfg = load_config(config)
    model = build_random_model(cfg, seed)
    path = out / f'random_seed{seed}.pth'
    state = {f'backbone.{name}': tensor for name, tensor in model.backbone.state_dict().items()}
    write_checkpoint(path, dict(meta=dict(cfg=cfg.pretty_text, seed=seed), state_dict=state))
    return path
