"""Garment scenes: tinted, scaled and rotated garments of Fashion-MNIST on crops of real photographs.

A scene is a pure function of (arguments, split, index): neither the number of processes nor the order in
which scenes are made changes it. Backgrounds are recoloured, turned and faded, so that to recognise the
photograph says nothing about the garment. The photographs are those that ship in the wheels of scikit-image
and scikit-learn; ``meta.json`` names them, since other versions of these packages may ship others.
"""

import gzip
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

CLASSES = (
    't-shirt',
    'trouser',
    'pullover',
    'dress',
    'coat',
    'sandal',
    'shirt',
    'sneaker',
    'bag',
    'ankle-boot',
)
SPLITS = ('train', 'val')
KINDS = ('single', 'multi')

MAX_GARMENTS = 4  # in a `multi` scene
MAX_ROTATION = 20.0  # degrees
MIN_VISIBLE = 0.4  # share of a garment that later ones must leave visible
OPAQUE_GREY = 24.0  # garments are dark at their rim; from this grey level on they hide the background
MAX_PRINT_AREA = 4  # pixels; larger dark regions are gaps, as between trouser legs
_INTERIOR = np.pad(np.ones((26, 26), bool), 1)

PHOTOGRAPHS = {
    'skimage.data': (
        'astronaut.png',
        'brick.png',
        'camera.png',
        'chelsea.png',
        'coffee.png',
        'coins.png',
        'grass.png',
        'gravel.png',
        'hubble_deep_field.jpg',
        'ihc.png',
        'motorcycle_left.png',
        'retina.jpg',
        'rocket.jpg',
    ),
    'sklearn.datasets.images': ('china.jpg', 'flower.jpg'),
}


@dataclass(frozen=True)
class SceneConfig:
    """What the scenes look like and how many there are.

    Args:
        kind: ``single``, one garment a scene, or ``multi``, one to four that hide parts of each other.
        size: Side of the square images, pixels.
        num_train: Number of training scenes.
        num_val: Number of validation scenes; their garments are in no training scene.
        scale: Smallest and largest longer side of a garment over the side of the image.
        clutter: Contrast of the photographs, 0 (black) to 1 (as they are).
        seed: Seed of everything that is drawn.
        quality: JPEG quality, 1 to 100.

    Raises:
        ValueError: If a value is out of its range.
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
        """Number of scenes of a split."""
        return self.num_train if split == 'train' else self.num_val


@dataclass(frozen=True)
class Scene:
    """One image and the garments in it, from the one at the back to the one in front.

    Args:
        image: (S, S, 3) uint8, RGB.
        labels: Class index of every garment.
        masks: (S, S) bool, visible pixels of every garment.
    """

    image: np.ndarray
    labels: list[int]
    masks: list[np.ndarray]


def load_garments(root: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read Fashion-MNIST's test half: (10000, 28, 28) uint8 images and (10000,) labels.

    Raises:
        FileNotFoundError: If ``root`` lacks one of the two files.
    """
    arrays = []
    for name, header in (('t10k-images-idx3-ubyte.gz', 16), ('t10k-labels-idx1-ubyte.gz', 8)):
        path = Path(root) / name
        if not path.is_file():
            raise FileNotFoundError(f'{path} is missing; garment scenes are made from Fashion-MNIST ({name})')
        arrays.append(np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header))
    return arrays[0].reshape(-1, 28, 28), arrays[1]


def is_held_out(count: int) -> np.ndarray:
    """Which of the garments are for validation, (count,) bool: every fifth one.

    It depends on no argument: a network that was pretrained on one set of scenes has not seen the validation
    garments of any other.
    """
    return np.arange(count) % 5 == 4


def load_photographs() -> dict[str, np.ndarray]:
    """Read the photographs that the installed scikit-image and scikit-learn ship: name to (H, W, 3) RGB.

    Raises:
        RuntimeError: If none is found.
    """
    photographs = {}
    for package, names in PHOTOGRAPHS.items():
        folder = _package_folder(package)
        if folder is None:
            continue
        for name in names:
            image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
            if image is not None:
                photographs[name] = np.ascontiguousarray(image[..., ::-1])
    if not photographs:
        raise RuntimeError('no photographs found: `pip install scikit-image scikit-learn` brings them')
    return photographs


def _package_folder(package: str) -> Path | None:
    # The top-level package alone is looked up: to import skimage or sklearn would take a second.
    top, *rest = package.split('.')
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).joinpath(*rest)


class SceneRenderer:
    """Renders scene ``index`` of a split.

    Args:
        config: What the scenes look like.
        garments: (M, 28, 28) uint8 grey images.
        labels: (M,) class indices.
        photographs: (H, W, 3) uint8 RGB images, at least one.
    """

    def __init__(
        self, config: SceneConfig, garments: np.ndarray, labels: np.ndarray, photographs: list[np.ndarray]
    ) -> None:
        self.config = config
        self.garments = garments
        self.labels = labels
        self.photographs = photographs
        held_out = is_held_out(len(garments))
        rng = np.random.default_rng(config.seed)
        self.pools = {
            'train': rng.permutation(np.flatnonzero(~held_out)),
            'val': rng.permutation(np.flatnonzero(held_out)),
        }

    def render(self, split: str, index: int) -> Scene:
        """Make scene ``index`` of ``split``."""
        rng = np.random.default_rng([self.config.seed, SPLITS.index(split), index])
        canvas = self._background(rng)
        pool = self.pools[split]
        if self.config.kind == 'single':
            chosen = [pool[index % len(pool)]]
        else:
            chosen = list(rng.choice(pool, size=rng.integers(1, MAX_GARMENTS + 1), replace=False))

        labels: list[int] = []
        masks: list[np.ndarray] = []
        areas: list[int] = []
        for garment in chosen:
            placed = self._place(rng, self.garments[garment], masks, areas)
            if placed is None:  # no room was found without hiding another one
                continue
            shade, alpha = placed
            colour = _tint(rng)
            canvas += alpha[..., None] * (shade[..., None] * colour - canvas)
            mask = alpha > 0.5
            masks = [m & ~mask for m in masks] + [mask]
            areas.append(int(mask.sum()))
            labels.append(int(self.labels[garment]))
        return Scene(canvas.round().clip(0, 255).astype(np.uint8), labels, masks)

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """A crop of a photograph, recoloured, turned and faded: (S, S, 3) float32 in [0, 255 clutter]."""
        size = self.config.size
        photograph = self.photographs[rng.integers(len(self.photographs))]
        height, width = photograph.shape[:2]
        largest = min(height, width)
        smallest = min(size, largest)
        side = round(smallest * (largest / smallest) ** rng.random())
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop = photograph[top : top + side, left : left + side]
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)

        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.5:
            crop = 255 - crop
        crop = _shift_hue(np.ascontiguousarray(crop[..., rng.permutation(3)]), int(rng.integers(180)))
        contrast = rng.uniform(0.4, 1)
        lift = rng.uniform(0, 255 * (1 - contrast))
        return (crop.astype(np.float32) * np.float32(contrast) + np.float32(lift)) * np.float32(self.config.clutter)

    def _place(
        self, rng: np.random.Generator, garment: np.ndarray, masks: list[np.ndarray], areas: list[int]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Turn, scale and move a garment: its shade and its opacity, (S, S) float32 in [0, 1] each."""
        for _ in range(10):
            matrix = self._draw_matrix(rng, garment)
            size = (self.config.size, self.config.size)
            alpha = cv2.warpAffine(_opacity(garment), matrix, size, flags=cv2.INTER_LINEAR)
            mask = alpha > 0.5
            hidden = any((m & ~mask).sum() < MIN_VISIBLE * area for m, area in zip(masks, areas))
            if not hidden:
                grey = cv2.warpAffine(garment.astype(np.float32) / 255, matrix, size, flags=cv2.INTER_LINEAR)
                return 0.25 + 0.75 * grey, alpha
        return None

    def _draw_matrix(self, rng: np.random.Generator, garment: np.ndarray) -> np.ndarray:
        """(2, 3) map from the garment's pixels to the scene's, with the garment inside where it fits."""
        size = self.config.size
        x, y, w, h = cv2.boundingRect((garment > OPAQUE_GREY / 2).astype(np.uint8))
        factor = rng.uniform(*self.config.scale) * size / max(w, h, 1)
        angle = math.radians(rng.uniform(-MAX_ROTATION, MAX_ROTATION))
        cos, sin = factor * math.cos(angle), factor * math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        if rng.random() < 0.5:
            linear[:, 0] *= -1
        extent = np.abs(linear) @ np.array([w, h])
        slack = np.maximum(0, (size - extent) / 2)
        centre = size / 2 + rng.uniform(-slack, slack)
        # Pixel i covers [i, i + 1): its centre, which OpenCV's matrices mean, is at i + 0.5.
        shift = centre - 0.5 - linear @ np.array([x + w / 2 - 0.5, y + h / 2 - 0.5])
        return np.column_stack([linear, shift])


def _opacity(garment: np.ndarray) -> np.ndarray:
    """Soft mask of a garment from its grey level, (28, 28) float32 in [0, 1]; small dark prints are no holes."""
    opacity = np.minimum(garment.astype(np.float32) / OPAQUE_GREY, 1)
    _, region, stats, _ = cv2.connectedComponentsWithStats((opacity < 1).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= MAX_PRINT_AREA
    small[0] = False  # the garment itself
    opacity[small[region] & _INTERIOR] = 1
    return opacity


def _tint(rng: np.random.Generator) -> np.ndarray:
    """A colour, (3,) float32 in [0, 255]: any hue, from grey to saturated, not dark."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0, 0.9), rng.uniform(0.5, 1)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255


def _shift_hue(image: np.ndarray, degrees: int) -> np.ndarray:
    """Turn the hue of an RGB uint8 image by ``2 * degrees`` (OpenCV's unit of hue is two degrees)."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + degrees) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
