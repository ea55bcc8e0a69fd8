"""The material of garment scenes: garments of Fashion-MNIST, and photographs that ship with installed packages."""

import gzip
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


def load_garments(root: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the test images of Fashion-MNIST, (10000, 28, 28) uint8, and their labels, (10000,).

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
    """Return which garments are for validation, (count,) bool: every fifth one.

    This depends on no argument, so that a network pretrained on one set of scenes has not seen the validation garments
    of any other set.
    """
    return np.arange(count) % 5 == 4


def load_photographs() -> dict[str, np.ndarray]:
    """Read the photographs that ship with scikit-image and scikit-learn, as (H, W, 3) uint8 RGB by name.

    Raises:
        RuntimeError: If neither package is installed with its photographs.
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
        raise RuntimeError('no photographs found; install them with `pip install scikit-image scikit-learn`')
    return photographs


def _package_folder(package: str) -> Path | None:
    # Only the top-level package is located, because importing skimage or sklearn takes a second.
    top, *rest = package.split('.')
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).joinpath(*rest)
