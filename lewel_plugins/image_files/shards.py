"""The format of shards, into which images are packed.

A shard is a tar file in WebDataset's format, ``images-000000.tar``, beside its index, ``images-000000.index``. The
index has a line with name and bytes of the shard, and one per image in sorted order: name, offset and size of the
content in bytes, its CRC-32, and the number of its class or nothing, with tabs in between. :data:`FOLDER_INDEX`, which
is written last, describes all shards of a folder. They follow the order of the sorted names of the images.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json

from .inspection import content_digest
from .path_list import line_path, path_line

FOLDER_INDEX = 'image_shards.json'
FORMAT, VERSION = 'lewel_plugins image shards', 1
SETTINGS = 'pack_images.json'  # in a folder from the start of packing


class ShardError(SetupError, OSError):
    """Shards that cannot be read. It counts as an error of a file where files are read."""


class Entry(NamedTuple):
    """A packed image.

    Attributes:
        name: Path of the file that was packed, within its folder.
        offset: Where its content starts in the shard.
        size: Its bytes.
        checksum: CRC-32 of its content.
        label: Number of its class; None without one.
    """

    name: str
    offset: int
    size: int
    checksum: int
    label: int | None = None


def shard_name(number: int) -> str:
    """Return the name of the file of a shard."""
    return f'images-{number:06}.tar'


def index_name(shard: str) -> str:
    """Return the name of the index of a shard."""
    return f'{shard.removesuffix(".tar")}.index'


def index_lines(shard: str, size: int, entries: Sequence[Entry]) -> list[str]:
    """Return the lines of the index of a shard.

    Args:
        shard: Name of the shard.
        size: Its bytes.
        entries: Its images, sorted.
    """
    rows = ((*entry[:3], f'{entry.checksum:08x}', '' if entry.label is None else entry.label) for entry in entries)
    return [path_line(shard, size), *(path_line(*row) for row in rows)]


class ShardIndex(Sequence[Entry]):
    """The images of a shard; about 60 bytes of memory for each.

    Args:
        content: Content of the index.

    Raises:
        ValueError: It is no index.
    """

    def __init__(self, content: bytes) -> None:
        starts = array('q')
        position = 0
        while end := content.find(b'\n', position) + 1:
            starts.append(position)
            position = end
        if not starts or position != len(content):
            raise ValueError('it ends within a line')
        self._content, self._starts = content, starts
        starts.append(position)
        shard, size = self._line(0).rsplit('\t', 1)
        self.shard, self.bytes = line_path(shard), int(size)
        self._next = 0

    def __len__(self) -> int:
        return len(self._starts) - 2

    def __getitem__(self, number: int) -> Entry:  # type: ignore[override]  # no slices
        if not 0 <= number < len(self):
            raise IndexError(number)
        line = self._line(number + 1)
        name, offset, size, checksum, label = line.rsplit('\t', 4)
        return Entry(line_path(name), int(offset), int(size), int(checksum, 16), int(label) if label else None)

    def _name(self, number: int) -> str:
        return line_path(self._line(number + 1))

    def _line(self, number: int) -> str:
        return os.fsdecode(self._content[self._starts[number] : self._starts[number + 1] - 1])

    def find(self, name: str) -> Entry:
        """Return an image by its name.

        Raises:
            FileNotFoundError: There is none of this name.
        """
        number = self._next  # as in a walk through all images
        if number >= len(self) or self._name(number) != name:
            number = bisect_left(range(len(self)), name, key=self._name)
        if number < len(self) and self._name(number) == name:
            self._next = number + 1
            return self[number]
        raise FileNotFoundError(2, 'no image of this name in the shard', name)


class ShardFacts(NamedTuple):
    """What the index of a folder records of a shard.

    Attributes:
        bytes: Size of the shard.
        images: Number of images in it.
        first: Name of the first one.
        digest: Digest of the content of its index.
    """

    bytes: int
    images: int
    first: str
    digest: str


@dataclass(frozen=True)
class ShardFolder:
    """A folder of shards.

    Args:
        path: The folder.
        shards: The shards by name, sorted.
        classes: Names of the classes; empty without labels.
    """

    path: str
    shards: dict[str, ShardFacts]
    classes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str) -> 'ShardFolder':
        """Read the index of a folder.

        Raises:
            ShardError: It is missing, damaged, or of another version.
        """
        file = os.path.join(path, FOLDER_INDEX)
        if not os.path.exists(file):
            if os.path.exists(os.path.join(path, SETTINGS)):
                raise ShardError(f'{path} is not packed to the end: run tools/data/pack_images.py again')
            raise ShardError(f'{path} has no {FOLDER_INDEX}, which tools/data/pack_images.py writes')
        content = read_json(file)
        if not isinstance(content, dict) or content.get('format') != FORMAT:
            raise ShardError(f'{file} is damaged: run tools/data/pack_images.py again, or copy it again')
        if content.get('version') != VERSION:
            raise ShardError(f'{file} has version {content.get("version")}, but {VERSION} is read here: pack again')
        try:
            shards = {name: ShardFacts(**facts) for name, facts in content['shards'].items()}
            return cls(path, shards, tuple(content['classes']))
        except (KeyError, TypeError, AttributeError):
            raise ShardError(f'{file} is damaged: run tools/data/pack_images.py again, or copy it again') from None

    def as_json(self) -> dict:
        """Return the content of the index of the folder."""
        shards = {name: facts._asdict() for name, facts in self.shards.items()}
        return dict(format=FORMAT, version=VERSION, classes=list(self.classes), shards=shards)

    def check(self, shard: str) -> None:
        """Check that a shard is there, as a whole.

        Raises:
            ShardError: It is missing, or has another size.
        """
        path = os.path.join(self.path, shard)
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise ShardError(f'{path} cannot be read, but {FOLDER_INDEX} names it: {error.strerror}') from None
        if size != self.shards[shard].bytes:
            raise ShardError(
                f'{path} has {size:,} bytes, but {self.shards[shard].bytes:,} by {FOLDER_INDEX}: it is truncated or '
                'another file'
            )

    def index(self, shard: str) -> ShardIndex:
        """Read the index of a shard.

        Raises:
            ShardError: It is missing, or not the one that the folder was packed with.
        """
        path = os.path.join(self.path, index_name(shard))
        try:
            with open(path, 'rb') as file:
                content = file.read()
        except OSError as error:
            raise ShardError(f'{path} cannot be read: {error.strerror}') from None
        if shard not in self.shards or content_digest(content) != self.shards[shard].digest:
            raise ShardError(f'{path} is not the index that {FOLDER_INDEX} was written with: copy the folder again')
        return ShardIndex(content)
