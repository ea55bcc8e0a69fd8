"""From what the user names (folders, files, a list) to the sorted paths of all images."""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.bounds import UndecodableError
from lewel_plugins.image_files.headers import open_regular
from lewel_plugins.image_files.packed import is_image_file, path_without_shard
from lewel_plugins.image_files.path_list import decode_lines, line_path
from lewel_plugins.image_files.shards import ShardError
from lewel_plugins.image_files.tree import EXTENSIONS, Tree

from .findings import Finding, plural, show

_LOOKED_AT = 10_000  # names among which a similar one is searched
_CONVERTIBLE = (
    '.heic',
    '.heif',
    '.avif',
    '.gif',
    '.jp2',
    '.jxl',
    '.psd',
    '.dng',
    '.cr2',
    '.cr3',
    '.nef',
    '.arw',
    '.raw',
)


@dataclass(frozen=True)
class Listing:
    """All images that the user has named.

    Args:
        title: The folders and files as the user named them.
        paths: Sorted paths.
        roots: The folders, by which :meth:`name` shortens paths.
        tree: What the walk has met.
    """

    title: str
    paths: list[str]
    roots: tuple[str, ...]
    tree: Tree

    def name(self, path: str) -> str:
        """Return the path of an image within its folder, or within the one that was packed."""
        path = path_without_shard(path)
        for root in self.roots:
            if path.startswith(os.path.join(root, '')):
                return path[len(os.path.join(root, '')) :]
        return path

    def draw(self, count: int) -> list[str]:
        """Draw images by the hash of their name: the same ones wherever the folder is, and a prefix of a larger draw.

        Args:
            count: How many to draw; all if there are fewer.
        """
        keys = {path: hashlib.blake2b(os.fsencode(self.name(path)), digest_size=8).digest() for path in self.paths}
        return sorted(self.paths, key=lambda path: (keys[path], path))[:count]


def check_exists(arguments: Sequence[str | os.PathLike]) -> None:
    """Refuse names of nothing before the files are listed.

    Raises:
        SetupError: One of them does not exist, or cannot be read.
    """
    for argument in arguments:
        name = os.path.expanduser(os.fspath(argument))
        _is_folder(name.rstrip(os.sep) or name)


def list_images(arguments: Sequence[str | os.PathLike]) -> Listing:
    """List all images in the folders, files and lists that the user names.

    A list is a ``.txt`` file with one path per line, relative to the folder of the list.

    Args:
        arguments: Folders, image files, lists.

    Raises:
        SetupError: One of them does not exist or cannot be read, or there are fewer than two images.
    """
    if isinstance(arguments, (str, os.PathLike)):
        arguments = [arguments]
    names = [os.path.expanduser(os.fspath(argument)) for argument in arguments]
    if not names:
        raise SetupError('no images are given; name a folder, image files, or a .txt list of them')
    names = [name.rstrip(os.sep) or name for name in names]
    folders = {name for name in names if _is_folder(name)}
    tree = Tree()
    for folder in sorted(folders, key=lambda name: (len(name), name)):  # a folder before those in it
        try:
            tree.add(folder)
        except ShardError:
            raise
        except OSError as error:
            raise SetupError(_cannot_read(error.filename or folder, error)) from None
    files = [path for name in names if name not in folders for path in _files(name)]
    known = {os.path.abspath(path) for path in tree.images} if files else set()
    unique = {os.path.abspath(path): path for path in reversed(files)}
    paths = sorted(tree.images + [path for key, path in unique.items() if key not in known])
    title = ', '.join(show(name) for name in names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')
    if not paths:
        raise SetupError(_no_images(title, tree))
    check_count(title, len(paths))
    return Listing(title, paths, tuple(sorted(folders, key=len, reverse=True)), tree)


def check_count(title: str, count: int, what: str = 'image') -> None:
    """Refuse images that cannot be compared with each other.

    Args:
        title: Where they are.
        count: How many there are.
        what: What they are called.

    Raises:
        SetupError: There are fewer than two.
    """
    if count < 2:
        number = 'one' if count else 'no'
        raise SetupError(
            f'{title} holds {number} {what}; pretraining compares images with each other and needs at least two'
        )


def listing_findings(listing: Listing) -> list[Finding]:
    """Describe what the walk has met: folders, what it skipped, images of other formats."""
    tree = listing.tree
    skipped = [
        plural(tree.hidden_folders, 'hidden folder'),
        plural(tree.hidden_files, 'hidden file'),
        plural(tree.run_folders, 'folder of a run', 'folders of runs'),
        plural(tree.repeated_folders, 'link to a folder already read', 'links to folders already read'),
        plural(tree.broken_links, 'broken link'),
    ]
    skipped = [text for text in skipped if not text.startswith('0 ')]
    findings = []
    if skipped or tree.folders > 1:
        text = f'{len(listing.paths):,} images in {plural(tree.folders, "folder")}'
        text += f'; skipped {", ".join(skipped)}' if skipped else ''
        findings.append(Finding('note', 'list', text))
    others = {extension: count for extension, count in tree.others.items() if extension in _CONVERTIBLE}
    if others:
        text = ', '.join(f'{count:,} {extension}' for extension, count in sorted(others.items()))
        findings.append(Finding('note', 'formats', f'{text} cannot be read and are left out; convert them to use them'))
    return findings


def _is_folder(name: str) -> bool:
    """Return whether the user has named a folder.

    Raises:
        SetupError: It does not exist, or cannot be read.
    """
    try:
        os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        raise SetupError(f'{show(name) or repr(name)} does not exist{did_you_mean(name)}') from None
    except (OSError, ValueError) as error:
        raise SetupError(_cannot_read(name, error)) from None
    return os.path.isdir(name)


def _files(name: str) -> list[str]:
    """Return an image file, or the files in a list."""
    lower = name.lower()
    if lower.endswith('.txt'):
        return list(_listed(name))
    if not lower.endswith(EXTENSIONS):
        raise SetupError(f'{show(name)} is not a folder, an image ({" ".join(EXTENSIONS)}) or a .txt list of images')
    return [name]


def _listed(name: str) -> Iterator[str]:
    try:
        with open_regular(name, sys.maxsize) as file:
            lines = decode_lines(file.readall())
    except (OSError, UndecodableError) as error:
        raise SetupError(_cannot_read(name, error)) from None
    folder = os.path.dirname(name)
    # ``..`` leads up from where a symbolic link to the folder leads, of which normpath knows nothing.
    real = os.path.realpath(folder)
    above = folder if real == os.path.abspath(folder) else real
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        listed = line_path(line, has_columns=False)
        path = os.path.join(above if os.pardir in listed.split(os.sep) else folder, listed)
        if not is_image_file(path):
            raise SetupError(f'line {number} of {show(name)}: {show(path)} is not a file')
        yield path


def _cannot_read(path: str, error: Exception) -> str:
    reason = str(getattr(error, 'strerror', None) or error)
    return f'cannot read {show(path)}: {reason[:1].lower()}{reason[1:]}'


def did_you_mean(name: str) -> str:
    """Return the end of an error: the name that is most like one that does not exist."""
    path = Path(name)
    existing = next((parent for parent in path.parents if os.path.exists(parent)), None)  # none above "." and "/"
    if existing is None:
        return ''
    missing, *rest = path.relative_to(existing).parts
    try:
        with os.scandir(existing) as listing:
            candidates = {entry.name.lower(): entry.name for entry in islice(listing, _LOOKED_AT)}
    except OSError:
        return ''
    matches = get_close_matches(missing.lower(), candidates, n=1)
    if not matches:
        return ''
    similar = existing / candidates[matches[0]]
    whole = similar.joinpath(*rest)
    return f'; did you mean {show(whole if os.path.exists(whole) else similar)}?'


def _no_images(title: str, tree: Tree) -> str:
    kinds = tree.others.most_common(3)
    names = [f'{count:,} {extension or "without an extension"}' for extension, count in kinds]
    convert = any(extension in _CONVERTIBLE for extension, _ in kinds)
    return (
        f'no images in {title}: looked for {" ".join(EXTENSIONS)}, found {", ".join(names) or "no files"}'
        f'{"; convert them first" if convert else ""}'
    )
