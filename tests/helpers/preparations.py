"""A folder of tiny images, and a training on it that could start."""

from pathlib import Path

import numpy as np
from PIL import Image

from lewel_plugins.api.preparation import Options, Preparation, resolve
from lewel_plugins.planning import GPU, Facts, Machine
from lewel_plugins.planning.scan import scan

GIB = 2**30


def write_photos(folder: Path, count: int = 16, side: int = 40) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)).save(folder / f'{i:03}.png')
    return folder


def gpu(index: int = 0, free: float = 23.0) -> GPU:
    return GPU(index, 'RTX 4090', 24 * GIB, int(free * GIB), (8, 9))


def prepared(photos: Path, machine: Machine | None = None, overrides: tuple[str, ...] = (), **request) -> Preparation:
    request = {'method': 'lewel-m', 'backbone': 'resnet10', **request}
    folder = scan([photos], workers=0)
    options = Options.of([photos], overrides, request.pop('gpus', 'all'), **request)
    return resolve(options, folder, Facts(folder.folder, machine or Machine(cores=2)))
