"""Stand-ins for the compiled operations of mmcv, which torch's fake tensors cannot enter."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor


class _Operations:
    """Operations that write into tensors that they are given, and NMS, which keeps every box."""

    @staticmethod
    def roi_align_forward(*_: Any, **__: Any) -> None:
        """Leave the features of the boxes as they are allocated."""

    @staticmethod
    def roi_align_backward(*_: Any, **__: Any) -> None:
        """Leave the gradient as it is allocated."""

    @staticmethod
    def nms(boxes: Tensor, scores: Tensor, **_: Any) -> Tensor:
        """Return all positions."""
        return torch.arange(len(boxes), device=boxes.device)


def mmcv_replacements() -> list[tuple[Any, str, Any]]:
    """Return the stand-ins: owner, name, value. There are none if mmcv has no compiled operations."""
    try:
        modules = [import_module(f'mmcv.ops.{name}') for name in ('roi_align', 'nms')]
    except ImportError:
        return []
    return [(module, 'ext_module', _Operations) for module in modules]
