"""Bytes of a step."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .clock import Function


def saved_bytes(function: Function, excluded: Iterable[Tensor] = ()) -> int:
    """Return the bytes that autograd keeps for the backward pass, each storage once.

    Args:
        function: What to run; the graph of its result lives until the end, so that no address is used twice.
        excluded: Tensors not to count.
    """
    addresses = {tensor.untyped_storage().data_ptr() for tensor in excluded}
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in addresses:
            sizes[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        result = function()
    total = sum(sizes.values())
    del result
    return total


def state_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
