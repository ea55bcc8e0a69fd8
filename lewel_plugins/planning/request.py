from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What the user asks for. None means that the plan decides.

    Args:
        method: Name of the method.
        backbone: Name of the backbone.
        epochs: Length of the training.
        hours: Time for the training; the length is what a measured step allows.
        batch_size: Images per optimizer step, on all GPUs together.
        image_size: Side of the views in pixels.
        gpus: Number of GPUs; 0 for the CPU, None for all.
        workers: Workers per GPU that load images.
        holdout: Images that are never trained on.
        seed: Seed of the run.
    """

    method: str = 'lewel-m'
    backbone: str | None = None
    epochs: int | None = None
    hours: float | None = None
    batch_size: int | None = None
    image_size: int | None = None
    gpus: int | None = None
    workers: int | None = None
    holdout: int | None = None
    seed: int = 0
