"""What a plan follows from: numbers about the folder, the machine and the given weights, without a trace of either."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GIB = 2**30


@dataclass(frozen=True)
class Folder:
    """A folder of images.

    Args:
        num_images: Images that can be used.
        num_files: Image files, with broken ones and copies.
        num_broken: Files that cannot be decoded, in proportion if only a part was tried.
        num_copies: Files with the content of another file.
        median_short_side: Median over the images of the shorter side, in pixels.
    """

    num_images: int
    num_files: int
    num_broken: int = 0
    num_copies: int = 0
    median_short_side: int = 0


@dataclass(frozen=True)
class GPU:
    """A visible GPU.

    Args:
        index: Its index among the visible ones.
        name: Its model.
        total: Memory in bytes.
        free: Free memory in bytes.
        capability: Compute capability.
        problem: Why it cannot be used, in one line; empty if it can.
    """

    index: int
    name: str
    total: int
    free: int
    capability: tuple[int, int]
    problem: str = ''


@dataclass(frozen=True)
class Machine:
    """The machine, or the part of it that this process may use.

    Args:
        gpus: Visible GPUs.
        cores: Cores that this process may use.
        memory: Main memory in bytes; 0 if unknown.
    """

    gpus: tuple[GPU, ...] = ()
    cores: int = 1
    memory: int = 0


@dataclass(frozen=True)
class Weights:
    """Weights to start from.

    Args:
        name: How the user named them.
        backbone: Name of their backbone, as in :data:`backbones.BACKBONES`.
        settings: Config of their backbone, whose stem may differ from that of the name; that of the name by default.
        normalization: ``mean`` and ``std`` of the images that they were trained on, in RGB; None if unknown.
    """

    name: str
    backbone: str
    settings: Mapping[str, Any] | None = None
    normalization: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Memory:
    """Memory that a training needs on a GPU, which grows in proportion to the batch.

    Args:
        fixed: Bytes without any image: weights, optimizer, margins.
        per_image: Bytes for each image of a rank's batch.
    """

    fixed: float
    per_image: float

    def need(self, images: int) -> float:
        """Return the bytes for a batch of ``images`` on one rank."""
        return self.fixed + images * self.per_image

    def largest(self, available: float) -> int:
        """Return the largest batch of a rank that fits."""
        return max(0, int((available - self.fixed) // self.per_image))


@dataclass(frozen=True)
class Facts:
    """All that a plan is made of, besides the request.

    Args:
        folder: The images.
        machine: The machine.
        weights: Weights to start from; None to start from random ones.
        memory: Need of the method on a GPU, by a dry run; None if unknown, or on a CPU.
        step_seconds: Seconds of a step by measurement; None before there is one.
        other_seconds: Seconds of a training besides its steps: its start and the validations.
    """

    folder: Folder
    machine: Machine
    weights: Weights | None = None
    memory: Memory | None = None
    step_seconds: float | None = None
    other_seconds: float = 0.0
