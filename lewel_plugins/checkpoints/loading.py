"""Put a checkpoint's tensors into models, and compare what both hold."""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lewel_plugins.errors import SetupError

from .configs import model_config, normalization
from .reading import read_checkpoint, read_pretrained


def build_model(cfg: Config, checkpoint: dict[str, Any], path: str | Path) -> BaseModel:
    """The config's model with a checkpoint's weights, on the CPU, in eval mode.

    Raises:
        SetupError: The weights do not fit.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(model_config(cfg))
    try:
        model.load_state_dict(checkpoint['state_dict'])
    except RuntimeError as error:
        raise SetupError(f"{path} does not fit the config's model: {' '.join(str(error).split())[:500]}") from None
    model.eval()  # whose overrides in OpenMMLab do not all return the model
    return model


def load_backbone(backbone: nn.Module, path: str | Path, prefix: str = 'backbone.') -> int:
    """Load all tensors of a backbone, parameters and buffers, from a checkpoint; nothing else of the file is used.

    Args:
        backbone: Any OpenMMLab backbone.
        path: A checkpoint of a pretraining, or an export.
        prefix: What the names of the backbone's tensors start with in the file.

    Returns:
        The number of tensors loaded: all that the backbone has.

    Raises:
        SetupError: A tensor is missing or has another shape, or the file has further tensors of a backbone. All are
            listed; then nothing has been loaded.
    """
    own = backbone.state_dict()
    _, found = read_pretrained(str(path), prefix)
    problems = {
        'missing in the checkpoint': [name for name in own if name not in found],
        'of another shape': [
            f'{name} {tuple(found[name].shape)}, not {tuple(own[name].shape)}'
            for name in own
            if name in found and found[name].shape != own[name].shape
        ],
        'that the backbone lacks': [name for name in found if name not in own],
    }
    said = [f'\n  {len(names)} {what}: {", ".join(names)}' for what, names in problems.items() if names]
    if said:
        raise SetupError(
            f'{path} does not hold a {type(backbone).__name__} of {len(own)} tensors under {prefix!r}:{"".join(said)}'
        )
    backbone.load_state_dict(found)
    return len(own)


def build_backbone(settings: dict[str, Any], path: str | Path) -> Any:
    """The backbone of a config, with random weights.

    Args:
        settings: The config, as :func:`backbone_config` gives it.
        path: Where it comes from, for the message.

    Raises:
        SetupError: They describe no backbone that is known here.
    """
    try:
        return MODELS.build(copy.deepcopy(settings))
    except Exception as error:  # of the registry for an unknown type, of the network for its arguments
        raise SetupError(f'the backbone of {path} cannot be built: {" ".join(str(error).split())[:500]}') from None


def check_normalization(checkpoint: dict[str, Any], path: str | Path, model: nn.Module) -> None:
    """Compare the means and standard deviations of a model's data preprocessor to those of a checkpoint's training.

    Where the checkpoint tells none, that is logged.

    Raises:
        SetupError: They differ.
    """
    expected = normalization(checkpoint)
    if expected is None:
        message = f"{path} does not tell how its images were normalised: the config's mean and std stay unchecked"
        print_log(message, logger='current', level=logging.WARNING)
        return
    preprocessor = getattr(model, 'data_preprocessor', None)
    for name, values in expected.items():
        found = getattr(preprocessor, name, None)
        own = None if found is None else found.flatten().tolist()
        if own is None or not torch.allclose(torch.tensor(own), torch.tensor(values), rtol=1e-4):
            raise SetupError(
                f"{path} was trained on images normalised with {name} {values}, the config's data_preprocessor has "
                f'{name} {own}; the order of the channels is part of it'
            )


def check_weights(model: nn.Module, path: str | Path) -> None:
    """Check that a checkpoint holds just the model's tensors; mmengine only warns and goes on without them.

    Raises:
        SetupError: Names the file and the first differences.
    """
    unwrapped: Any = model.module if is_model_wrapper(model) else model
    own = unwrapped.state_dict()
    state = read_checkpoint(path).get('state_dict', {})
    problems = {
        'lacks': [key for key in own if key not in state],
        'has besides': [key for key in state if key not in own],
        'has in another shape': [
            key for key in own if key in state and getattr(state[key], 'shape', None) != own[key].shape
        ],
    }
    said = [f'{what} {len(keys)} ({", ".join(keys[:3])}, ...)' for what, keys in problems.items() if keys]
    if said:
        raise SetupError(
            f"{path} does not fit the config's model: of the model's {len(own)} tensors it {'; it '.join(said)}"
        )
