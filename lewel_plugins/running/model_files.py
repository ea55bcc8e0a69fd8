"""The model that a command line names: ``CKPT``, whose own config is used, or ``CONFIG CKPT``."""

import argparse
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel

from lewel_plugins.checkpoints import build_model, config_of, read_tensors

from .setup import load_config


class _ModelFiles(argparse.Action):
    """Splits ``[CONFIG] CKPT`` into ``args.config`` and ``args.checkpoint``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        files = list(values or ())
        if len(files) > 2:
            parser.error(f'expected [CONFIG] CKPT, got {len(files)} files')
        namespace.config = files[0] if len(files) == 2 else None
        namespace.checkpoint = files[-1]


def add_model_files(parser: argparse.ArgumentParser) -> None:
    """Add the positional arguments ``[CONFIG] CKPT``; ``args.config`` is None without a config."""
    parser.add_argument(
        'checkpoint',
        nargs='+',
        action=_ModelFiles,
        metavar='[CONFIG] CKPT',
        help='checkpoint; name a config before it to use that instead of the config in the checkpoint',
    )


def load_model(
    checkpoint: str, config: str | None = None, builds: Sequence[str] = (), options: dict[str, Any] | None = None
) -> tuple[BaseModel, Config]:
    """Build the model of a checkpoint and load its weights.

    Args:
        checkpoint: Path of a checkpoint of the whole model.
        config: Path of its config. By default the config in the checkpoint is used.
        builds: Entries of the checkpoint's config that the caller builds besides the model, such as
            ``val_dataloader``. Their types are checked.
        options: Entries of the config to override.

    Returns:
        The model, on the CPU and in eval mode, and the config.

    Raises:
        SetupError: If a file is missing or unusable, or the weights do not fit the model.
    """
    content = read_tensors(checkpoint)
    cfg = config_of(content, checkpoint, *builds) if config is None else load_config(config)
    cfg.merge_from_dict(options or {})
    return build_model(cfg, content, checkpoint), cfg
