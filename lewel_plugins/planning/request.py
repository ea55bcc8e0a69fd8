from dataclasses import dataclass, replace
from typing import Any

from lewel_plugins.errors import SetupError

from .arguments import positive_number, whole_number
from .backbones import find_backbone
from .methods import find_method

LEAST_SIDE, MOST_SIDE = 32, 4096  # pixels of a view
MOST_EPOCHS = 1_000_000
MOST_WORKERS = 1024
MOST_SEED = 2**32 - 1  # that NumPy takes
# Option, least and most of each number.
_NUMBERS: dict[str, tuple[str, int, int | None]] = {
    'epochs': ('--epochs', 1, MOST_EPOCHS),
    'batch_size': ('--batch-size', 2, None),
    'image_size': ('--image-size', LEAST_SIDE, MOST_SIDE),
    'gpus': ('--gpus', 0, None),
    'workers': ('--workers', 0, MOST_WORKERS),
    'holdout': ('--holdout', 0, None),
    'seed': ('--seed', 0, MOST_SEED),
}


@dataclass(frozen=True)
class Request:
    """What the user asks for. None means that the plan decides.

    Args:
        method: Name of the method.
        backbone: Name of the backbone.
        epochs: Length of the training, 1 to 1,000,000.
        hours: Time for the training, positive; the length is what a measured step allows.
        batch_size: Images per optimizer step, on all GPUs together, at least 2.
        image_size: Side of the views in pixels, 32 to 4,096.
        gpus: Number of GPUs; 0 for the CPU, None for all.
        workers: Workers per GPU that load images, 0 to 1,024.
        holdout: Images that are never trained on.
        seed: Seed of the run, 0 to 2³² − 1.
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

    def checked(self) -> 'Request':
        """Return the request with values of the right kinds, as far as they can be checked without the images.

        Raises:
            SetupError: A value is of another kind, out of range, or an unknown name.
        """
        find_method(self.method)
        if self.backbone is not None:
            find_backbone(self.backbone)
        values: dict[str, Any] = {
            name: whole_number(option, getattr(self, name), least, most)
            for name, (option, least, most) in _NUMBERS.items()
            if getattr(self, name) is not None or name == 'seed'
        }
        if self.epochs is not None and self.hours is not None:
            raise SetupError('--epochs and --hours both set the length; give one of them')
        if self.hours is not None:
            values['hours'] = positive_number('--hours', self.hours)
        return replace(self, **values)
