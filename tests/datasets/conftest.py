import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def image_folder(tmp_path):
    """Write twelve noisy PNGs of 40x48 pixels to two folders."""
    rng = np.random.default_rng(0)
    for i in range(12):
        path = tmp_path / 'images' / 'ab'[i % 2] / f'{i:02d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(path)
    return tmp_path / 'images'
