from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get, get_file_backend

from lewel_plugins.image_files.bounds import MAX_PIXELS
from lewel_plugins.image_files.decode import decode_bgr, naming_broken_image, read_file, to_bgr
from lewel_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadRGB(BaseTransform):
    """Load any image file as three color channels of 8 bits.

    Reads ``img_path``, or ``img`` where the dataset holds its images in memory (RGB or gray). Writes ``img``,
    (H, W, 3) uint8 **in OpenMMLab's channel order, BGR**: mmpretrain's color transforms expect this order, and data
    preprocessors convert it to RGB with ``to_rgb=True``. Also writes ``img_shape`` and ``ori_shape``.

    Supports JPEG, PNG, WebP, BMP, TIFF and GIF, of animations the first frame. Gray, palette, CMYK and transparent
    images become RGB (transparency is dropped), 16-bit values are divided by 257, and the EXIF orientation is applied.
    A truncated file is an error, although decoders would fill it up with gray.

    So is a file with more pixels, which its header announces, than a worker can decode within 2 s and 500 MB. At most
    ``max_pixels`` are decoded from a JPEG at reduced size (see :class:`LoadViews`), 2/3 of them from a JPEG in full,
    3/10 from a PNG, and less from codings that take more time or memory per pixel (:class:`Coding`). No file has more
    bytes than that.

    Args:
        backend_args: Arguments of mmengine's file backend. By default the prefix of the path decides.
        cache: Whether each process keeps decoded images in memory, for sets of small images.
        max_pixels: Bound on pixels and bytes of a file. Time and memory grow in proportion.
        may_halve: Whether sides of a JPEG that is too large to decode in full are halved, for pipelines in which a
            resize follows and no label is in pixels of the file. ``ori_shape`` is then that of the halved image.

    Raises:
        BrokenImageError: If the file cannot be read or decoded, ends too early, or is too large.
        ValueError: If ``max_pixels`` is below 1.
    """

    def __init__(
        self,
        backend_args: dict | None = None,
        cache: bool = False,
        max_pixels: int = MAX_PIXELS,
        may_halve: bool = False,
    ) -> None:
        if max_pixels < 1:
            raise ValueError(f'max_pixels must be at least 1, got {max_pixels}')
        self.max_pixels, self.may_halve = max_pixels, may_halve
        self._read: Callable[[str], bytes] = self._read_path
        if backend_args is not None:
            self._read = get_file_backend(backend_args=backend_args).get
        self._cache: dict[str, np.ndarray] | None = {} if cache else None

    def transform(self, results: dict) -> dict:
        """Add ``img``, ``img_shape`` and ``ori_shape`` to ``results``."""
        img = to_bgr(results['img']) if 'img' in results else self._get(results['img_path'])
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _get(self, path: str) -> np.ndarray:
        if self._cache is None:
            return self._load(path)
        if path not in self._cache:
            self._cache[path] = self._load(path)
        return self._cache[path].copy()  # later transforms may write into it

    def _load(self, path: str) -> np.ndarray:
        with naming_broken_image(path):
            return decode_bgr(self._read(path), self.max_pixels, self.may_halve)

    def _read_path(self, path: str) -> bytes:
        if '://' in path:
            return get(path)
        return read_file(path, self.max_pixels)
