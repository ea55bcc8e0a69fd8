"""What the header of an image file announces: coding, size, channels, bits. Pixels are not decoded."""

import os
import stat
from io import FileIO
from typing import NamedTuple

from .bounds import MAX_PIXELS, Coding, UndecodableError, check_file_size, read_orientation, read_tags

_PREFIX = 2**16  # bytes that hold nearly every header but those of TIFF
WIDTH, HEIGHT, BITS, _PHOTOMETRIC, SAMPLES, _EXTRA_SAMPLES = 256, 257, 258, 262, 277, 338
_PALETTE, _SEPARATED = 3, 5


class Header(NamedTuple):
    """What the header of a file announces.

    Attributes:
        coding: How the pixels are coded, which bounds their number.
        width: Width; of a JPEG, after the EXIF orientation is applied.
        height: Height, likewise.
        channels: Number of channels; those of the palette if there is one.
        bits: Bits per channel.
        is_cmyk: Whether the channels are those of print.
        is_transparent: Whether a channel, or a color of the palette, is transparent.
    """

    coding: Coding
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    is_cmyk: bool = False
    is_transparent: bool = False

    @property
    def has_supported_channels(self) -> bool:
        """Whether there are 1, 3 or 4 channels, or 1 with transparency."""
        return self.channels in (1, 3, 4) or (self.channels == 2 and self.is_transparent)


def open_regular(path: str, max_pixels: int = MAX_PIXELS) -> FileIO:
    """Open a local file to read, without waiting if it is a pipe.

    Args:
        path: The file.
        max_pixels: Largest number of bytes, see :class:`LoadRGB`.

    Raises:
        OSError: It cannot be opened.
        UndecodableError: It is not a regular file, or too large.
    """
    file = open(path, 'rb', buffering=0, opener=_open_without_waiting)  # noqa: SIM115 — the caller closes it
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UndecodableError('it is not a regular file')
        check_file_size(status.st_size, max_pixels)
    except BaseException:
        file.close()
        raise
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would wait for one


def format_of(data: bytes) -> str:
    """Return the format of a file that begins with ``data``.

    Raises:
        UndecodableError: It is empty, or of another format.
    """
    if not data:
        raise UndecodableError('the file is empty')
    for name, beginnings in _BEGINNINGS.items():
        if data.startswith(beginnings) and (name != 'WebP' or data[8:12] == b'WEBP'):
            return name
    raise UndecodableError('it is not a JPEG, PNG, WebP, BMP, TIFF or GIF')


_BEGINNINGS = {
    'JPEG': (b'\xff\xd8',),
    'PNG': (b'\x89PNG\r\n\x1a\n',),
    'WebP': (b'RIFF',),
    'TIFF': (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'),
    'BMP': (b'BM',),
    'GIF': (b'GIF87a', b'GIF89a'),
}


def read_header(path: str) -> Header:
    """Read the header of a local file, and of most files only their first 64 KiB.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        UndecodableError: It is no image, or its header is damaged.
    """
    with open_regular(path) as file:
        data = file.read(_PREFIX)
        file_format = format_of(data)
        if file_format == 'TIFF':  # its directory is anywhere
            return read_tiff_header(_Content(file))  # type: ignore[arg-type]  # sliced like bytes
        if file_format != 'JPEG':
            return _READERS[file_format](data)
        try:
            start, _, has_scans = _read_segments(data)
        except UndecodableError:  # perhaps only because of a long EXIF segment or color profile
            start, _, has_scans = _read_segments(data + file.read())
    coding = Coding.PROGRESSIVE_JPEG if has_scans else Coding.REDUCED_JPEG
    if start.channels == 4 and not has_scans:
        coding = Coding.CMYK_JPEG
    return Header(coding, start.width, start.height, start.channels, is_cmyk=start.channels == 4)


class _Content:
    """The content of a file as slices, each of which is read when it is needed.

    A file that is mapped into memory would end the process where the disk fails or the file becomes shorter.

    Args:
        file: The file.
    """

    def __init__(self, file: FileIO) -> None:
        self._descriptor, self._size = file.fileno(), os.fstat(file.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        return os.pread(self._descriptor, max(0, stop - start), start)


def read_png_header(data: bytes) -> Header:
    """Return the header of a PNG."""
    if data[12:16] != b'IHDR' or len(data) < 26:
        raise UndecodableError('the PNG does not start with its header')
    width, height = (int.from_bytes(data[i : i + 4], 'big') for i in (16, 20))
    bits, color = data[24], data[25]
    is_transparent = color in (4, 6) or data.find(b'tRNS', 0, data.find(b'IDAT')) > 0
    coding = Coding.PNG_16 if bits == 16 else Coding.PNG
    return Header(coding, width, height, {0: 1, 4: 2, 6: 4}.get(color, 3), bits, is_transparent=is_transparent)


def read_webp_header(data: bytes) -> Header:
    """Return the header of a WebP."""
    if len(data) < 30:
        raise UndecodableError('the WebP is truncated')
    if data[12:16] == b'VP8X':
        width, height = (1 + int.from_bytes(data[i : i + 3], 'little') for i in (24, 27))
        return Header(Coding.EXTENDED_WEBP, width, height, is_transparent=bool(data[20] & 0x10))
    if data[12:16] == b'VP8L':
        bits = int.from_bytes(data[21:25], 'little')
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        return Header(Coding.WEBP, width, height, is_transparent=bool(bits >> 28 & 1))
    width, height = (int.from_bytes(data[i : i + 2], 'little') & 0x3FFF for i in (26, 28))
    return Header(Coding.WEBP, width, height)


def read_tiff_header(data: bytes) -> Header:
    """Return the header of a TIFF, of its first image."""
    tags = read_tags(data)
    width, height = tags.get(WIDTH, 0), tags.get(HEIGHT, 0)
    if min(width, height) < 1:
        raise UndecodableError('the TIFF has no width or height')
    bits, channels, kind = tags.get(BITS, 1), tags.get(SAMPLES, 1), tags.get(_PHOTOMETRIC, 0)
    coding = Coding.TIFF_16 if bits > 8 and channels > 1 else Coding.RAW
    is_cmyk = kind == _SEPARATED
    channels = 3 if kind == _PALETTE and channels == 1 else channels
    is_transparent = _EXTRA_SAMPLES in tags and not is_cmyk
    return Header(coding, width, height, channels, bits, is_cmyk, is_transparent)


def read_bmp_header(data: bytes) -> Header:
    """Return the header of a BMP."""
    if len(data) < 26:
        raise UndecodableError('the BMP is truncated')
    if data[14:18] == b'\x0c\0\0\0':
        width, height = (int.from_bytes(data[i : i + 2], 'little') for i in (18, 20))
    else:
        width, height = (abs(int.from_bytes(data[i : i + 4], 'little', signed=True)) for i in (18, 22))
    return Header(Coding.RAW, width, height)


def read_gif_header(data: bytes) -> Header:
    """Return the header of a GIF."""
    if len(data) < 10:
        raise UndecodableError('the GIF is truncated')
    width, height = (int.from_bytes(data[i : i + 2], 'little') for i in (6, 8))
    return Header(Coding.GIF, width, height)


_READERS = {'PNG': read_png_header, 'WebP': read_webp_header, 'BMP': read_bmp_header, 'GIF': read_gif_header}


class JpegHeader(NamedTuple):
    """Contents of the header of a JPEG.

    Attributes:
        channels: 1, 3 or 4.
        height: Height after the EXIF orientation is applied.
        width: Width, likewise.
        scans: Number of passes over all pixels, 0 if the file is decoded in a single one, row by row.
        orientation: The EXIF orientation, 1 to 8.
    """

    channels: int
    height: int
    width: int
    scans: int
    orientation: int


def is_jpeg(data: bytes) -> bool:
    """Return whether a file's content begins like a JPEG."""
    return data.startswith(b'\xff\xd8')


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk through the segments of a JPEG; raise an error if no end marker follows its pixels.

    OpenCV would fill missing pixels with gray. Inside the pixel data every 0xFF is escaped, so the last FF D9 of the
    file ends them. An FF D9 before them belongs to a thumbnail.
    """
    start, position, has_scans = _read_segments(data)
    if data.rfind(b'\xff\xd9') < position:
        raise UndecodableError('the JPEG is truncated (no end marker)')
    # Counted only where there are several, because that takes a while.
    return start._replace(scans=data.count(b'\xff\xda', position)) if has_scans else start


def _read_segments(data: bytes) -> tuple[JpegHeader, int, bool]:
    """Return the header without its scans, the position of the first scan, and whether there are several."""
    channels = height = width = 0
    orientation = 0
    is_progressive = False
    position = 2
    for _ in range(_MAX_SEGMENTS):
        if position + 9 >= len(data):
            raise UndecodableError('the JPEG is truncated (no pixels)')
        if data[position] != 0xFF:
            raise UndecodableError('the JPEG has a damaged header')
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            if marker > 0xC2:
                raise UndecodableError('a JPEG in lossless or arithmetic coding is not supported')
            height, width = (int.from_bytes(data[position + i : position + i + 2], 'big') for i in (5, 7))
            channels = data[position + 9]
            is_progressive = marker == 0xC2
        if marker == 0xDA:  # start of scan
            size = (width, height) if orientation >= 5 else (height, width)
            return (
                JpegHeader(channels, *size, 0, orientation or 1),
                position,
                (is_progressive or data[position + 4] < channels),
            )
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        if not orientation and data[position + 4 : position + 10] == b'Exif\0\0':
            orientation = read_orientation(data[position + 4 : end])
        position = end
    raise UndecodableError(f'the header of the JPEG has more than {_MAX_SEGMENTS} segments')


_MAX_SEGMENTS = 10_000
