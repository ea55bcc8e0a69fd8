"""Read checkpoint files without running code of the file, whoever has written it."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor

from lewel_plugins.errors import SetupError

from .released import SCHEME, released_file
from .safetensors_format import SUFFIX, read_safetensors
from .unpickling import TENSORS_ONLY


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Read the checkpoint of a training on the CPU: tensors, numbers, text and their containers.

    mmengine's checkpoints also hold other objects (logged values, NumPy scalars), because of which
    ``torch.load(weights_only=True)`` refuses them. This function replaces such objects by inert placeholders and runs
    no code of the file. The config in ``meta`` is text, for :func:`config_of`; mmengine's ``Config`` would run it.

    Args:
        path: A file or an address, see :func:`local_file`. From a ``.safetensors`` file, the metadata become ``meta``.

    Raises:
        SetupError: The file is missing, or holds no checkpoint with a ``state_dict``.
    """
    checkpoint = _read_inert(path)
    if not isinstance(checkpoint.get('state_dict'), dict):
        raise SetupError(f'{path} is not a checkpoint of a training: it has no state_dict')
    return checkpoint


def read_pretrained(path: str, prefix: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what ``init_cfg=dict(type='Pretrained', checkpoint=path, prefix=prefix)`` loads, without running its code.

    Args:
        path: A file or an address, see :func:`local_file`.
        prefix: Start of the tensors' names, with or without the final dot; None for all tensors.

    Returns:
        The checkpoint, and its tensors under the prefix, named without it.

    Raises:
        SetupError: The file is missing or not a checkpoint, or has no tensor under the prefix.
    """
    checkpoint = _read_inert(path)
    state = checkpoint.get('state_dict', checkpoint)
    if prefix:
        prefix = prefix.rstrip('.') + '.'
        state = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not state:
        raise SetupError(f'{path} has no tensor whose name starts with {prefix!r}')
    return checkpoint, state


def _read_inert(path: str | Path) -> dict[str, Any]:
    path = local_file(str(path))
    if path.suffix == SUFFIX:
        tensors, metadata = read_safetensors(path)
        return dict(meta={name: _json_value(text) for name, text in metadata.items()}, state_dict=tensors)
    # Memory-mapped, so that a caller who needs only keys and shapes does not read the tensors of a large checkpoint.
    checkpoint = _load(path, pickle_module=TENSORS_ONLY, weights_only=False, mmap=zipfile.is_zipfile(path))
    return checkpoint if isinstance(checkpoint, dict) else {}


def _json_value(text: str) -> Any:
    """Return the value that tools/export_backbone.py has written as JSON; other metadata are texts."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _load(path: Path, **options: Any) -> Any:
    try:
        return torch.load(str(path), map_location='cpu', **options)
    except Exception as error:  # zipfile, pickle and torch each have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or not a checkpoint: {error}') from error


def local_file(path: str) -> Path:
    """Return the path of a checkpoint on this machine; an address is first downloaded into torch.hub's cache.

    Args:
        path: A file, or ``https://…``, ``http://…``, ``torchvision://NAME`` or ``lewel_plugins://NAME``, the weights
            that come with this package.

    Raises:
        SetupError: The file or the address does not exist.
    """
    if path.startswith(SCHEME):
        return released_file(path.removeprefix(SCHEME))
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
        raise SetupError(f'{path} cannot be read from this kind of address: download it, and name the file')
    return _download(path)


def _download(url: str) -> Path:
    file = Path(torch.hub.get_dir(), 'checkpoints', os.path.basename(urlparse(url).path))  # where mmengine puts it
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=False)
        except OSError as error:
            raise SetupError(f'{url} cannot be downloaded: {error}') from None
    return file
