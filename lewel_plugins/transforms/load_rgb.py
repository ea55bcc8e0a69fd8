import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get, get_file_backend
from PIL import ExifTags, Image, ImageOps

from lewel_plugins.registry import TRANSFORMS


class BrokenImageError(Exception):
    """A file that cannot be read or decoded.

    Args:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


class _Undecodable(Exception):
    pass


@TRANSFORMS.register_module()
class LoadRGB(BaseTransform):
    """Load any image file as three colour channels of 8 bits.

    Reads ``img_path``, or takes ``img`` where the dataset holds its images in memory (RGB or grey). Writes
    ``img``, (H, W, 3) uint8 **in OpenMMLab's channel order, BGR**: mmpretrain's colour transforms expect it, and
    data preprocessors turn it into RGB with ``to_rgb=True``. Also writes ``img_shape`` and ``ori_shape``.

    JPEG, PNG, WebP, BMP, TIFF and what else Pillow reads; grey, palette, CMYK and transparent images become RGB
    (transparency is dropped), 16-bit values are divided by 257, the EXIF orientation is applied. A truncated file
    is an error, although decoders would fill in grey.

    Args:
        backend_args: Arguments of mmengine's file backend; by default the path's prefix decides.
        cache: Whether each process keeps what it has decoded in memory: for sets of small images.

    Raises:
        BrokenImageError: If the file cannot be read or decoded, or ends too early.
    """

    def __init__(self, backend_args: dict | None = None, cache: bool = False) -> None:
        self._read: Callable[[str], bytes] = _read_path
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
            return decode_bgr(self._read(path))


@contextmanager
def naming_broken_image(path: str) -> Iterator[None]:
    """Raise errors of reading and decoding a file as :class:`BrokenImageError`."""
    try:
        yield
    except OSError as error:
        raise BrokenImageError(path, f'cannot be read ({error.strerror or error})') from error
    except _Undecodable as error:
        raise BrokenImageError(path, str(error)) from error


def _read_path(path: str) -> bytes:
    if '://' in path:
        return get(path)
    with open(path, 'rb', buffering=0) as file:
        return file.read()


def to_bgr(img: np.ndarray) -> np.ndarray:
    """RGB (H, W, 3) or grey (H, W) uint8 to BGR."""
    if img.dtype != np.uint8 or img.ndim not in (2, 3) or img.shape[2:] not in ((), (3,)):
        raise ValueError(f'img must be (H, W, 3) or (H, W) of uint8, got {img.shape} of {img.dtype}')
    return cv2.cvtColor(img, cv2.COLOR_GRAY2BGR if img.ndim == 2 else cv2.COLOR_RGB2BGR)


def decode_bgr(data: bytes) -> np.ndarray:
    """Decode an image file's content to (H, W, 3) uint8, BGR. Raises a private error that says what is wrong."""
    if not data:
        raise _Undecodable('the file is empty')
    if is_jpeg(data):
        return decode_jpeg(data, read_jpeg_header(data))
    if data.startswith(b'\x89PNG\r\n\x1a\n'):
        if data.rfind(b'IEND') < 0:
            raise _Undecodable('the PNG is truncated (no end chunk)')
        # Versions of OpenCV differ in whether they apply a PNG's or WebP's EXIF orientation.
        has_exif = b'eXIf' in data or b'Raw profile type' in data  # ImageMagick's, in a text
        return _decode_pillow(data) if has_exif and data[24:25] == b'\x08' else _decode_cv2(data)
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        if len(data) < 8 + int.from_bytes(data[4:8], 'little'):
            raise _Undecodable('the WebP is truncated')
        return _decode_pillow(data) if data[12:16] == b'VP8X' else _decode_cv2(data)
    try:
        return _decode_pillow(data)
    except _Undecodable:
        if not data.startswith((b'II*\0', b'MM\0*')):
            raise
        return _decode_cv2(data)  # 16-bit RGB TIFF, which Pillow does not know


class JpegHeader(NamedTuple):
    """What a JPEG says of its pixels, upright as its EXIF says."""

    channels: int
    height: int
    width: int


def is_jpeg(data: bytes) -> bool:
    """Whether a file's content begins as a JPEG."""
    return data.startswith(b'\xff\xd8')


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk a JPEG's segments; raises if its pixels are not followed by an end marker.

    OpenCV fills what is missing with grey. Inside the pixels' data 0xFF is escaped, so the last FF D9 ends them;
    an FF D9 before them is a thumbnail's.
    """
    channels = height = width = 0
    turned = False
    position = 2
    while position + 9 < len(data):
        if data[position] != 0xFF:
            raise _Undecodable('the JPEG has a damaged header')
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = (int.from_bytes(data[position + i : position + i + 2], 'big') for i in (5, 7))
            channels = data[position + 9]
        if marker == 0xDA:  # start of scan
            if data.rfind(b'\xff\xd9') < position:
                raise _Undecodable('the JPEG is truncated (no end marker)')
            return JpegHeader(channels, width, height) if turned else JpegHeader(channels, height, width)
        following = position + 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        if data[position + 4 : position + 10] == b'Exif\0\0':
            turned = _exif_orientation(data[position + 4 : following]) >= 5
        position = following
    raise _Undecodable('the JPEG is truncated (no pixels)')


def _exif_orientation(segment: bytes) -> int:
    """1 to 8, from 5 on with height and width exchanged; of a damaged segment 1."""
    exif = Image.Exif()
    try:
        exif.load(segment)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises whatever its parser stumbles over
        return 1
    return orientation if orientation in range(1, 9) else 1


_REDUCED = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_jpeg(data: bytes, header: JpegHeader, reduction: int = 1) -> np.ndarray:
    """Decode a JPEG at 1, 1/2, 1/4 or 1/8 of its size, rounded up; one of four channels only in full."""
    if header.channels == 4:
        return _decode_pillow(data)
    return _decode_cv2(data, _REDUCED[reduction])


def _decode_cv2(data: bytes, flags: int = _REDUCED[1]) -> np.ndarray:
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _Undecodable(f'OpenCV cannot decode it ({error.err})') from error
    if img is None:
        raise _Undecodable('OpenCV cannot decode it')
    if img.dtype == np.uint16:
        return _scale_16_bit(img)
    if img.dtype != np.uint8:
        raise _Undecodable(f'pixels of type {img.dtype} are not supported')
    return img


def _scale_16_bit(img: np.ndarray) -> np.ndarray:
    return ((img.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _decode_pillow(data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == 'F':
                raise _Undecodable('pixels of type float32 are not supported')
            if upright.mode.startswith('I'):
                # Modes I and I;16 are 16-bit grey; Pillow's own conversion would clip them at 255.
                values = np.asarray(upright)
                if values.min() < 0 or values.max() > 65535:
                    raise _Undecodable('pixels of 32 bits are not supported')
                return to_bgr(_scale_16_bit(values))
            return to_bgr(np.asarray(upright.convert('RGB')))
    except (MemoryError, _Undecodable):
        raise
    except Exception as error:  # on damaged files Pillow raises whatever its parsers stumble over
        raise _Undecodable(f'Pillow cannot decode it ({error})') from error
