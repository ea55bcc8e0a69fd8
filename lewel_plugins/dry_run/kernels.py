"""Shapes and rules that torch's fake tensors lack: SyncBN, sizes that depend on values, CUDA's rules for dtypes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from .counters import Kernel

aten = torch.ops.aten

# CUDA refuses to mix dtypes in these operations, whose fake forms accept it: positions of the tensors that must agree.
_SAME_DTYPE = {
    aten.mm: (0, 1),
    aten.bmm: (0, 1),
    aten.mv: (0, 1),
    aten.dot: (0, 1),
    aten.addmm: (0, 1, 2),
    aten.baddbmm: (0, 1, 2),
    aten.addbmm: (0, 1, 2),
    aten.addmv: (0, 1, 2),
    aten.convolution: (0, 1, 2),
    aten._cdist_forward: (0, 1),
    aten.index_add: (0, 3),
    aten.index_add_: (0, 3),
    aten.index_copy: (0, 3),
    aten.index_copy_: (0, 3),
    aten.index_put: (0, 2),
    aten.index_put_: (0, 2),
}
_FLOAT32_ONLY = (aten._linalg_svd, aten._linalg_eigh, aten.linalg_qr, aten.linalg_lu, aten.linalg_cholesky_ex)


class DtypeError(RuntimeError):
    """CUDA has no kernel for the dtypes of an operation."""


def check_dtypes(func: Any, args: tuple) -> None:
    """Raise DtypeError for dtypes that CUDA refuses although torch's fake tensors accept them."""
    packet = func.overloadpacket
    tensors = [args[i] for i in _SAME_DTYPE.get(packet, ()) if i < len(args) and isinstance(args[i], Tensor)]
    if len({x.dtype for x in tensors}) > 1:
        dtypes = ', '.join(str(x.dtype).removeprefix('torch.') for x in tensors)
        raise DtypeError(f'{packet.__name__} of {dtypes}: CUDA has no kernel for a mix')
    if packet in _FLOAT32_ONLY and args[0].dtype in (torch.float16, torch.bfloat16):
        raise DtypeError(f'{packet.__name__} of {args[0].dtype}: CUDA has a kernel only for float32 and float64')


def _empty(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    return like.new_empty(shape, dtype=dtype or like.dtype)


def _statistics(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(x.dtype, torch.float32)
    return _empty(x, x.shape[1], dtype=wide), _empty(x, x.shape[1], dtype=wide)


def _gather_statistics(x: Tensor, mean: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _empty(mean, x.shape[1]), _empty(mean, x.shape[1])


def _reduce(grad: Tensor, x: Tensor, mean: Tensor, inverse_std: Tensor, weight: Tensor | None, *wanted: bool) -> tuple:
    sums = (_empty(mean, x.shape[1]), _empty(mean, x.shape[1])) if wanted[0] else (None, None)
    affine = x if weight is None else weight
    return *sums, *(_empty(affine, x.shape[1]) if is_wanted else None for is_wanted in wanted[1:])


def _write(x: Tensor, *_: Any, out: Tensor) -> Tensor:
    return out


def _like_first(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


# The kernels of SyncBN, which have no fake form.
MISSING_KERNELS: dict[Any, Callable[..., Any]] = {
    aten.batch_norm_stats.default: _statistics,
    aten.batch_norm_gather_stats_with_counts.default: _gather_statistics,
    aten.batch_norm_elemt.default: _like_first,
    aten.batch_norm_elemt.out: _write,
    aten.batch_norm_backward_reduce.default: _reduce,
    aten.batch_norm_backward_elemt.default: _like_first,
}


def _nonzero(x: Tensor) -> Tensor:
    return _empty(x, x.numel(), x.dim(), dtype=torch.long)


def _unique(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    count = _empty(x, x.numel(), dtype=torch.long)
    return torch.empty_like(x).flatten(), count.view(x.shape), count.clone()


# Operations whose result has a size that the host must wait for, as if every element were counted.
SIZED_BY_VALUES: dict[Any, Callable[..., Any]] = {
    aten.nonzero.default: _nonzero,
    aten.masked_select.default: lambda x, mask: _empty(x, torch.broadcast_tensors(x, mask)[0].numel()),
    aten._unique2.default: _unique,
    aten.unique_consecutive.default: _unique,
    aten.repeat_interleave.Tensor: lambda repeats, **_: _empty(repeats, repeats.numel()),
    aten.bincount.default: lambda x, *_: _empty(x, x.numel(), dtype=torch.long),
}


def without_masks(indices: Any) -> list[Tensor | None]:
    """Replace boolean masks among indices by the positions of all elements."""
    positions: list[Tensor | None] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
            positions += _nonzero(index).unbind(1)
        else:
            positions.append(index)
    return positions


def describe_kernel(func: Any, args: tuple, kwargs: dict, result: Any, tensors: list[Tensor]) -> Kernel:
    """Return the work of an operation.

    Args:
        func: The operation.
        args: Its arguments.
        kwargs: Its named arguments.
        result: Its result.
        tensors: All tensors among arguments and results.
    """
    count = flop_registry.get(func.overloadpacket)
    flop = count(*args, **kwargs, out_val=result) if count else 0
    dtype = next((x.dtype for x in tensors if x.is_floating_point()), None)
    is_half = dtype in (torch.float16, torch.bfloat16)
    is_convolution = 'convolution' in func.overloadpacket.__name__
    precision = 'half' if is_half else 'tf32' if is_convolution else 'float32'
    return Kernel(flop, sum(x.numel() * x.element_size() for x in tensors), precision)
