"""What the header of an image file announces: coding, size, channels, bits. Pixels are not decoded."""

import os
import stat
import zlib
from io import RawIOBase
from typing import NamedTuple

from .bounds import MAX_PIXELS, Coding, UndecodableError, check_file_size, read_orientation, read_tags
from .packed import PackedImage, open_image

_PREFIX = 2**16  # bytes that hold nearly every header but those of TIFF
WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, _EXTRA_SAMPLES = 256, 257, 258, 262, 274, 277, 338
_PALETTE, _SEPARATED = 3, 5


class Header(NamedTuple):
    """What the header of a file announces.

    Attributes:
        coding: How the pixels are coded, which bounds their number.
        width: Width after the EXIF orientation is applied.
        height: Height, likewise.
        channels: Number of channels; those of the palette if there is one.
        bits: Bits per channel.
        is_cmyk: Whether the channels are those of print.
        is_transparent: Whether a channel, or a color of the palette, is transparent.
        orientation: The EXIF orientation, 1 to 8. From 5 on, it exchanges width and height.
    """

    coding: Coding
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    is_cmyk: bool = False
    is_transparent: bool = False
    orientation: int = 1

    def turned(self, orientation: int) -> 'Header':
        """Return the header after an EXIF orientation is applied; any other number than 1 to 8 counts as 1."""
        if orientation not in range(1, 9):
            return self
        size = (self.height, self.width) if orientation >= 5 else (self.width, self.height)
        return self._replace(width=size[0], height=size[1], orientation=orientation)

    @property
    def has_supported_channels(self) -> bool:
        """Whether there are 1, 3 or 4 channels, or 1 with transparency."""
        return self.channels in (1, 3, 4) or (self.channels == 2 and self.is_transparent)


def open_regular(path: str, max_pixels: int = MAX_PIXELS) -> RawIOBase:
    """Open a local file, or an image in a shard, to read, without waiting if it is a pipe.

    Args:
        path: The file.
        max_pixels: Largest number of bytes, see :class:`LoadRGB`.

    Raises:
        OSError: It cannot be opened.
        UndecodableError: It is not a regular file, or too large.
    """
    file = open_image(path)
    try:
        if isinstance(file, PackedImage):
            check_file_size(file.size, max_pixels)
        else:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UndecodableError('it is not a regular file')
            check_file_size(status.st_size, max_pixels)
    except BaseException:
        file.close()
        raise
    return file


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


def read_header(path: str, reads_end: bool = False) -> Header:
    """Read the header of a local file, and of most files only their first 64 KiB.

    Args:
        path: The file.
        reads_end: Whether to look for the orientation of a PNG at the end of the file as well, where few have it.

    Raises:
        OSError: It cannot be read.
        UndecodableError: It is no image, or its header is damaged.
    """
    with open_regular(path) as file:
        data = file.read(_PREFIX) or b''
        file_format = format_of(data)
        if file_format == 'TIFF':  # its directory is anywhere
            return read_tiff_header(_Content(file))  # type: ignore[arg-type]  # sliced like bytes
        if file_format == 'WebP':  # its EXIF is behind the pixels
            return read_webp_header(_Content(file))  # type: ignore[arg-type]
        if file_format == 'PNG' and reads_end:
            content = _Content(file)
            return read_png_header(data + content[max(len(data), len(content) - _PREFIX) : len(content)])
        if file_format != 'JPEG':
            return _READERS[file_format](data)
        try:
            start, _, has_scans = _read_segments(data)
        except UndecodableError:  # perhaps only because of a long EXIF segment or color profile
            start, _, has_scans = _read_segments(data + file.readall())
    coding = Coding.PROGRESSIVE_JPEG if has_scans else Coding.REDUCED_JPEG
    if start.channels == 4 and not has_scans:
        coding = Coding.CMYK_JPEG
    return Header(
        coding, start.width, start.height, start.channels, is_cmyk=start.channels == 4, orientation=start.orientation
    )


class _Content:
    """The content of a file as slices, each of which is read when it is needed.

    A file that is mapped into memory would end the process where the disk fails or the file becomes shorter.

    Args:
        file: The file.
    """

    def __init__(self, file: RawIOBase) -> None:
        self._file, self._size = file, file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start)) or b''


def read_png_header(data: bytes) -> Header:
    """Return the header of a PNG."""
    if data[12:16] != b'IHDR' or len(data) < 26:
        raise UndecodableError('the PNG does not start with its header')
    width, height = (int.from_bytes(data[i : i + 4], 'big') for i in (16, 20))
    bits, color = data[24], data[25]
    is_transparent = color in (4, 6) or data.find(b'tRNS', 0, data.find(b'IDAT')) > 0
    coding = Coding.PNG_16 if bits == 16 else Coding.PNG
    header = Header(coding, width, height, {0: 1, 4: 2, 6: 4}.get(color, 3), bits, is_transparent=is_transparent)
    return header.turned(read_orientation(_png_exif(data)))


def _png_exif(data: bytes) -> bytes:
    """Return the EXIF of a PNG, from its own chunk or, as ImageMagick writes it, from digits in a text chunk."""
    position = data.find(b'eXIf')
    if position > 0:
        return data[position + 4 : position + 4 + int.from_bytes(data[position - 4 : position], 'big')]
    position = data.find(b'Raw profile type exif\0')
    if position < 8:
        return b''
    end = position + int.from_bytes(data[position - 8 : position - 4], 'big')
    text = data[position + 22 : min(end, position + _MAX_EXIF)]
    try:
        if data[position - 4 : position] == b'zTXt':
            text = zlib.decompressobj().decompress(text[1:], _MAX_EXIF)
        return bytes.fromhex(b''.join(text.split(b'\n')[3:]).decode())
    except (zlib.error, ValueError):
        return b''


_MAX_EXIF = 2**20  # bytes; Pillow's bound on a text, too


def read_webp_header(data: bytes) -> Header:
    """Return the header of a WebP."""
    if len(data) < 30:
        raise UndecodableError('the WebP is truncated')
    start = data[:30]
    if start[12:16] == b'VP8X':
        width, height = (1 + int.from_bytes(start[i : i + 3], 'little') for i in (24, 27))
        header = Header(Coding.EXTENDED_WEBP, width, height, is_transparent=bool(start[20] & 0x10))
        return header.turned(read_orientation(_webp_exif(data)) if start[20] & 0x08 else 1)
    if start[12:16] == b'VP8L':
        bits = int.from_bytes(start[21:25], 'little')
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        return Header(Coding.WEBP, width, height, is_transparent=bool(bits >> 28 & 1))
    width, height = (int.from_bytes(start[i : i + 2], 'little') & 0x3FFF for i in (26, 28))
    return Header(Coding.WEBP, width, height)


def _webp_exif(data: bytes) -> bytes:
    """Return the EXIF of a WebP; of an animation with very many frames none, because it is behind them."""
    position = 12
    for _ in range(_MAX_SEGMENTS):
        chunk = data[position : position + 8]
        size = int.from_bytes(chunk[4:], 'little')
        if len(chunk) < 8 or chunk[:4] == b'EXIF':
            return data[position + 8 : position + 8 + min(size, _MAX_EXIF)]
        position += 8 + size + size % 2
    return b''


def read_tiff_header(data: bytes) -> Header:
    """Return the header of a TIFF, of its first image."""
    tags = read_tags(data)
    width, height = tags.get(WIDTH, 0), tags.get(HEIGHT, 0)
    if min(width, height) < 1:
        raise UndecodableError('the TIFF has no width or height')
    bits, channels, kind = tags.get(BITS, 1), tags.get(SAMPLES, 1), tags.get(PHOTOMETRIC, 0)
    coding = Coding.TIFF_16 if bits > 8 and channels > 1 else Coding.RAW
    is_cmyk = kind == _SEPARATED
    channels = 3 if kind == _PALETTE and channels == 1 else channels
    is_transparent = _EXTRA_SAMPLES in tags and not is_cmyk
    header = Header(coding, width, height, channels, bits, is_cmyk, is_transparent)
    return header.turned(tags.get(ORIENTATION, 1))


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
