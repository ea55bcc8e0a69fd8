from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

_Function = TypeVar('_Function', bound=Callable)


def _widen(x: object) -> object:
    low = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.float() if low else x  # type: ignore[union-attr, attr-defined]


def full_precision(function: _Function) -> _Function:
    """Run ``function`` with autocast off and its float16 and bfloat16 arguments widened to float32."""

    @wraps(function)
    def wrapped(*args, **kwargs):
        device = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)).device.type
        with torch.autocast(device_type=device, enabled=False):
            return function(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})

    return wrapped  # type: ignore[return-value]
