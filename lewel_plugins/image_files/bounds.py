"""Bounds on image files, checked before their pixels are decoded.

The time and memory of a decoder depend on what the header of a file announces, and a file of a few kilobytes can
announce gigabytes. With the default bound, no file keeps a worker busy for 2 s or takes 500 MB
(``tools/measurements/image_bounds.py``).
"""

import struct
from enum import Enum

MAX_PIXELS = 89_478_485  # Pillow's own bound, from which it warns of a decompression bomb
_MAX_TAG_BYTES = 16 * 2**20
_MAX_TAG_NUMBERS = 100_000
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: 'B', 3: 'H', 4: 'I', 6: 'b', 8: 'h', 9: 'i', 13: 'I', 16: 'Q', 17: 'q', 18: 'Q'}
_ORIENTATION = 0x112
_DIRECTORIES, _INTEROPERABILITY = (0x8769, 0x8825, 0xA005), 0xA005  # EXIF, GPS
_MAX_TAGS = 65_535


class UndecodableError(Exception):
    """Content that cannot be decoded; the path of the file is not known where this is raised."""


class Coding(Enum):
    """A way of coding pixels: its name in errors, and the share of ``max_pixels`` that may be decoded from it.

    The shares follow from the memory and the time per pixel of the decoders.
    """

    REDUCED_JPEG = 'a JPEG at reduced size', 1.0
    JPEG = 'a JPEG', 2 / 3
    PROGRESSIVE_JPEG = 'a progressive JPEG', 1 / 5
    CMYK_JPEG = 'a CMYK JPEG', 1 / 4
    PNG = 'a PNG', 3 / 10
    PNG_16 = 'a 16-bit PNG', 1 / 6
    WEBP = 'a WebP', 1 / 4
    EXTENDED_WEBP = 'a WebP with metadata, transparency or animation', 1 / 8
    RAW = 'a BMP or TIFF', 1 / 3
    GIF = 'a GIF', 1 / 3
    TIFF_16 = 'a 16-bit color TIFF', 1 / 8


def pixel_limit(coding: Coding, max_pixels: int = MAX_PIXELS) -> int:
    """Return how many pixels are decoded at most from files of a kind."""
    return int(coding.value[1] * max_pixels)


def check_pixels(coding: Coding, height: int, width: int, max_pixels: int) -> None:
    """Raise UndecodableError if an image has more pixels than are decoded from files of its kind."""
    name, limit = coding.value[0], pixel_limit(coding, max_pixels)
    if height * width > limit:
        raise UndecodableError(
            f'{width} x {height} = {height * width} pixels are too many: at most {limit} are decoded from {name} '
            f'(max_pixels = {max_pixels})'
        )


def check_file_size(size: int, max_pixels: int) -> None:
    """Raise UndecodableError if a file has more bytes than ``max_pixels``."""
    if size > max_pixels:
        raise UndecodableError(f'a file of {size} bytes is too large: at most {max_pixels} are read (max_pixels)')


def check_scans(scans: int, height: int, width: int, max_pixels: int) -> None:
    """Raise UndecodableError if a progressive JPEG has so many scans that decoding takes long.

    A scan may have 20 bytes, and each one is a pass over all pixels. Usual files have up to ten.
    """
    limit = 10 * max_pixels // max(height * width, 10_000)
    if scans > limit:
        raise UndecodableError(
            f'a JPEG of {width} x {height} pixels in {scans} scans takes too long to decode: at most {limit} scans'
        )


def read_tags(data: bytes) -> dict[int, int]:
    """Return the first number of each tag in the first directory of a TIFF file or EXIF segment.

    A directory may have 65,535 tags that all refer to the same megabytes, and Pillow copies each of them, as well as
    those of the directories of EXIF and GPS. Tags that are not integers are left out.

    Raises:
        UndecodableError: If the directory is damaged, or its values are too large.
    """
    try:
        order = {b'II': '<', b'MM': '>'}[bytes(data[:2])]
        is_big = {42: False, 43: True}[struct.unpack(f'{order}H', data[2:4])[0]]
        directory = _Directory(data, order, is_big)
        tags = directory.read(directory.number(8 if is_big else 4))
        for tag in _DIRECTORIES:
            if tag in tags:
                further = directory.read(tags[tag])
                if _INTEROPERABILITY in further:
                    directory.read(further[_INTEROPERABILITY])
        return tags
    except (KeyError, OverflowError, struct.error):
        raise UndecodableError('its directory of tags is damaged') from None


class _Directory:
    """Reads directories of tags, whose values together must not be too large.

    Args:
        data: The content of a file.
        order: Byte order, as in :mod:`struct`.
        is_big: Whether the file is a BigTIFF.
    """

    def __init__(self, data: bytes, order: str, is_big: bool) -> None:
        self._data, self._order = data, order
        self._number = 'Q' if is_big else 'I'
        self._count = struct.Struct(order + ('Q' if is_big else 'H'))
        self._entry = struct.Struct(f'{order}HH{self._number}')
        self._total = 0

    def number(self, position: int, kind: str = '') -> int:
        return self._unpack(struct.Struct(self._order + (kind or self._number)), position)[0]

    def _unpack(self, form: struct.Struct, position: int) -> tuple[int, ...]:
        return form.unpack(self._data[position : position + form.size])

    def read(self, position: int) -> dict[int, int]:
        """Return the first number of each tag."""
        (entries,) = self._unpack(self._count, position)
        first = position + self._count.size
        inline = struct.calcsize(self._number)
        step = self._entry.size + inline
        end = min(first + min(entries, _MAX_TAGS) * step, len(self._data) - step + 1)
        tags: dict[int, int] = {}
        for start in range(first, end, step):
            tag, kind, count = self._unpack(self._entry, start)
            size = self._add(tag, kind, count)
            if kind in _INTEGERS and count:
                place = start + self._entry.size
                value = self.number(self.number(place) if size > inline else place, _INTEGERS[kind])
                tags[tag] = max(value, tags.get(tag, value))  # decoders differ in which of two equal tags counts
        return tags

    def _add(self, tag: int, kind: int, count: int) -> int:
        """Return the size of a value in bytes, and add it to the total."""
        unit = _TYPE_SIZES.get(kind, 8)
        self._total += count * unit
        if self._total > _MAX_TAG_BYTES or (unit > 1 and count > _MAX_TAG_NUMBERS):
            raise UndecodableError(f'its tags are too large: {count} values of tag {tag}')
        return count * unit


def read_orientation(exif: bytes) -> int:
    """Return the orientation of an EXIF segment, 1 to 8, or 1 for a damaged segment.

    From 5 on, height and width are exchanged.
    """
    try:
        orientation = read_tags(exif.removeprefix(b'Exif\0\0')).get(_ORIENTATION, 1)
    except UndecodableError:
        return 1
    return orientation if orientation in range(1, 9) else 1
