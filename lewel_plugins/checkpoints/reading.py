"""Read checkpoint files without running code of the file, whoever has written it."""

import hashlib
import json
import os
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor

from lewel_plugins.errors import SetupError
from lewel_plugins.files import replacing

from .released import SCHEME, released_file
from .safetensors_format import SUFFIX, read_safetensors
from .unpickling import TENSORS_ONLY

_HASH_DIGITS = 8  # that names have at least, of torchvision, timm and mmpretrain
_PATIENCE = 60  # seconds without a byte


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
        reason = ' '.join(str(error).split())  # it may have several lines
        raise SetupError(f'{path} cannot be read, it is damaged or not a checkpoint: {reason}') from error


def local_file(path: str) -> Path:
    """Return the path of a checkpoint on this machine; an address is first downloaded into torch.hub's cache.

    Args:
        path: A file, or ``https://…``, ``http://…``, ``torchvision://NAME`` or ``lewel_plugins://NAME``, the weights
            that come with this package.

    Raises:
        SetupError: The file or the address does not exist, or the download is incomplete.
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
        if Path(path).is_dir():
            raise SetupError(f'checkpoint {path!r} is a folder; name a file in it')
        if not Path(path).is_file():
            raise SetupError(f'checkpoint {path!r} does not exist')
        return Path(path)
    if not path.startswith(('http://', 'https://')):
        raise SetupError(f'{path} cannot be read from this kind of address: download it, and name the file')
    return _download(path)


def _download(url: str) -> Path:
    file = _cached(url)
    if not file.is_file():
        try:
            with replacing(file) as partial:
                _fetch(url, partial)
        except (OSError, HTTPException) as error:
            raise SetupError(f'{url} cannot be downloaded: {error or type(error).__name__}') from None
    return file


def _cached(url: str) -> Path:
    """Return where an address is kept: where mmengine puts it, if the name holds a hash that distinguishes it."""
    name = os.path.basename(urlparse(url).path)
    if not _hash_in(name):
        name = f'{hashlib.sha256(url.encode()).hexdigest()[:16]}.{name}'
    return Path(torch.hub.get_dir(), 'checkpoints', name)


def _hash_in(name: str) -> str:
    """Return the digits of the SHA-256 of a file's content that torch's convention has in its name; '' if none."""
    match = torch.hub.HASH_REGEX.search(name)
    digits = match.group(1) if match else ''
    return '' if len(digits) < _HASH_DIGITS or digits.isdecimal() else digits  # a date is no hash


def _fetch(url: str, file: Path) -> None:
    """Write the content of an address to a file.

    Raises:
        OSError: It is not all there, or another one than its name states.
        HTTPException: The server does not speak HTTP.
    """
    digest, size = hashlib.sha256(), 0
    with (
        urlopen(Request(url, headers={'User-Agent': 'torch.hub'}), timeout=_PATIENCE) as answer,
        file.open('wb') as target,
    ):
        while part := answer.read(1 << 20):
            target.write(part)
            digest.update(part)
            size += len(part)
        announced = answer.headers.get('Content-Length')
    if announced is not None and int(announced) != size:
        raise OSError(f'only {size:,} of {int(announced):,} bytes came; try again')
    expected = _hash_in(os.path.basename(urlparse(url).path))
    if not digest.hexdigest().startswith(expected):
        raise OSError(
            f'its SHA-256 is {digest.hexdigest()[: len(expected)]}…, not {expected}… as in its name; to use it anyway, '
            'download it, and name the file'
        )
