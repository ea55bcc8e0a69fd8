"""Counts of what a step does on the GPU and on the network."""

from collections import Counter
from dataclasses import dataclass, field

from .sources import current_source


@dataclass(frozen=True)
class Kernel:
    """One operation on the device.

    Attributes:
        flop: Floating-point operations of matrix products and convolutions; 0 for all others.
        bytes: Bytes that it reads and writes.
        precision: ``half`` (float16 or bfloat16), ``tf32`` (convolutions in float32, which torch computes in TF32) or
            ``float32``.
    """

    flop: int
    bytes: int
    precision: str


@dataclass(frozen=True)
class Collective:
    """A kind of transfer between ranks, with the bytes of its result on one rank."""

    kind: str
    bytes: int


@dataclass
class Counters:
    """Counts of one step.

    Attributes:
        kernels: Operations on the device, in order. One aten call is one kernel or a few.
        waits: Waits of the host for the device, by (kind, source line).
        uploads: Tensors that the host copies to the device, by source line.
        collectives: Transfers, in order.
    """

    kernels: list[Kernel] = field(default_factory=list)
    waits: Counter[tuple[str, str]] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    collectives: list[Collective] = field(default_factory=list)

    def add_wait(self, kind: str) -> None:
        """Count a wait of the calling code."""
        self.waits[kind, current_source()] += 1

    def add_upload(self) -> None:
        """Count a copy from the host by the calling code."""
        self.uploads[current_source()] += 1

    def clear(self) -> None:
        """Start again at 0."""
        for counts in (self.kernels, self.waits, self.uploads, self.collectives):
            counts.clear()
