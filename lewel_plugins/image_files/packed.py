"""Read images by their path, from shards and from files alike.

A packed image has a path as if its shard were a folder, ``SHARDS/images-000000.tar/a/1.jpg``. Sorted paths thus have
the order of the files that were packed, and errors name shard and image. An image is one read at an offset. Descriptors
and indexes stay open; forked processes can use them, because no read moves a position.
"""

import io
import os
import re
import zlib
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from .shards import FOLDER_INDEX, Entry, ShardFolder, ShardIndex

_SHARD = re.compile(r'(?:^|/)images-\d{6,}\.tar(?=/)')
_OPEN = 128  # shards that a process holds open


class _Shard:
    """A shard that is open to read, until nothing refers to it."""

    def __init__(self, path: str) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def read(self, size: int, offset: int) -> bytes:
        data = os.pread(self.descriptor, size, offset)
        while 0 < len(data) < size:  # a read may end early, as at a signal
            part = os.pread(self.descriptor, size - len(data), offset + len(data))
            if not part:
                break
            data += part
        return data


class PackedImage(io.RawIOBase):
    """An image in a shard as a file.

    Args:
        shard: The shard.
        entry: The image.
    """

    def __init__(self, shard: _Shard, entry: Entry) -> None:
        self._shard, self._entry, self._position = shard, entry, 0

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self._entry.size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]  # any writable buffer
        """Read to a buffer, and return the number of bytes."""
        view = memoryview(buffer).cast('B')
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return the rest of the image; a whole one by a single read, and compared with its checksum.

        Raises:
            OSError: The shard is too short, or the checksum differs.
        """
        is_whole = self._position == 0
        data = self._read(self.size)
        if is_whole and zlib.crc32(data) != self._entry.checksum:
            raise OSError('the shard is damaged: the content has another checksum than in the index')
        return data

    def _read(self, size: int) -> bytes:
        size = max(0, min(size, self.size - self._position))
        data = self._shard.read(size, self._entry.offset + self._position)
        if len(data) < size:
            raise OSError('the shard is truncated')
        self._position += size
        return data


def _find_shard(path: str) -> re.Match | None:
    """Return the part of a path that is a shard; None if it leads through none."""
    return next((match for match in _SHARD.finditer(path) if not _is_folder(path[: match.end()])), None)


def _split(path: str) -> tuple[str, str, str] | None:
    """Return folder, shard and name of a packed image; None for another path."""
    match = _find_shard(path)
    if match is None:
        return None
    folder, shard = os.path.split(path[: match.end()])
    return folder or '.', shard, path[match.end() + 1 :]


@cache
def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


@cache
def _has_index(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, FOLDER_INDEX))


@cache
def _folder(path: str) -> ShardFolder:
    return ShardFolder.read(path)


@cache
def _index(folder: str, shard: str) -> ShardIndex:
    return _folder(folder).index(shard)


@lru_cache(_OPEN)
def _open(path: str) -> _Shard:
    return _Shard(path)


def is_packed(path: str) -> bool:
    """Return whether a path leads to an image in a shard."""
    return _find_shard(path) is not None


def path_without_shard(path: str) -> str:
    """Return the path that an image would have if its folder had not been packed."""
    match = _find_shard(path)
    return path if match is None else path[: match.start()] + path[match.end() + (not match[0].startswith('/')) :]


def file_of(path: str) -> str:
    """Return the file that holds an image: its shard, or its own one."""
    match = _find_shard(path)
    return path if match is None else path[: match.end()]


def open_image(path: str) -> io.RawIOBase:
    """Open an image to read, in a shard or a file, without waiting if that is a pipe.

    Raises:
        OSError: It cannot be opened.
    """
    parts = _split(path)
    if parts is None:
        return open(path, 'rb', buffering=0, opener=_open_without_waiting)
    folder, shard, name = parts
    entry = _index(folder, shard).find(name)
    return PackedImage(_open(os.path.join(folder, shard)), entry)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would wait for one


class ImageStatus(NamedTuple):
    """What the file system or an index records of an image.

    Attributes:
        size: Its bytes.
        time: When its file, or its shard, was last changed, in nanoseconds.
    """

    size: int
    time: int


def image_status(path: str) -> ImageStatus:
    """Return size and time of an image, in a shard or a file.

    Raises:
        OSError: There is no such image.
    """
    parts = _split(path)
    if parts is None:
        status = os.stat(path)
        return ImageStatus(status.st_size, status.st_mtime_ns)
    folder, shard, name = parts
    size = _index(folder, shard).find(name).size
    return ImageStatus(size, os.stat(os.path.join(folder, shard)).st_mtime_ns)


def is_image_file(path: str) -> bool:
    """Return whether an image is there, in a shard or as a regular file."""
    if not is_packed(path):
        return os.path.isfile(path)
    try:
        image_status(path)
    except OSError:
        return False
    return True


def find_image(folder: str, name: str) -> str | None:
    """Return the path of an image by its name in a folder of files or of shards; None if there is none."""
    path = os.path.normpath(os.path.join(folder, name))
    if is_image_file(path):
        return path
    if not _has_index(folder):
        return None
    shards, name = _folder(folder).shards, os.path.normpath(name)
    # A shard without a readable image has no first one.
    shard = next((each for each in reversed(shards) if shards[each].images and shards[each].first <= name), None)
    path = os.path.normpath(os.path.join(folder, shard or '', name))
    return path if shard and is_image_file(path) else None


def packed_images(path: str, has_shards: bool = True) -> Iterator[tuple[str, int | None]]:
    """Yield path and class of each image in a folder of shards, sorted.

    Args:
        path: The folder.
        has_shards: Whether all shards have to be there.

    Raises:
        ShardError: A shard or its index is missing, or not the one that was packed.
    """
    for known in (_is_folder, _has_index, _folder, _index, _open):
        known.cache_clear()  # the folder may have been packed anew
    folder = _folder(path)
    for shard in folder.shards:
        if has_shards:
            folder.check(shard)
        for entry in _index(path, shard):
            yield os.path.join(path, shard, entry.name), entry.label
