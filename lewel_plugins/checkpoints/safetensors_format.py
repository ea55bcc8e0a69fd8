"""The file format of safetensors (https://huggingface.co/docs/safetensors): a JSON header, then the tensors' bytes.

It is read and written here, because the classic line has no such package, and because that package writes metadata in
another order each time, so that equal contents give different files.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lewel_plugins.errors import SetupError

SUFFIX = '.safetensors'
_METADATA = '__metadata__'
_LENGTH = 8  # bytes of the number, little-endian, in front of the header
_DTYPES = {  # in ascending order of size, and within a size in that of the package
    'BOOL': torch.bool,
    'U8': torch.uint8,
    'I8': torch.int8,
    'I16': torch.int16,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
    'I32': torch.int32,
    'F32': torch.float32,
    'F64': torch.float64,
    'I64': torch.int64,
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(_DTYPES.values())}


def encode_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file. Equal tensors and metadata give equal bytes, whatever their order.

    They are those of the package, whose metadata are sorted here.

    Args:
        tensors: Name → tensor.
        metadata: Name → text.

    Raises:
        ValueError: A tensor has a type that this module does not know.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _CODES:
            raise ValueError(f'{name} is of type {tensor.dtype}; known are {", ".join(map(str, _CODES))}')
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))} if metadata else {}
    data = bytearray()
    # Wide types first, so that every tensor starts at a multiple of its type's size.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-_RANKS[item[1].dtype], item[0])):
        start = len(data)
        data += tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = dict(dtype=_CODES[tensor.dtype], shape=list(tensor.shape), data_offsets=[start, len(data)])
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    text += b' ' * (-len(text) % 8)
    return len(text).to_bytes(_LENGTH, 'little') + text + bytes(data)


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a file.

    Raises:
        SetupError: The file is cut off, has bytes that belong to no tensor, or is no safetensors file.
    """
    content = Path(path).read_bytes()
    try:
        header, data = _split(content)
        metadata = header.pop(_METADATA, {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError('its metadata are not texts')
        _check_ranges(header, len(data))
        return {name: _tensor(entry, data) for name, entry in header.items()}, metadata
    except (ValueError, TypeError, KeyError, RuntimeError, RecursionError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise SetupError(f'{path} cannot be read, it is damaged or no safetensors file: {reason}') from None


def _split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(content[:_LENGTH], 'little')
    start = _LENGTH + length
    if len(content) < _LENGTH or start > len(content):
        raise ValueError(f'its {len(content)} bytes are fewer than its header announces')
    header = json.loads(content[_LENGTH:start].decode(), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError('its header is no JSON object')
    return header, memoryview(content)[start:]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError('a name occurs twice in its header')
    return entries


def _check_ranges(header: Mapping[str, Any], size: int) -> None:
    """Check that the tensors' bytes follow each other without a gap up to the end of the file."""
    position = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
        start, end = entry['data_offsets']
        dtype, shape = entry['dtype'], entry['shape']
        if dtype not in _DTYPES:
            raise ValueError(f'{name} is of type {dtype!r}; known are {", ".join(_DTYPES)}')
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in [*shape, start, end]):
            raise ValueError(f'the shape {shape!r} of {name} or its place {start!r} to {end!r} is none')
        if start != position or end - start != prod(shape) * _DTYPES[dtype].itemsize:
            raise ValueError(f'{name} of shape {shape} is at {start} to {end} of its {size} bytes of tensors')
        position = end
    if position != size:
        raise ValueError(f'its header announces {position} bytes of tensors, and there are {size}')


def _tensor(entry: Mapping[str, Any], data: memoryview) -> Tensor:
    start, end = entry['data_offsets']
    dtype = _DTYPES[entry['dtype']]
    if start == end:
        return torch.empty(entry['shape'], dtype=dtype)
    return torch.frombuffer(bytearray(data[start:end]), dtype=dtype).reshape(entry['shape'])
