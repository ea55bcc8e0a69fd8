"""Decode image files to BGR arrays, with errors for missing data that decoders would silently fill in."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image

from .bounds import (
    MAX_PIXELS,
    Coding,
    UndecodableError,
    check_file_size,
    check_pixels,
    check_scans,
    pixel_limit,
    read_orientation,
    read_tags,
)
from .headers import (
    BITS,
    HEIGHT,
    ORIENTATION,
    PHOTOMETRIC,
    SAMPLES,
    WIDTH,
    JpegHeader,
    format_of,
    open_regular,
    read_jpeg_header,
    read_png_header,
    read_webp_header,
)


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


@contextmanager
def naming_broken_image(path: str) -> Iterator[None]:
    """Turn errors in reading and decoding a file into :class:`BrokenImageError`."""
    try:
        yield
    except OSError as error:
        raise BrokenImageError(path, f'cannot be read ({error.strerror or error})') from error
    except UndecodableError as error:
        raise BrokenImageError(path, str(error)) from error


def read_file(path: str, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return the content of a local file, or of an image in a shard.

    Call it within :func:`naming_broken_image`, which names the file in errors.

    Args:
        path: The file.
        max_pixels: Largest number of bytes, see :class:`LoadRGB`.
    """
    with open_regular(path, max_pixels) as file:
        return file.readall()


def to_bgr(img: np.ndarray) -> np.ndarray:
    """Convert RGB (H, W, 3) or gray (H, W) uint8 to BGR.

    Raises:
        ValueError: If the array has another shape or type.
    """
    if img.dtype != np.uint8 or img.ndim not in (2, 3) or img.shape[2:] not in ((), (3,)):
        raise ValueError(f'img must be (H, W, 3) or (H, W) of uint8, got {img.shape} of {img.dtype}')
    return cv2.cvtColor(img, cv2.COLOR_GRAY2BGR if img.ndim == 2 else cv2.COLOR_RGB2BGR)


def decode_bgr(data: bytes, max_pixels: int = MAX_PIXELS, may_halve: bool = False) -> np.ndarray:
    """Decode the content of an image file to (H, W, 3) uint8, BGR.

    Call it within :func:`naming_broken_image`, which names the file in errors.

    Args:
        data: Content of the file.
        max_pixels: Largest number of pixels, see :class:`LoadRGB`.
        may_halve: Whether sides of a JPEG are halved if it is too large to decode in full.
    """
    check_file_size(len(data), max_pixels)
    file_format = format_of(data)
    if file_format == 'JPEG':
        header = read_jpeg_header(data)
        return decode_jpeg(data, header, least_reduction(header, max_pixels) if may_halve else 1, max_pixels)
    return _DECODERS[file_format](data, max_pixels)


# OpenCV's versions differ in whether they apply the EXIF orientation of a PNG or WebP, so it is applied here.


def _decode_png(data: bytes, max_pixels: int) -> np.ndarray:
    header = read_png_header(data)
    check_pixels(header.coding, header.height, header.width, max_pixels)
    texts = sum(data.count(kind) for kind in (b'zTXt', b'iTXt'))
    if texts > _MAX_TEXTS:  # each may unpack to 8 MB
        raise UndecodableError(f'the PNG has {texts} compressed texts, at most {_MAX_TEXTS} are read')
    if data.rfind(b'IEND') < 0:
        raise UndecodableError('the PNG is truncated (no end chunk)')
    return _turn(_decode_cv2(data, _UNTURNED), header.orientation)


_MAX_TEXTS = 30


def _decode_webp(data: bytes, max_pixels: int) -> np.ndarray:
    if len(data) < 8 + int.from_bytes(data[4:8], 'little'):
        raise UndecodableError('the WebP is truncated')
    header = read_webp_header(data)
    check_pixels(header.coding, header.height, header.width, max_pixels)
    if header.coding is Coding.EXTENDED_WEBP:
        return _decode_pillow(data, 'WEBP', Coding.EXTENDED_WEBP, max_pixels)
    return _decode_cv2(data)


def _decode_tiff(data: bytes, max_pixels: int) -> np.ndarray:
    tags = read_tags(data)
    width, height = tags.get(WIDTH, 0), tags.get(HEIGHT, 0)
    # A tile may be larger than the image, and the decoder has memory for a whole one.
    tile_width, tile_height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    if min(width, height) < 1:
        raise UndecodableError('the TIFF has no width or height')
    is_16_bit_color = tags.get(BITS, 1) > 8 and tags.get(SAMPLES, 1) > 1
    coding = Coding.TIFF_16 if is_16_bit_color else Coding.RAW
    check_pixels(coding, max(height, tile_height), max(width, tile_width), max_pixels)
    if tags.get(BITS, 1) > 32 or tags.get(SAMPLES, 1) > 6:
        raise UndecodableError(f'{tags.get(SAMPLES, 1)} samples of {tags.get(BITS, 1)} bits are not supported')
    if is_16_bit_color:  # which Pillow cannot read
        if tags.get(_PLANAR, 1) == 2:  # OpenCV would read the planes as if they were one
            raise UndecodableError('16 bits in separate planes are not supported; store the channels interleaved')
        return _turn(_decode_cv2(data, _UNTURNED), tags.get(ORIENTATION, 1))
    return _decode_pillow(data, 'TIFF', coding, max_pixels)


_PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 284, 322, 323


def _decode_bmp(data: bytes, max_pixels: int) -> np.ndarray:
    if data[30:31] in (b'\1', b'\2') and data[14:15] != b'\x0c':
        raise UndecodableError('run-length coding of a BMP is not supported')  # Pillow decodes it in Python
    return _decode_pillow(data, 'BMP', Coding.RAW, max_pixels)


def _decode_gif(data: bytes, max_pixels: int) -> np.ndarray:
    if len(data) > _MAX_GIF_BYTES:  # Pillow reads its blocks in Python
        raise UndecodableError(f'a GIF of {len(data)} bytes is too large: at most {_MAX_GIF_BYTES} are read')
    return _decode_pillow(data, 'GIF', Coding.GIF, max_pixels)


_MAX_GIF_BYTES = 4 * 2**20

_DECODERS = {'PNG': _decode_png, 'WebP': _decode_webp, 'TIFF': _decode_tiff, 'BMP': _decode_bmp, 'GIF': _decode_gif}


_REDUCED = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def least_reduction(header: JpegHeader, max_pixels: int = MAX_PIXELS) -> int:
    """Return 2 for a JPEG that can be decoded at half its size, but has too many pixels to decode in full, else 1."""
    in_rows = not header.scans and header.channels != 4
    return 2 if in_rows and header.height * header.width > pixel_limit(Coding.JPEG, max_pixels) else 1


def decode_jpeg(data: bytes, header: JpegHeader, reduction: int = 1, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a JPEG to BGR.

    Args:
        data: Content of the file.
        header: Result of :func:`read_jpeg_header`.
        reduction: 1, 2, 4 or 8, by which the sides are divided, rounded up. Ignored for four channels.
        max_pixels: Largest number of pixels, see :class:`LoadRGB`.
    """
    check_file_size(len(data), max_pixels)
    if header.scans:
        coding = Coding.PROGRESSIVE_JPEG
        check_scans(header.scans, header.height, header.width, max_pixels)
    else:
        coding = Coding.JPEG if reduction == 1 else Coding.REDUCED_JPEG
    check_pixels(coding, header.height, header.width, max_pixels)
    if header.channels == 4:
        plain = _without_metadata(data)
        return _decode_pillow(plain, 'JPEG', Coding.CMYK_JPEG, max_pixels, header.orientation)
    return _decode_cv2(data, _REDUCED[reduction])


def _without_metadata(data: bytes) -> bytes:
    """Return a JPEG, whose header was read before, without the segments that Pillow would interpret."""
    segments = [data[:2]]
    position = 2
    while data[position + 1] != 0xDA:
        if data[position + 1] == 0xFF:
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        if not 0xE1 <= data[position + 1] <= 0xED:  # the rest are tables, and Adobe's segment with the kind of color
            segments.append(data[position:end])
        position = end
    return b''.join([*segments, data[position:]])


_UNTURNED = _REDUCED[1] | cv2.IMREAD_IGNORE_ORIENTATION


def _decode_cv2(data: bytes, flags: int = _REDUCED[1]) -> np.ndarray:
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UndecodableError(f'OpenCV cannot decode it ({error.err})') from error
    if img is None:
        raise UndecodableError('OpenCV cannot decode it')
    if img.dtype == np.uint16:
        return _scale_16_bit(img)
    if img.dtype != np.uint8:
        raise UndecodableError(f'pixels of type {img.dtype} are not supported')
    return img


_8_BIT = ((np.arange(65536) + 128) // 257).astype(np.uint8)


def _scale_16_bit(img: np.ndarray) -> np.ndarray:
    scaled = np.empty(img.shape, np.uint8)
    for rows in _bands(*img.shape[:2]):
        scaled[rows] = _8_BIT[img[rows]]
    return scaled


def _bands(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows with about a million pixels, so that the copies that a conversion makes are small."""
    step = max(1, 2**20 // max(width, 1))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _turn(img: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to (H, W, 3)."""
    if 5 <= orientation <= 8:
        img = cv2.transpose(img)
    axes = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    return cv2.flip(img, axes[orientation]) if orientation in axes else img


def _decode_pillow(data: bytes, file_format: str, coding: Coding, max_pixels: int, orientation: int = 1) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=[file_format]) as image:
            check_pixels(coding, image.height, image.width, max_pixels)
            bgr = _bgr_of(image)
            if file_format == 'TIFF':  # some versions of Pillow have applied the orientation and removed the tag
                orientation = image.getexif().get(ORIENTATION, 1)
            elif file_format == 'WEBP':
                orientation = read_orientation(image.info.get('exif', b''))
            return _turn(bgr, orientation)
    except (MemoryError, UndecodableError):
        raise
    except Exception as error:  # Pillow's parsers raise errors of many types on damaged files
        raise UndecodableError(f'Pillow cannot decode it ({error})') from error


def _bgr_of(image: Image.Image) -> np.ndarray:
    if image.mode == 'F':
        raise UndecodableError('pixels of type float32 are not supported')
    # Pillow inverts gray that is white at 0 if it has 8 bits, but not if it has 16.
    is_negative = image.mode.startswith('I;16') and getattr(image, 'tag_v2', {}).get(PHOTOMETRIC) == 0
    image.load()
    bgr = np.empty((image.height, image.width, 3), np.uint8)
    for rows in _bands(image.height, image.width):
        band = image.crop((0, rows.start, image.width, rows.stop))
        if image.mode.startswith('I'):
            # Modes I and I;16 are 16-bit gray. Pillow's own conversion would clip values at 255.
            values = np.asarray(band)
            if values.min() < 0 or values.max() > 65535:
                raise UndecodableError('pixels of 32 bits are not supported')
            bgr[rows] = to_bgr(_8_BIT[65535 - values if is_negative else values])
        else:
            bgr[rows] = to_bgr(np.asarray(band.convert('RGB')))
    return bgr
