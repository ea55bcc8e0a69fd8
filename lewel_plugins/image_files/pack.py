"""Pack images into shards, see :mod:`shards`."""

import io
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lewel_plugins.files import replacing, write_bytes, write_json

from .inspection import content_digest
from .packed import open_image
from .path_list import encode_lines
from .shards import FOLDER_INDEX, Entry, ShardFacts, ShardFolder, ShardIndex, index_lines, index_name, shard_name

_BLOCK = tarfile.BLOCKSIZE


class Source(NamedTuple):
    """An image to pack.

    Attributes:
        path: Where it is.
        name: Its path within the folder.
        size: Its bytes.
        label: Number of its class; None without one.
    """

    path: str
    name: str
    size: int
    label: int | None = None


class _Member(NamedTuple):
    """What a shard should hold: a member, its checksum, and the image that it is; None for a class."""

    name: str
    checksum: int
    source: Source | None


def member_names(names: Sequence[str]) -> list[str]:
    """Return the names that images have in a shard.

    WebDataset takes what comes before the first dot of a base name as the key of a sample, and all members of a key as
    one sample. So a base name that has a dot before its extension, or a key that another image in its folder has, is a
    key as a whole, with ``%2E`` for each dot: ``a.b.jpg`` is ``a%2Eb%2Ejpg.jpg``.

    Args:
        names: Paths of all images of a folder, within it.
    """
    keys = Counter(os.path.splitext(name)[0] for name in names)
    return [_member_name(name, keys[os.path.splitext(name)[0]] > 1) for name in names]


def _member_name(name: str, is_shared: bool) -> str:
    folder, base = os.path.split(name)
    stem, extension = os.path.splitext(base)
    if is_shared or '.' in stem or '%' in base:
        stem = base.replace('%', '%25').replace('.', '%2E')
    return os.path.join(folder, stem + extension)


def cut(sources: Sequence[Source], shard_size: int) -> list[list[Source]]:
    """Divide images into shards of about ``shard_size`` bytes, each of which has at least one.

    Args:
        sources: The images, sorted.
        shard_size: Most bytes of a shard, but for very long names and a larger image.
    """
    parts: list[list[Source]] = []
    used = shard_size
    for source in sources:
        size = _BLOCK + -(-source.size // _BLOCK) * _BLOCK + (0 if source.label is None else 2 * _BLOCK)
        if used + size > shard_size:
            parts.append([])
            used = 0
        parts[-1].append(source)
        used += size
    return parts


def is_written(folder: Path, number: int, sources: Iterable[Source]) -> bool:
    """Return whether a shard is there with these images.

    Args:
        folder: The folder of the shards.
        number: Number of the shard.
        sources: The images.
    """
    shard = shard_name(number)
    try:
        index = ShardIndex((folder / index_name(shard)).read_bytes())
        if index.shard != shard or (folder / shard).stat().st_size != index.bytes:
            return False
        wanted = [(source.name, source.size, source.label) for source in sources]
        return [(entry.name, entry.size, entry.label) for entry in index] == wanted
    except (OSError, ValueError):
        return False


def write_shard(
    folder: Path, number: int, sources: Sequence[Source], members: Sequence[str], report: Callable[[], None]
) -> list[str]:
    """Write a shard and its index, and read the shard again before it gets its name.

    Args:
        folder: The folder of the shards.
        number: Number of the shard.
        sources: The images.
        members: Their names in the shard.
        report: Is called after each image; may raise an error to stop.

    Returns:
        Images that cannot be read and are left out, with the reason.

    Raises:
        OSError: The shard cannot be written, or does not hold what was written to it.
    """
    shard = shard_name(number)
    (folder / index_name(shard)).unlink(missing_ok=True)
    problems: list[str] = []
    written: list[_Member] = []
    with replacing(folder / shard) as partial:
        with tarfile.open(partial, 'w', format=tarfile.PAX_FORMAT) as tar:
            for source, name in zip(sources, members):
                try:
                    with open_image(source.path) as file:
                        data = file.readall()
                except OSError as error:
                    problems.append(f'{source.name}: cannot be read ({error.strerror or error})')
                else:
                    written.append(_add(tar, name, data, source))
                    if source.label is not None:
                        label = str(source.label).encode()
                        written.append(_add(tar, f'{os.path.splitext(name)[0]}.cls', label, None))
                report()
        entries = _verified(partial, written)
        size = partial.stat().st_size
    write_bytes(folder / index_name(shard), encode_lines(index_lines(shard, size, entries)))
    return problems


def _add(tar: tarfile.TarFile, name: str, data: bytes, source: Source | None) -> _Member:
    info = tarfile.TarInfo(name)  # without times and owners: the same images give the same shard
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
    return _Member(name, zlib.crc32(data), source)


def _verified(shard: Path, members: Sequence[_Member]) -> list[Entry]:
    """Read a shard and return where its images are.

    Raises:
        OSError: A member is missing, or its content has changed.
    """
    entries = []
    _forget(shard)
    with tarfile.open(shard, 'r:') as tar:
        for info, member in zip(tar, members):
            content = tar.extractfile(info)
            if info.name != member.name or content is None or zlib.crc32(content.read()) != member.checksum:
                raise OSError(f'{shard} does not hold what was written to it, at {info.name}')
            if member.source is not None:
                name, label = member.source.name, member.source.label
                entries.append(Entry(name, info.offset_data, info.size, member.checksum, label))
        if len(tar.getmembers()) != len(members):
            raise OSError(f'{shard} does not hold all that was written to it')
    return entries


def _forget(file: Path) -> None:
    """Have the system read a file from the disk next time."""
    with file.open('rb') as opened:
        os.fsync(opened.fileno())
        if hasattr(os, 'posix_fadvise'):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_folder_index(folder: Path, count: int, classes: Sequence[str]) -> int:
    """Write the index of a folder from those of its shards, and return the number of images.

    Args:
        folder: The folder of the shards.
        count: Number of shards.
        classes: Names of the classes; empty without labels.
    """
    shards = {}
    for shard in map(shard_name, range(count)):
        content = (folder / index_name(shard)).read_bytes()
        index = ShardIndex(content)
        first = index[0].name if len(index) else ''
        shards[shard] = ShardFacts(index.bytes, len(index), first, content_digest(content))
    write_json(folder / FOLDER_INDEX, ShardFolder(str(folder), shards, tuple(classes)).as_json())
    return sum(facts.images for facts in shards.values())
