"""Decode image files to BGR arrays, with errors for missing data that decoders would silently fill in."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps


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


class _UndecodableError(Exception):
    """Content that cannot be decoded; the path of the file is not known where this is raised."""


@contextmanager
def naming_broken_image(path: str) -> Iterator[None]:
    """Turn errors in reading and decoding a file into :class:`BrokenImageError`."""
    try:
        yield
    except OSError as error:
        raise BrokenImageError(path, f'cannot be read ({error.strerror or error})') from error
    except _UndecodableError as error:
        raise BrokenImageError(path, str(error)) from error


def to_bgr(img: np.ndarray) -> np.ndarray:
    """Convert RGB (H, W, 3) or gray (H, W) uint8 to BGR.

    Raises:
        ValueError: If the array has another shape or type.
    """
    if img.dtype != np.uint8 or img.ndim not in (2, 3) or img.shape[2:] not in ((), (3,)):
        raise ValueError(f'img must be (H, W, 3) or (H, W) of uint8, got {img.shape} of {img.dtype}')
    return cv2.cvtColor(img, cv2.COLOR_GRAY2BGR if img.ndim == 2 else cv2.COLOR_RGB2BGR)


def decode_bgr(data: bytes) -> np.ndarray:
    """Decode the content of an image file to (H, W, 3) uint8, BGR.

    Call it within :func:`naming_broken_image`, which names the file in errors.
    """
    if not data:
        raise _UndecodableError('the file is empty')
    if is_jpeg(data):
        return decode_jpeg(data, read_jpeg_header(data))
    if data.startswith(b'\x89PNG\r\n\x1a\n'):
        return _decode_png(data)
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        return _decode_webp(data)
    try:
        return _decode_pillow(data)
    except _UndecodableError:
        if not data.startswith((b'II*\0', b'MM\0*')):
            raise
        return _decode_cv2(data)  # 16-bit RGB TIFF, which Pillow cannot read


# OpenCV's versions differ in whether they apply the EXIF orientation of a PNG or WebP, so Pillow decodes these.


def _decode_png(data: bytes) -> np.ndarray:
    if data.rfind(b'IEND') < 0:
        raise _UndecodableError('the PNG is truncated (no end chunk)')
    has_exif = b'eXIf' in data or b'Raw profile type' in data  # the second is ImageMagick's way, in a text chunk
    is_8_bit = data[24:25] == b'\x08'
    return _decode_pillow(data) if has_exif and is_8_bit else _decode_cv2(data)


def _decode_webp(data: bytes) -> np.ndarray:
    if len(data) < 8 + int.from_bytes(data[4:8], 'little'):
        raise _UndecodableError('the WebP is truncated')
    return _decode_pillow(data) if data[12:16] == b'VP8X' else _decode_cv2(data)


class JpegHeader(NamedTuple):
    """Channels and size of a JPEG after its EXIF orientation is applied."""

    channels: int
    height: int
    width: int


def is_jpeg(data: bytes) -> bool:
    """Return whether a file's content begins like a JPEG."""
    return data.startswith(b'\xff\xd8')


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk through the segments of a JPEG; raise an error if no end marker follows its pixels.

    OpenCV would fill missing pixels with gray. Inside the pixel data every 0xFF is escaped, so the last FF D9 of the
    file ends them. An FF D9 before them belongs to a thumbnail.
    """
    channels = height = width = 0
    is_turned = False
    position = 2
    while position + 9 < len(data):
        if data[position] != 0xFF:
            raise _UndecodableError('the JPEG has a damaged header')
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = (int.from_bytes(data[position + i : position + i + 2], 'big') for i in (5, 7))
            channels = data[position + 9]
        if marker == 0xDA:  # start of scan
            if data.rfind(b'\xff\xd9') < position:
                raise _UndecodableError('the JPEG is truncated (no end marker)')
            return JpegHeader(channels, width, height) if is_turned else JpegHeader(channels, height, width)
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        if data[position + 4 : position + 10] == b'Exif\0\0':
            is_turned = _exif_orientation(data[position + 4 : end]) >= 5
        position = end
    raise _UndecodableError('the JPEG is truncated (no pixels)')


def _exif_orientation(segment: bytes) -> int:
    """Return the orientation, 1 to 8, or 1 for a damaged segment. From 5 on, height and width are exchanged."""
    exif = Image.Exif()
    try:
        exif.load(segment)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's parser raises errors of many types
        return 1
    return orientation if orientation in range(1, 9) else 1


_REDUCED = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_jpeg(data: bytes, header: JpegHeader, reduction: int = 1) -> np.ndarray:
    """Decode a JPEG to BGR.

    Args:
        data: Content of the file.
        header: Result of :func:`read_jpeg_header`.
        reduction: 1, 2, 4 or 8, by which the sides are divided, rounded up. Ignored for four channels.
    """
    if header.channels == 4:
        return _decode_pillow(data)
    return _decode_cv2(data, _REDUCED[reduction])


def _decode_cv2(data: bytes, flags: int = _REDUCED[1]) -> np.ndarray:
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _UndecodableError(f'OpenCV cannot decode it ({error.err})') from error
    if img is None:
        raise _UndecodableError('OpenCV cannot decode it')
    if img.dtype == np.uint16:
        return _scale_16_bit(img)
    if img.dtype != np.uint8:
        raise _UndecodableError(f'pixels of type {img.dtype} are not supported')
    return img


def _scale_16_bit(img: np.ndarray) -> np.ndarray:
    return ((img.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _decode_pillow(data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == 'F':
                raise _UndecodableError('pixels of type float32 are not supported')
            if upright.mode.startswith('I'):
                # Modes I and I;16 are 16-bit gray. Pillow's own conversion would clip values at 255.
                values = np.asarray(upright)
                if values.min() < 0 or values.max() > 65535:
                    raise _UndecodableError('pixels of 32 bits are not supported')
                return to_bgr(_scale_16_bit(values))
            return to_bgr(np.asarray(upright.convert('RGB')))
    except (MemoryError, _UndecodableError):
        raise
    except Exception as error:  # Pillow's parsers raise errors of many types on damaged files
        raise _UndecodableError(f'Pillow cannot decode it ({error})') from error
