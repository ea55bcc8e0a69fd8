"""Tensors whose device is ``cuda:0``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DEVICE = torch.device('cuda', 0)


class PretendedTensor(Tensor):
    """A tensor on the pretended GPU.

    Args:
        values: The values, on the CPU. The new tensor shares them.
    """

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> PretendedTensor:
        self = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=DEVICE,
        )
        self.values = values
        return self

    def __repr__(self, **_: Any) -> str:
        return f'PretendedTensor({self.values!r})'

    def tolist(self) -> Any:
        return self.cpu().tolist()  # torch's own form does not come to __torch_dispatch__

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise RuntimeError(f'{func} of a tensor on the pretended GPU, outside PretendedGPU.active()')

    def __deepcopy__(self, memo: dict) -> Tensor:
        if id(self) not in memo:
            copy = PretendedTensor(self.values.detach().clone())
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(copy, self.requires_grad) if is_parameter else copy
        return memo[id(self)]
