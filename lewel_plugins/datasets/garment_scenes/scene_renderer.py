import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .scene_config import SPLITS, SceneConfig
from .sources import is_held_out

MAX_GARMENTS = 4  # per `multi` scene
MAX_ROTATION = 20.0  # degrees
MIN_VISIBLE = 0.4  # share of a garment that later ones must leave visible
OPAQUE_GRAY = 24.0  # gray level from which a garment hides the background; its rim is darker
MAX_PRINT_AREA = 4  # pixels; larger dark regions are gaps, such as between the legs of trousers
_INTERIOR = np.pad(np.ones((26, 26), bool), 1)


class Pose(NamedTuple):
    """Where a garment lies, and how it is turned."""

    x: float
    """Center of the garment from the left, relative to the side of the image."""
    y: float
    """The center from the top."""
    scale: float
    """Longer side of the garment, relative to the side of the image."""
    rotation: float
    """Degrees, clockwise."""
    is_mirrored: bool
    """Whether the garment was mirrored left to right before the rotation."""


class Tint(NamedTuple):
    """The color of a garment's brightest parts, in HSV."""

    hue: float
    """Degrees in [0, 360)."""
    saturation: float
    value: float


@dataclass(frozen=True)
class Scene:
    """One image and its garments, from back to front.

    Args:
        image: (S, S, 3) uint8, RGB.
        labels: Class index of every garment.
        masks: (S, S) bool, visible pixels of every garment.
        poses: Pose of every garment.
        tints: Tint of every garment.
    """

    image: np.ndarray
    labels: list[int]
    masks: list[np.ndarray]
    poses: list[Pose]
    tints: list[Tint]


class SceneRenderer:
    """Renders scenes by split and index.

    Args:
        config: Appearance and number of the scenes.
        garments: (M, 28, 28) uint8 gray images.
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
        """Render scene ``index`` of ``split``."""
        rng = np.random.default_rng([self.config.seed, SPLITS.index(split), index])
        canvas = self._background(rng)
        labels: list[int] = []
        masks: list[np.ndarray] = []
        areas: list[int] = []
        poses: list[Pose] = []
        tints: list[Tint] = []
        for garment in self._choose(rng, split, index):
            layer = self._place(rng, self.garments[garment], masks, areas)
            if layer is None:
                continue
            shade, alpha, pose = layer
            tint = _draw_tint(rng)
            canvas += alpha[..., None] * (shade[..., None] * _color(tint) - canvas)
            mask = alpha > 0.5
            masks = [m & ~mask for m in masks] + [mask]
            areas.append(int(mask.sum()))
            labels.append(int(self.labels[garment]))
            poses.append(pose)
            tints.append(tint)
        return Scene(canvas.round().clip(0, 255).astype(np.uint8), labels, masks, poses, tints)

    def _choose(self, rng: np.random.Generator, split: str, index: int) -> list[int]:
        """Return the indices of the scene's garments."""
        pool = self.pools[split]
        if self.config.kind == 'single':
            return [pool[index % len(pool)]]
        return list(rng.choice(pool, size=rng.integers(1, MAX_GARMENTS + 1), replace=False))

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Return a recolored, turned and faded crop of a photograph, (S, S, 3) float32 in [0, 255 clutter]."""
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
    ) -> tuple[np.ndarray, np.ndarray, Pose] | None:
        """Turn, scale and move a garment so that it hides no other one.

        Returns:
            Its shade and its opacity, (S, S) float32 in [0, 1] each, and its pose, or None if ten attempts fail.
        """
        for _ in range(10):
            matrix, pose = self._draw_pose(rng, garment)
            size = (self.config.size, self.config.size)
            alpha = cv2.warpAffine(_opacity(garment), matrix, size, flags=cv2.INTER_LINEAR)
            mask = alpha > 0.5
            hides_other = any((m & ~mask).sum() < MIN_VISIBLE * area for m, area in zip(masks, areas))
            if not hides_other:
                gray = cv2.warpAffine(garment.astype(np.float32) / 255, matrix, size, flags=cv2.INTER_LINEAR)
                return 0.25 + 0.75 * gray, alpha, pose
        return None

    def _draw_pose(self, rng: np.random.Generator, garment: np.ndarray) -> tuple[np.ndarray, Pose]:
        """Draw a pose in which the garment lies inside if it fits.

        Returns:
            The (2, 3) map from pixels of the garment to those of the scene, and the pose.
        """
        size = self.config.size
        x, y, w, h = cv2.boundingRect((garment > OPAQUE_GRAY / 2).astype(np.uint8))
        scale = rng.uniform(*self.config.scale)
        factor = scale * size / max(w, h, 1)
        rotation = rng.uniform(-MAX_ROTATION, MAX_ROTATION)
        angle = math.radians(rotation)
        cos, sin = factor * math.cos(angle), factor * math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        is_mirrored = rng.random() < 0.5
        if is_mirrored:
            linear[:, 0] *= -1
        extent = np.abs(linear) @ np.array([w, h])
        slack = np.maximum(0, (size - extent) / 2)
        center = size / 2 + rng.uniform(-slack, slack)
        # Pixel i covers [i, i + 1). OpenCV's matrices refer to its center, i + 0.5.
        shift = center - 0.5 - linear @ np.array([x + w / 2 - 0.5, y + h / 2 - 0.5])
        pose = Pose(float(center[0] / size), float(center[1] / size), scale, rotation, is_mirrored)
        return np.column_stack([linear, shift]), pose


def _opacity(garment: np.ndarray) -> np.ndarray:
    """Return a soft mask of a garment from its gray level, (28, 28) float32 in [0, 1]. Small dark prints are opaque."""
    opacity = np.minimum(garment.astype(np.float32) / OPAQUE_GRAY, 1)
    _, region, stats, _ = cv2.connectedComponentsWithStats((opacity < 1).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= MAX_PRINT_AREA
    small[0] = False  # region 0 is the garment itself
    opacity[small[region] & _INTERIOR] = 1
    return opacity


def _draw_tint(rng: np.random.Generator) -> Tint:
    """Draw any hue, from gray to saturated, but not dark."""
    return Tint(rng.uniform(0, 360), rng.uniform(0, 0.9), rng.uniform(0.5, 1))


def _color(tint: Tint) -> np.ndarray:
    """Return a tint as RGB, (3,) float32 in [0, 255]."""
    return cv2.cvtColor(np.array([[tint]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] * 255


def _shift_hue(image: np.ndarray, steps: int) -> np.ndarray:
    """Turn the hue of an RGB uint8 image by ``steps`` of two degrees, OpenCV's unit of hue."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + steps) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
