"""Compare the state dict of a network with that of a checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class StateDifference:
    """How the tensors of a checkpoint differ from those of a network; false if they do not.

    Attributes:
        missing: Names that only the network has.
        unexpected: Names that only the checkpoint has.
        reshaped: Names with another shape, each with both shapes.
        changed: Names with other values.
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped or self.changed)

    def describe(self, limit: int | None = None, separator: str = '; ') -> str:
        """Describe the checkpoint, as in ``it lacks 2 tensors (a, b); it has 1 unexpected tensor (c)``.

        Args:
            limit: Largest number of names to list of each kind; all by default.
            separator: Text between the kinds.
        """
        kinds = (
            ('it lacks {}', self.missing),
            ('it has {} with another shape', self.reshaped),
            ('it has {} that the network lacks', self.unexpected),
            ('it has {} with other values than the network', self.changed),
        )
        return separator.join(f'{text.format(_count(names))} ({_list(names, limit)})' for text, names in kinds if names)


def _count(names: list[str]) -> str:
    return f'{len(names)} tensor{"" if len(names) == 1 else "s"}'


def _list(names: list[str], limit: int | None) -> str:
    return ', '.join(names if limit is None or len(names) <= limit else [*names[:limit], '...'])


def compare_states(
    network: Mapping[str, Tensor],
    checkpoint: Mapping[str, Any],
    optional: Callable[[str], bool] = lambda name: False,
    values: bool = False,
) -> StateDifference:
    """Compare the state dict of a network with that of a checkpoint.

    Args:
        network: The network's tensors by name.
        checkpoint: The checkpoint's tensors by name; anything but a tensor counts as a tensor of another shape.
        optional: Whether a tensor of the network may be missing in the checkpoint, by its name.
        values: Whether to compare values as well, bit for bit, in the network's type and on its device.
    """
    shared = [name for name in network if name in checkpoint]
    shapes = {name: (_shape(checkpoint[name]), _shape(network[name])) for name in shared}
    return StateDifference(
        missing=[name for name in network if name not in checkpoint and not optional(name)],
        unexpected=[name for name in checkpoint if name not in network],
        reshaped=[f'{name} {theirs}, not {own}' for name, (theirs, own) in shapes.items() if theirs != own],
        changed=[
            name
            for name, (theirs, own) in shapes.items()
            if values and theirs == own and not torch.equal(checkpoint[name].to(network[name]), network[name])
        ],
    )


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None
