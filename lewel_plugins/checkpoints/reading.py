"""Read checkpoints without running code from them."""

import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor

from lewel_plugins.errors import SetupError

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
    named in the file is run. The config in ``meta`` is text, for :func:`config_of`; mmengine's ``Config`` would run it.

    Raises:
        SetupError: The file is missing, or is no checkpoint with a ``state_dict``.
    """
    checkpoint = _unpickle(path)
    if not isinstance(checkpoint.get('state_dict'), dict):
        raise SetupError(f'{path} is no checkpoint of a training: it has no state_dict')
    return checkpoint


def _unpickle(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        raise SetupError(f'checkpoint {str(path)!r} does not exist')
    try:
        checkpoint = torch.load(str(path), map_location='cpu', pickle_module=_TENSORS_ONLY, weights_only=False)
    except Exception as error:  # zipfile, pickle and torch each have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or no checkpoint: {error}') from error
    return checkpoint if isinstance(checkpoint, dict) else {}


def local_file(path: str) -> Path:
    """Where a checkpoint is on this machine; what is named by address is downloaded first, into torch.hub's cache.

    Args:
        path: A file, or ``https://…``, ``http://…`` or ``torchvision://NAME``.

    Raises:
        SetupError: There is no such file, or no such address.
    """
    if path.startswith('torchvision://'):
        urls = get_torchvision_models()
        name = path.removeprefix('torchvision://')
        if name not in urls:
            raise SetupError(f'torchvision has no weights {name!r}')
        path = urls[name]
    if '://' not in path:
        if not Path(path).is_file():
            raise SetupError(f'checkpoint {path!r} does not exist')
        return Path(path)
    if not path.startswith(('http://', 'https://')):
        raise SetupError(f'{path} is not read: download it, and give the file')
    file = Path(torch.hub.get_dir(), 'checkpoints', os.path.basename(urlparse(path).path))  # as mmengine has it
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(path, str(file), progress=False)
        except OSError as error:
            raise SetupError(f'{path} cannot be downloaded: {error}') from None
    return file


def read_pretrained(path: str, prefix: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What ``init_cfg=dict(type='Pretrained', checkpoint=path, prefix=prefix)`` loads, without running code from it.

    Args:
        path: A file or an address, see :func:`local_file`.
        prefix: Of the names of the tensors, with or without the dot at the end.

    Returns:
        The checkpoint, and its tensors under the prefix by their names without it.

    Raises:
        SetupError: The file is missing or no checkpoint, or has no tensor under the prefix.
    """
    checkpoint = _unpickle(local_file(path))
    state = checkpoint.get('state_dict', checkpoint)
    if prefix:
        prefix = prefix.rstrip('.') + '.'
        state = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not state:
        raise SetupError(f'{path} has no tensor whose name starts with {prefix!r}')
    return checkpoint, state


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Raises:
        SetupError: If the file is missing or is not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise SetupError(f'checkpoint {str(path)!r} does not exist')
    try:
        # Mapped, not read: who asks for the keys and shapes of a large checkpoint should not wait for its tensors.
        checkpoint = torch.load(str(path), map_location='cpu', weights_only=False, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # zipfile, pickle and torch each have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or no checkpoint: {error}') from error
    if not isinstance(checkpoint, dict):
        raise SetupError(f'{path} is no checkpoint: it holds a {type(checkpoint).__name__}, not a dict')
    return checkpoint
