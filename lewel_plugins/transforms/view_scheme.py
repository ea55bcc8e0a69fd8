import math
import random
from dataclasses import dataclass
from typing import NamedTuple

_PROBABILITIES = ('flip', 'jitter', 'gray', 'blur', 'solarize')
_STRENGTHS = ('brightness', 'contrast', 'saturation')


class ViewParameters(NamedTuple):
    """What one view of one image is made with, as :meth:`ViewScheme.draw` draws it."""

    box: tuple[int, int, int, int]
    """Left, top, width and height of the crop in pixels."""
    flip: bool
    jitter: tuple[tuple[str, float], ...]
    """Operations in their order: ``brightness``, ``contrast``, ``saturation`` with a factor, ``hue`` with a shift."""
    gray: bool
    sigma: float
    """Standard deviation of the blur in pixels; 0 is none."""
    solarize: bool


@dataclass(frozen=True)
class ViewScheme:
    """A scheme of augmentation: crop, flip, colour jitter, grey, blur, solarisation, drawn as torchvision draws them.

    The crop is Inception's (Szegedy et al. 2015), the rest SimCLR's and BYOL's (Grill et al. 2020, App. B). The
    defaults are BYOL's but for blur and solarisation, which are off.

    Args:
        size: Side of the view in pixels.
        crop_scale: Share of the image's area that a crop has, (low, high).
        crop_ratio: Aspect ratio of a crop, (low, high).
        interpolation: Of the resizing, ``bilinear`` or ``bicubic``.
        flip: Probability of mirroring left to right.
        jitter: Probability of the colour jitter, whose four operations come in random order.
        brightness: Factors are drawn from 1 ± this, as are those of contrast and saturation.
        contrast: See ``brightness``.
        saturation: See ``brightness``.
        hue: Shifts are drawn from ± this share of the colour circle.
        gray: Probability of grey.
        blur: Probability of a Gaussian blur.
        blur_sigma: Its standard deviation in pixels, (low, high).
        solarize: Probability of inverting all values from 128.

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
            raise ValueError(f'view size is the side of a square in whole pixels, got {self.size!r}')
        if self.size < 1:
            raise ValueError(f'view size must be at least 1 pixel, got {self.size}')
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} is a probability and must be in [0, 1], got {getattr(self, name)}')
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
        if self.interpolation not in ('bilinear', 'bicubic'):
            raise ValueError(f"interpolation must be 'bilinear' or 'bicubic', got {self.interpolation!r}")
        for name in _STRENGTHS:
            if getattr(self, name) < 0:
                raise ValueError(f'{name} is a strength and must not be negative, got {getattr(self, name)}')
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f'hue is a share of the colour circle and must be in [0, 0.5], got {self.hue}')

    def draw(self, height: int, width: int) -> ViewParameters:
        """Draw the parameters of a view of an image of this size, from Python's generator."""
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
        # None fits: the largest box in the middle.
        w, h = min(width, round(height * high)), min(height, round(width / low))
        return (width - w) // 2, (height - h) // 2, w, h

    def _draw_jitter(self) -> tuple[tuple[str, float], ...]:
        steps = [(name, getattr(self, name)) for name in _STRENGTHS]
        drawn = [(name, random.uniform(max(0.0, 1 - width), 1 + width)) for name, width in steps if width]
        if self.hue:
            drawn.append(('hue', random.uniform(-self.hue, self.hue)))
        random.shuffle(drawn)
        return tuple(drawn)


def check_blur_fits(radius: int, size: int) -> None:
    """Raise ValueError if a blur of this radius reaches across views of ``size`` pixels: borders are reflected once."""
    if radius >= size:
        raise ValueError(f'blur_sigma reaches {radius} pixels, which views of {size} pixels do not have')
