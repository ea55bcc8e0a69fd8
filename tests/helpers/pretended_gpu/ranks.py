"""One of several ranks, of which the others have the same tensors: collectives that demand what NCCL demands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.dry_run.collectives import StandIns
from lewel_plugins.dry_run.counters import Counters
from lewel_plugins.dry_run.replacing import replaced


class EqualRanks(StandIns):
    """Collectives among ranks that all have this rank's tensors."""

    def all_reduce(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        work = super().all_reduce(tensor, *args, **kwargs)
        tensor.mul_(self._world_size)
        return work

    def all_gather_into_tensor(self, out: Tensor, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        work = super().all_gather_into_tensor(out, tensor, *args, **kwargs)
        out.view(self._world_size, *tensor.shape).copy_(tensor)
        return work

    def all_to_all_single(self, out: Tensor, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        work = super().all_to_all_single(out, tensor, *args, **kwargs)
        out.copy_(tensor)
        return work

    def gather(self, tensor: Tensor, parts: list[Tensor] | None = None, *args: Any, **kwargs: Any) -> Any:
        work = super().gather(tensor, parts, *args, **kwargs)
        for part in parts or []:
            part.copy_(tensor)
        return work


@contextmanager
def equal_ranks(counters: Counters, world_size: int) -> Iterator[None]:
    """Be rank 0 of ``world_size`` ranks, for the package; mmengine knows of one."""
    stand_ins = EqualRanks(counters, world_size)
    names = ('all_reduce', 'all_gather_into_tensor', 'all_to_all_single', 'gather')
    functions = {name: getattr(stand_ins, name) for name in names}
    group = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_world_size=lambda: world_size,
        get_rank=lambda: 0,
        **functions,
    )
    with replaced(dist, 'torch_dist', group):
        yield
