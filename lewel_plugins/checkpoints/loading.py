"""Build networks that checkpoints describe, and load the checkpoints into them."""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lewel_plugins.dist import unwrap_model
from lewel_plugins.errors import SetupError
from lewel_plugins.logs import without_log

from .compare import compare_states
from .configs import model_config, normalization
from .older_version import refuse_older
from .reading import read_pretrained, read_tensors


def build_model(cfg: Config, checkpoint: dict[str, Any], path: str | Path) -> BaseModel:
    """Build a config's model with the weights of a checkpoint, on the CPU and in eval mode.

    Args:
        cfg: The config.
        checkpoint: The checkpoint.
        path: Its file, for the error.

    Raises:
        SetupError: The model cannot be built, or the weights do not fit it.
    """
    refuse_older(checkpoint, path)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = _build(model_config(cfg), f'model of {path}')
    try:
        model.load_state_dict(checkpoint['state_dict'])
    except RuntimeError as error:
        raise SetupError(f"{path} does not fit the config's model: {' '.join(str(error).split())[:500]}") from None
    model.eval()  # some of OpenMMLab's overrides of eval() do not return the model
    return model


def build_backbone(settings: dict[str, Any], path: str | Path) -> Any:
    """Build the backbone of a config with random weights.

    Args:
        settings: The config, as :func:`backbone_config` returns it.
        path: The file that it comes from, for the error.

    Raises:
        SetupError: The config does not describe a known backbone.
    """
    with without_log():
        return _build(copy.deepcopy(settings), f'backbone of {path}')


def _build(settings: dict[str, Any], what: str) -> Any:
    try:
        return MODELS.build(settings)
    except Exception as error:  # from the registry for an unknown type, from the network for its arguments
        raise SetupError(f'the {what} cannot be built: {" ".join(str(error).split())[:500]}') from None


def load_backbone(backbone: nn.Module, path: str | Path, prefix: str = 'backbone.') -> int:
    """Load all tensors of a backbone, parameters and buffers, from a checkpoint, and nothing else.

    Args:
        backbone: Any OpenMMLab backbone.
        path: A checkpoint of a pretraining, or an exported backbone.
        prefix: Start of the names of the backbone's tensors in the file.

    Returns:
        The number of tensors of the backbone, all of which are loaded.

    Raises:
        SetupError: A tensor is missing or has another shape, or the file has further tensors under the prefix. The
            error lists all of them, and nothing is loaded.
    """
    own = backbone.state_dict()
    _, state = read_pretrained(str(path), prefix)
    difference = compare_states(own, state)
    if difference:
        network = f'a {type(backbone).__name__} of {len(own)} tensors'
        problems = difference.describe(separator='\n  ')
        raise SetupError(f'{path} does not hold {network} under {prefix!r}:\n  {problems}')
    backbone.load_state_dict(state)
    return len(own)


def check_weights(model: nn.Module, path: str | Path) -> None:
    """Check that a checkpoint holds exactly the model's tensors; mmengine only warns and goes on without the others.

    Raises:
        SetupError: It does not. Names the file and the first differences.
    """
    own = unwrap_model(model).state_dict()
    difference = compare_states(own, read_tensors(path)['state_dict'])
    if difference:
        problems = difference.describe(limit=3)
        raise SetupError(f"{path} does not fit the config's model of {len(own)} tensors: {problems}")


def check_normalization(checkpoint: dict[str, Any], path: str | Path, model: nn.Module) -> None:
    """Check that a model normalizes its images as the training of a checkpoint did, in the same order of channels.

    If the checkpoint does not record the means and standard deviations, a warning is logged.

    Args:
        checkpoint: The checkpoint.
        path: Its file, for the messages.
        model: The model, whose ``data_preprocessor`` is checked.

    Raises:
        SetupError: The means, the standard deviations or the orders of channels differ.
    """
    expected = normalization(checkpoint)
    if expected is None:
        message = f"{path} does not record how its images were normalized: the config's mean and std stay unchecked"
        print_log(message, logger='current', level=logging.WARNING)
        return
    preprocessor = getattr(model, 'data_preprocessor', None)
    for name in ('mean', 'std'):
        values = expected[name]
        buffer = getattr(preprocessor, name, None)
        own = None if buffer is None else buffer.flatten().tolist()
        if own is None or not torch.allclose(torch.tensor(own), torch.tensor(values), rtol=1e-4):
            raise SetupError(
                f"{path} was trained on images normalized with {name} {values}, but the config's data_preprocessor has "
                f'{name} {own}; the order of the channels counts, too'
            )
    # The preprocessor of mmpretrain's classifiers has `to_rgb` instead of `_channel_conversion`.
    converts = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'to_rgb', None))
    if None not in (converts, expected.get('to_rgb')) and bool(converts) != expected['to_rgb']:
        raise SetupError(
            f"{path} was trained with to_rgb={expected['to_rgb']}, but the config's data_preprocessor has "
            f'to_rgb={bool(converts)} (in mmdet and mmseg: bgr_to_rgb)'
        )
