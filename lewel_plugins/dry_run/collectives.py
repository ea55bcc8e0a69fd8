"""Stand-ins for torch's collectives that check and count what NCCL would be given, and transfer nothing."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.distributed as torch_dist
from torch import Tensor

from .counters import Collective, Counters
from .replacing import replaced


class CollectiveError(RuntimeError):
    """A tensor that NCCL does not transfer."""


class _Work:
    """A transfer that is done."""

    def wait(self, *_: Any) -> bool:
        return True

    def is_completed(self) -> bool:
        return True


def _check(kind: str, tensors: Sequence[Tensor]) -> None:
    for x in tensors:
        if not x.is_cuda:
            raise CollectiveError(
                f'{kind} of a tensor on the {x.device.type.upper()}: NCCL transfers tensors of the GPU'
            )
        if not (x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))):
            raise CollectiveError(f'{kind} of a tensor that is not contiguous: shape {tuple(x.shape)}, {x.stride()}')
    dtypes = {x.dtype for x in tensors}
    if len(dtypes) > 1:
        raise CollectiveError(f'{kind} of {" and ".join(sorted(map(str, dtypes)))}: NCCL transfers one dtype')


def _size(*tensors: Tensor) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


class StandIns:
    """The functions that replace those of ``torch.distributed`` on one of ``world_size`` ranks."""

    def __init__(self, counters: Counters, world_size: int) -> None:
        self._counters, self._world_size = counters, world_size

    def _record(self, kind: str, tensors: Sequence[Tensor], size: int, async_op: bool) -> _Work | None:
        _check(kind, tensors)
        self._counters.collectives.append(Collective(kind, size))
        return _Work() if async_op else None

    def all_reduce(self, tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> _Work | None:
        return self._record('all_reduce', [tensor], _size(tensor), async_op)

    def broadcast(self, tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> _Work | None:
        return self._record('broadcast', [tensor], _size(tensor), async_op)

    def all_gather(self, parts: list[Tensor], tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> Any:
        if any(part.shape != tensor.shape for part in parts):
            raise CollectiveError(f'all_gather of {tuple(tensor.shape)} into {[tuple(x.shape) for x in parts]}')
        torch.empty(len(parts), *tensor.shape, dtype=tensor.dtype, device=tensor.device)  # NCCL's own buffer
        return self._record('all_gather', [*parts, tensor], _size(*parts), async_op)

    def all_gather_into_tensor(self, out: Tensor, tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> Any:
        if out.numel() != tensor.numel() * self._world_size:
            raise CollectiveError(
                f'all_gather_into_tensor of {self._world_size} × {tuple(tensor.shape)} into {tuple(out.shape)}'
            )
        return self._record('all_gather', [out, tensor], _size(out), async_op)

    def reduce_scatter_tensor(self, out: Tensor, tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> Any:
        return self._record('reduce_scatter', [out, tensor], _size(tensor), async_op)

    def all_to_all_single(self, out: Tensor, tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> Any:
        return self._record('all_to_all', [out, tensor], _size(out), async_op)

    def gather(
        self, tensor: Tensor, parts: list[Tensor] | None = None, *_: Any, async_op: bool = False, **__: Any
    ) -> Any:
        return self._record('gather', [tensor, *(parts or [])], _size(*(parts or [])), async_op)


@contextmanager
def fake_ranks(counters: Counters, world_size: int) -> Iterator[None]:
    """Be rank 0 of ``world_size`` ranks whose collectives are checked and counted.

    Args:
        counters: Counts the collectives.
        world_size: Number of ranks; nothing changes if it is 1.
    """
    if world_size == 1:
        yield
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore

    excepthook = sys.excepthook  # init_process_group wraps it
    torch_dist.init_process_group('fake', store=FakeStore(), rank=0, world_size=world_size)
    stand_ins = StandIns(counters, world_size)
    try:
        with ExitStack() as stack:
            for name in (name for name in vars(StandIns) if not name.startswith('_')):
                stand_in: Callable = getattr(stand_ins, name)
                stack.enter_context(replaced(torch_dist, name, stand_in))
            yield
    finally:
        torch_dist.destroy_process_group()
        sys.excepthook = excepthook
