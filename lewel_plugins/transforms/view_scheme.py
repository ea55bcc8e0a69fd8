import math
import random
from dataclasses import dataclass
from typing import NamedTuple

_PROBABILITIES = ('flip', 'jitter', 'gray', 'blur', 'solarize')
_STRENGTHS = ('brightness', 'contrast', 'saturation')


class ViewParameters(NamedTuple):
    """Parameters of one view of one image, as :meth:`ViewScheme.draw` returns them."""

    box: tuple[int, int, int, int]
    """Left, top, width and height of the crop in pixels."""
    flip: bool
    jitter: tuple[tuple[str, float], ...]
    """Operations in order: ``brightness``, ``contrast`` and ``saturation`` with a factor, ``hue`` with a shift."""
    gray: bool
    sigma: float
    """Standard deviation of the blur in pixels; 0 means no blur."""
    solarize: bool


@dataclass(frozen=True)
class ViewScheme:
    """A scheme of augmentation: crop, flip, color jitter, gray, blur and solarization, drawn like torchvision.

    The crop follows Inception (Szegedy et al. 2015), the other operations SimCLR and BYOL (Grill et al. 2020, App. B).
    The defaults equal BYOL's settings, except that blur and solarization are off.

    Args:
        size: Side of the view in pixels.
        crop_scale: Share of the image's area that a crop covers, (low, high).
        crop_ratio: Aspect ratio of a crop, (low, high).
        interpolation: ``bilinear`` or ``bicubic``.
        flip: Probability of mirroring left to right.
        jitter: Probability of the color jitter, whose four operations run in random order.
        brightness: Factors are drawn from 1 ± this value, at least 0.
        contrast: Range of the factors, like ``brightness``.
        saturation: Range of the factors, like ``brightness``.
        hue: Shifts are drawn from ± this share of the color circle.
        gray: Probability of conversion to gray.
        blur: Probability of a Gaussian blur.
        blur_sigma: Standard deviation of the blur in pixels, (low, high).
        solarize: Probability of inverting all values of 128 and above.

    Raises:
        ValueError: If a value is outside its range.
    """

    size: int
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = 'bilinear'
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    gray: float = 0.2
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.size, int):
            raise ValueError(f'view size must be the side of a square in whole pixels, got {self.size!r}')
        if self.size < 1:
            raise ValueError(f'view size must be at least 1 pixel, got {self.size}')
        self._check_pairs()
        if self.interpolation not in ('bilinear', 'bicubic'):
            raise ValueError(f"interpolation must be 'bilinear' or 'bicubic', got {self.interpolation!r}")
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} is a probability and must be in [0, 1], got {getattr(self, name)}')
        for name in _STRENGTHS:
            if getattr(self, name) < 0:
                raise ValueError(f'{name} is a strength and must not be negative, got {getattr(self, name)}')
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f'hue is a share of the color circle and must be in [0, 0.5], got {self.hue}')

    def _check_pairs(self) -> None:
        for name in ('crop_scale', 'crop_ratio', 'blur_sigma'):
            pair = getattr(self, name)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f'{name} must be (low, high), got {pair!r}')
            low, high = pair
            object.__setattr__(self, name, (low, high))
            if not 0 < low <= high:
                raise ValueError(f'{name} must be (low, high) with 0 < low <= high, got {(low, high)}')
        if self.crop_scale[1] > 1:
            raise ValueError(f'crop_scale is a share of the area and must end at 1 or below, got {self.crop_scale}')

    def draw(self, height: int, width: int) -> ViewParameters:
        """Draw parameters of a view of an image of this size from Python's generator."""
        chance = random.random
        box = self._draw_box(height, width)
        flip = chance() < self.flip
        jitter = self._draw_jitter() if chance() < self.jitter else ()
        gray = chance() < self.gray
        sigma = random.uniform(*self.blur_sigma) if chance() < self.blur else 0.0
        return ViewParameters(box, flip, jitter, gray, sigma, chance() < self.solarize)

    def _draw_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        low, high = self.crop_ratio
        logs = math.log(low), math.log(high)
        for _ in range(10):
            area = height * width * random.uniform(*self.crop_scale)
            ratio = math.exp(random.uniform(*logs))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return random.randrange(width - w + 1), random.randrange(height - h + 1), w, h
        # No box fits: return the largest one in the middle.
        w, h = min(width, round(height * high)), min(height, round(width / low))
        return (width - w) // 2, (height - h) // 2, w, h

    def _draw_jitter(self) -> tuple[tuple[str, float], ...]:
        strengths = [(name, getattr(self, name)) for name in _STRENGTHS]
        jitter = [(name, random.uniform(max(0.0, 1 - width), 1 + width)) for name, width in strengths if width]
        if self.hue:
            jitter.append(('hue', random.uniform(-self.hue, self.hue)))
        random.shuffle(jitter)
        return tuple(jitter)


def check_blur_fits(radius: int, size: int) -> None:
    """Raise a ValueError if a blur of this radius needs more than one reflection at the borders of a view."""
    if radius >= size:
        raise ValueError(f'blur_sigma reaches {radius} pixels, which is too far for views of {size} pixels')
