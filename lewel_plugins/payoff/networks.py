"""The networks of the arms, each as a file that a classifier starts from."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.files import write_checkpoint


def write_random_network(cfg: Config, seed: int, path: Path) -> None:
    """Write the backbone that a pretraining with this seed starts from.

    Args:
        cfg: Config of the pretraining from random weights.
        seed: The seed.
        path: File to write.
    """
    from lewel_plugins.evaluation.random_checkpoint import build_random_model

    model = build_random_model(cfg, seed)
    state: dict[str, Any] = {f'backbone.{name}': tensor for name, tensor in model.backbone.state_dict().items()}
    write_checkpoint(path, dict(meta=dict(cfg=cfg.pretty_text, seed=seed), state_dict=state))
