"""The rules of a GPU, applied to every operation of a step."""

import re
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .counters import Counters
from .kernels import MISSING_KERNELS, SIZED_BY_VALUES, check_dtypes, describe_kernel, without_masks

aten = torch.ops.aten
_INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor)
_ALLOCATIONS = ('empty', 'new_empty', 'empty_like', 'empty_strided', 'new_empty_strided', '_unsafe_view', 'detach')


class DeviceError(RuntimeError):
    """An operation of tensors, or of a tensor and a generator, on different devices."""


class GPUDispatch(TorchDispatchMode):
    """Check and count the operations on fake CUDA tensors; enter it after a ``FakeTensorMode``.

    What the host computes on its own tensors is computed. What it reads from the device is 0 or a given truth value. A
    mask selects every element. Reads and masks count as waits.

    Args:
        counters: Counts the operations.
        truth: The truth value.
    """

    def __init__(self, counters: Counters, truth: bool = False) -> None:
        super().__init__()
        self.counters, self.truth = counters, truth

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation."""
        kwargs = dict(kwargs or {})
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not is_gpu(kwargs.get('device')) and not any(x.is_cuda for x in inputs):
            return self._run_on_host(func, args, kwargs, inputs)
        for kind in waits_of(func, args, kwargs):
            self.counters.add_wait(kind)
        if _is_read(func, args, kwargs):
            return self._read(func, args, kwargs)
        if _is_upload(func, args, kwargs):
            self.counters.add_upload()
        check_dtypes(func, args)
        result = self._run(func, _without_masks(func, args), kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if not _is_free(func):
            read = [x for x in inputs if x is not kwargs.get('out')]
            self.counters.kernels.append(describe_kernel(func, args, kwargs, result, read + outputs))
        return result

    @staticmethod
    def _run_on_host(func: Any, args: tuple, kwargs: dict, inputs: list[Tensor]) -> Any:
        if any(isinstance(x, FakeTensor) for x in inputs):
            return func(*args, **kwargs)
        with unset_fake_temporarily():
            return func(*args, **kwargs)

    def _read(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Return zeros for what the host reads from the device."""
        if func is aten.copy_.default:
            return args[0]
        if func is aten.equal.default:
            return True
        with unset_fake_temporarily():
            values = torch.zeros(args[0].shape, dtype=kwargs.get('dtype') or args[0].dtype)
            if values.dtype == torch.bool:
                values.fill_(self.truth)
            return values.item() if func is aten._local_scalar_dense.default else values

    @staticmethod
    def _run(func: Any, args: tuple, kwargs: dict) -> Any:
        if func in MISSING_KERNELS:
            return MISSING_KERNELS[func](*args, **kwargs)
        if func in SIZED_BY_VALUES:
            return SIZED_BY_VALUES[func](*args)
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            devices = re.search('found two different devices (.*)', str(error))
            if devices:
                raise DeviceError(f'{_name(func)} of tensors on {devices[1].replace(", ", " and ")}') from None
            raise


def _name(func: Any) -> str:
    return func.overloadpacket.__name__


def is_gpu(device: Any) -> bool:
    """Return whether a device, or its name, is a GPU."""
    return device is not None and torch.device(device).type == 'cuda'


def waits_of(func: Any, args: tuple, kwargs: dict) -> list[str]:
    """Return why the host waits for the device before an operation on CUDA tensors can go on; nothing if it does not.

    Args:
        func: The operation.
        args: Its arguments.
        kwargs: Its named arguments.
    """
    if _is_read(func, args, kwargs):
        return [] if _is_non_blocking(func, args, kwargs) else ['read by the host']
    if func in SIZED_BY_VALUES:
        return [f'size of {_name(func)}']
    if _is_upload(func, args, kwargs):
        return [] if _is_non_blocking(func, args, kwargs) else ['copy from the host']
    if func not in _INDEXING or _is_masked_fill(args):
        return []
    indices = [x for x in args[1] if x is not None]
    waits = ['indices from the host'] if any(x.device.type == 'cpu' for x in indices) else []
    return [*waits, 'mask'] if any(x.dtype in (torch.bool, torch.uint8) for x in indices) else waits


def _without_masks(func: Any, args: tuple) -> tuple:
    if func not in _INDEXING or _is_masked_fill(args):
        return args
    return (args[0], without_masks(args[1]), *args[2:])


def _is_non_blocking(func: Any, args: tuple, kwargs: dict) -> bool:
    return bool(any(args[2:]) if func is aten.copy_.default else kwargs.get('non_blocking'))


def _is_read(func: Any, args: tuple, kwargs: dict) -> bool:
    return func in (aten._local_scalar_dense.default, aten.equal.default) or _is_download(func, args, kwargs)


def _is_download(func: Any, args: tuple, kwargs: dict) -> bool:
    if func is aten.copy_.default:
        return args[1].is_cuda and not args[0].is_cuda
    return func is aten._to_copy.default and args[0].is_cuda and not is_gpu(kwargs.get('device', 'cuda'))


def _is_upload(func: Any, args: tuple, kwargs: dict) -> bool:
    if func is aten.copy_.default:
        return args[0].is_cuda and not args[1].is_cuda
    return func is aten._to_copy.default and not args[0].is_cuda


def _is_masked_fill(args: tuple) -> bool:
    """Return whether CUDA fills by a mask, without its positions: ``x[mask] = number``."""
    return len(args) > 2 and args[2].numel() == 1 and not args[2].is_cuda and args[1][0].dtype == torch.bool


@cache
def _is_free(func: Any) -> bool:
    """Return whether an operation launches no kernel: a view, an allocation, or a query."""
    schema = func._schema
    is_view = any(x.alias_info is not None and not x.alias_info.is_write for x in schema.returns)
    returns_tensors = any('Tensor' in str(x.type) for x in schema.returns)
    return is_view or _name(func) in _ALLOCATIONS or not (returns_tensors or schema.is_mutable)
