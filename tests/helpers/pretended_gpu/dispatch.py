"""The rules of a GPU, applied to every operation; the CPU computes the values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.pretended_gpu.tensor import PretendedTensor
from lewel_plugins.dry_run.counters import Counters
from lewel_plugins.dry_run.dispatch import DeviceError, is_gpu, waits_of
from lewel_plugins.dry_run.kernels import DtypeError, check_dtypes
from lewel_plugins.dry_run.sources import current_source

aten = torch.ops.aten
_COPIES = (aten._to_copy.default, aten.copy_.default, aten._foreach_copy_.default)
_INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
_PINNING = (aten.pin_memory.default, aten._pin_memory.default)  # needs a driver
_NO_SCALARS = (aten.cat.default, aten.stack.default, aten.index_select.default, aten.gather.default)


class PretendedDispatch(TorchDispatchMode):
    """Check the operations on the pretended GPU, record waits, and compute on the values.

    Args:
        counters: Records the waits and uploads.
        generator: Draws what an operation on the GPU draws without a generator of its own.
    """

    def __init__(self, counters: Counters, generator: torch.Generator) -> None:
        super().__init__()
        self._counters, self._generator = counters, generator

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation."""
        kwargs = dict(kwargs or {})
        leaves = list(_leaves([args, *kwargs.values()]))
        if not is_gpu(kwargs.get('device')) and not any(isinstance(x, PretendedTensor) for x in leaves):
            return args[0] if func in _PINNING else func(*args, **kwargs)
        is_result_on_gpu = _is_result_on_gpu(func, args, kwargs)
        try:
            check_dtypes(func, args)
        except DtypeError as error:
            raise DtypeError(f'{error} at {current_source()}') from None
        _check_devices(func, args, leaves)
        for kind in waits_of(func, args, kwargs):
            self._counters.add_wait(kind)
        values = {name: _map(_to_host, value) for name, value in kwargs.items()}
        result = self._compute(func, _map(_to_host, args), values)
        if not is_result_on_gpu:
            return result
        owners = {id(x.values): x for x in leaves if isinstance(x, PretendedTensor)}
        return _map(lambda x: owners[id(x)] if id(x) in owners else _to_gpu(x), result)

    def _compute(self, func: Any, args: tuple, kwargs: dict) -> Any:
        if kwargs.get('pin_memory'):
            kwargs['pin_memory'] = False
        if not _draws(func) or any(isinstance(x, torch._C.Generator) for x in [*args, *kwargs.values()]):
            return func(*args, **kwargs)
        # torch draws from its generator on the CPU: for a moment it has the state of that on the GPU.
        state = torch.default_generator.get_state()
        torch.default_generator.set_state(self._generator.get_state())
        try:
            return func(*args, **kwargs)
        finally:
            self._generator.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(state)


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, (list, tuple)):
        for part in x:
            yield from _leaves(part)
    else:
        yield x


def _map(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply a function to the leaves of lists and tuples, in a fraction of the time that torch's pytree takes."""
    if isinstance(x, (list, tuple)):
        return type(x)([_map(function, part) for part in x])
    return function(x)


def _to_host(x: Any) -> Any:
    if isinstance(x, PretendedTensor):
        return x.values
    return torch.device('cpu') if isinstance(x, torch.device) and x.type == 'cuda' else x


def _to_gpu(x: Any) -> Any:
    return PretendedTensor(x) if isinstance(x, Tensor) else x


@cache
def _draws(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def _name(func: Any) -> str:
    return func.overloadpacket.__name__


def _is_result_on_gpu(func: Any, args: tuple, kwargs: dict) -> bool:
    if func is aten.copy_.default:
        return isinstance(args[0], PretendedTensor)
    if kwargs.get('device') is not None:
        return is_gpu(kwargs['device'])
    return True


def _check_devices(func: Any, args: tuple, leaves: list) -> None:
    """Raise DeviceError for a tensor of the CPU that CUDA does not accept: anything but a number, or indices."""
    if func in _COPIES:
        return
    tensors = [x for x in leaves if isinstance(x, Tensor)]
    indices = args[1] if func in _INDEXING else ()
    for x in tensors:
        is_refused = not isinstance(x, PretendedTensor) and (x.dim() or func in _NO_SCALARS)
        if is_refused and all(x is not index for index in indices):
            devices = ' and '.join(dict.fromkeys(str(x.device) for x in tensors))
            raise DeviceError(f'{_name(func)} of tensors on {devices} at {current_source()}')
