"""The memory that a training needs on a GPU, by steps on fake tensors."""

from typing import TYPE_CHECKING, Any

from lewel_plugins.api.preparation import Preparation
from lewel_plugins.planning import Memory

from .apart import run_apart

if TYPE_CHECKING:
    from mmengine.config import Config

LOW, HIGH = 2, 8  # images of a rank; the peak is affine in them


def measure_memory(preparation: Preparation, seconds: float) -> Memory:
    """Return what the method needs: 1.1 × peak + buckets of DDP + 2 GiB, by two steps without a GPU.

    Args:
        preparation: The training, with a plan for GPUs.
        seconds: Time for all of it, with the start of a process.

    Raises:
        Unmeasured: torch is too old for it, a step raises an error, or the time is too short.
    """
    hidden = dict(CUDA_VISIBLE_DEVICES='-1')  # the step sees a GPU that is not there
    result = run_apart('memory', preparation, seconds, hidden, ranks=preparation.plan['ranks'])
    return Memory(result['fixed'], result['per_image'])


def fake_memory(config: 'Config', ranks: int, **_: Any) -> dict[str, float]:
    """Return the bytes of a training on a GPU: those without any image, and those for each image of a rank.

    Args:
        config: The config.
        ranks: Number of ranks.

    Raises:
        SetupError: torch is too old.
        StepError: A step raises an error.
    """
    from lewel_plugins.dry_run.torch_version import check_torch

    check_torch()
    from lewel_plugins.dry_run.gpus import needed_memory
    from lewel_plugins.dry_run.step import DryRun

    run = DryRun(config, ranks)
    most = min(HIGH, 2 * config.train_dataloader.batch_size)  # a queue takes no more
    low, high = (needed_memory(run.measure(batch)) for batch in (LOW, most))
    per_image = (high - low) / (most - LOW)
    return dict(fixed=low - LOW * per_image, per_image=per_image)
