"""Read checkpoints without running code from them, and rebuild their models."""

import copy
import logging
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from .runner_setup import SetupError

_ALLOWED = {
    ('collections', 'OrderedDict'),
    ('torch', 'Size'),
    ('torch._utils', '_rebuild_parameter'),
    ('torch._utils', '_rebuild_tensor'),
    ('torch._utils', '_rebuild_tensor_v2'),
}


class _Inert:
    """Stands for an object of a class that is not allowed: takes everything, does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> '_Inert':
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return super().find_class(module, name)
        return _Inert


# What torch.load asks of a pickle module.
_TENSORS_ONLY = SimpleNamespace(
    __name__='tensors_only',
    Unpickler=_TensorUnpickler,
    load=lambda file, **options: _TensorUnpickler(file, **options).load(),
)


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU: tensors, numbers, text and their containers.

    mmengine's checkpoints hold objects besides tensors (logged values, NumPy scalars), so that
    ``torch.load(weights_only=True)`` refuses them. Here such an object becomes an inert placeholder instead: no code
    named in the file is run.

    Raises:
        SetupError: The file is missing, or is no checkpoint with a ``state_dict``.
    """
    if not Path(path).is_file():
        raise SetupError(f'checkpoint {str(path)!r} does not exist')
    try:
        checkpoint = torch.load(str(path), map_location='cpu', pickle_module=_TENSORS_ONLY, weights_only=False)
    except Exception as error:  # zipfile, pickle and torch each have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or no checkpoint: {error}') from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict'), dict):
        raise SetupError(f'{path} is no checkpoint of a training: it has no state_dict')
    return checkpoint


def config_of(checkpoint: dict[str, Any], path: str | Path) -> Config:
    """The config that mmengine keeps in a checkpoint.

    Raises:
        SetupError: There is none.
    """
    text = checkpoint.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise SetupError(f'{path} holds no config in its meta: give the config file')
    return Config.fromstring(text, '.py')


def model_config(cfg: Config) -> dict[str, Any]:
    """A copy of a config's model, with the data preprocessor that the Runner gives it where that stands beside it."""
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    return model


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


def read_pretrained(path: str, prefix: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What ``init_cfg=dict(type='Pretrained', checkpoint=path, prefix=prefix)`` loads.

    Args:
        path: A file, which is read without running code from it; or an address that mmengine knows, such as
            ``torchvision://resnet50``.
        prefix: Of the names of the tensors, with or without the dot at the end.

    Returns:
        The checkpoint, and its tensors under the prefix by their names without it.

    Raises:
        SetupError: The file is missing or no checkpoint, or has no tensor under the prefix.
    """
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu') if '://' in path else read_tensors(path)
    state = checkpoint.get('state_dict', checkpoint)
    if prefix:
        prefix = prefix.rstrip('.') + '.'
        state = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not state:
        raise SetupError(f'{path} has no tensor whose name starts with {prefix!r}')
    return checkpoint, state


def normalization(checkpoint: dict[str, Any]) -> dict[str, list[float]] | None:
    """``mean`` and ``std`` of the images that a network was trained on, a value a channel, in the network's order.

    Taken from the config in a training's checkpoint, or from the ``meta`` of an exported backbone; None if neither
    tells.
    """
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        return None
    found = meta.get('data_preprocessor')
    if isinstance(meta.get('cfg'), str):
        cfg = Config.fromstring(meta['cfg'], '.py')
        found = model_config(cfg).get('data_preprocessor') if 'model' in cfg else None
    if not found or not found.get('mean') or not found.get('std'):
        return None
    return {name: [float(value) for value in found[name]] for name in ('mean', 'std')}


def backbone_config(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Config of the backbone in a checkpoint of a training or in an export of ``tools/export_backbone.py``.

    Raises:
        SetupError: The checkpoint tells none.
    """
    exported = checkpoint.get('meta', {}).get('backbone')
    if isinstance(exported, dict):
        found = copy.deepcopy(exported)
    else:
        model = config_of(checkpoint, path).get('model') or {}
        if 'backbone' not in model:
            raise SetupError(f'the config in {path} is of a model without a backbone: {model.get("type")}')
        found = copy.deepcopy(dict(model['backbone']))
    found.pop('init_cfg', None)  # what it was initialised from is overwritten
    return found


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
