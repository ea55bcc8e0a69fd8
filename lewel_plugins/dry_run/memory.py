"""Bytes of the tensors that are alive during a step."""

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_BLOCK = 512  # bytes; torch's allocator rounds up to them


class LiveMemory(TorchDispatchMode):
    """Bytes of the live storages on a device, and their peak, while the mode is active.

    It works on fake and on real tensors. A storage counts from the operation that returns it until it is freed.

    Args:
        device_type: ``cuda`` or ``cpu``.

    Attributes:
        live: Bytes that are alive.
        peak: Largest ``live`` since :meth:`reset_peak`.
    """

    def __init__(self, device_type: str = 'cuda') -> None:
        super().__init__()
        self.device_type = device_type
        self.live = self.peak = 0
        self._sizes: dict[int, int] = {}

    def track(self, tensor: Tensor) -> None:
        """Count the storage of a tensor, unless it is counted already."""
        if tensor.device.type != self.device_type:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes or not storage.nbytes():
            return
        self._sizes[key] = -(-storage.nbytes() // _BLOCK) * _BLOCK
        self.live += self._sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key)

    def reset_peak(self) -> None:
        """Start a new peak at what is alive now."""
        self.peak = self.live

    def _free(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation, and count the storages of what it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor):
                self.track(leaf)
        return result
