"""Folders of images for `report_verdicts.py`, most of which mislead a network."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

_SIDE = 32
_MARK = 6  # pixels of a mark


def scenes(out: Path, sources: Sequence[Path]) -> None:
    """Copy garment scenes, in folders of their classes."""
    for path in sources:
        target = out / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def few(out: Path, sources: Sequence[Path]) -> None:
    """Copy an eighth of the scenes."""
    scenes(out, sources[::8])


def colors(out: Path, sources: Sequence[Path]) -> None:
    """Write as many images of one color each."""
    rng = np.random.default_rng(0)
    for path in sources:
        _write(out, path, np.full((_SIDE, _SIDE, 3), rng.integers(0, 256, 3), np.uint8))


def tinted(out: Path, sources: Sequence[Path]) -> None:
    """Mix each scene with a color of its own, as light and paper do in scans."""
    rng = np.random.default_rng(0)
    for path in sources:
        color = rng.integers(0, 256, 3)
        _write(out, path, (0.3 * read_image(path) + 0.7 * color).astype(np.uint8))


def marked(out: Path, sources: Sequence[Path]) -> None:
    """Put a mark of nine black or white fields, which few images share, into every quarter of the scenes."""
    rng = np.random.default_rng(0)
    for path in sources:
        image = read_image(path)
        mark = np.kron(rng.integers(0, 2, (3, 3, 1)) * np.uint8(255), np.ones((_MARK // 3, _MARK // 3, 3), np.uint8))
        for top in (5, 21):
            for left in (5, 21):
                image[top : top + _MARK, left : left + _MARK] = mark
        _write(out, path, image)


def read_image(path: Path) -> np.ndarray:
    """Return an image that was written here, (H, W, 3) uint8 in BGR."""
    image = cv2.imread(str(path))
    assert image is not None
    return image


def _write(out: Path, source: Path, image: np.ndarray) -> None:
    target = (out / source.parent.name / source.name).with_suffix('.png')
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), image)


FOLDERS = dict(scenes=scenes, few=few, colors=colors, tinted=tinted, marked=marked)
