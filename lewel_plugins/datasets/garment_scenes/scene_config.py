from dataclasses import dataclass

SPLITS = ('train', 'val')
KINDS = ('single', 'multi')


@dataclass(frozen=True)
class SceneConfig:
    """Appearance and number of the scenes.

    Args:
        kind: ``single`` for one garment per scene, ``multi`` for one to four that hide parts of each other.
        size: Side of the square images in pixels.
        num_train: Number of training scenes.
        num_val: Number of validation scenes. Their garments appear in no training scene.
        scale: Range of the longer side of a garment, relative to the side of the image.
        clutter: Contrast of the photographs, 0 (black) to 1 (as they are).
        seed: Seed of all random draws.
        quality: JPEG quality, 1 to 100.

    Raises:
        ValueError: If a value is outside its range.
    """

    kind: str = 'single'
    size: int = 32
    num_train: int = 8000
    num_val: int = 2000
    scale: tuple[float, float] = (0.7, 1.0)
    clutter: float = 0.2
    seed: int = 0
    quality: int = 95

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f'kind must be one of {KINDS}, got {self.kind!r}')
        if not 16 <= self.size <= 1024:
            raise ValueError(f'size must be 16 to 1024 pixels, got {self.size}')
        if self.num_train < 1 or self.num_val < 1:
            raise ValueError(f'num_train and num_val must be at least 1, got {self.num_train} and {self.num_val}')
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f'scale must be two numbers with 0 < min <= max <= 1, got {self.scale}')
        if not 0 <= self.clutter <= 1:
            raise ValueError(f'clutter must be in [0, 1], got {self.clutter}')
        if self.seed < 0:
            raise ValueError(f'seed must not be negative, got {self.seed}')
        if not 1 <= self.quality <= 100:
            raise ValueError(f'quality must be 1 to 100, got {self.quality}')

    def num_scenes(self, split: str) -> int:
        """Return the number of scenes in a split."""
        return self.num_train if split == 'train' else self.num_val
