"""The folder that a tool makes from a folder of images, and completes after an interruption."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import leftovers, read_json, write_json, write_text

LISTING = 'broken_images.txt'
LOCK = '.lock'


def check_apart(source: Path, target: Path) -> None:
    """Check that both may be folders, of which none lies in the other.

    Raises:
        SetupError: They may not.
    """
    for path in (source, target):
        if path.exists() and not path.is_dir() or path is source and not path.exists():
            raise SetupError(f'{path} is not a folder')
    inner, outer = target.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise SetupError(f'{target} must lie outside {source}, and vice versa')


@contextmanager
def claimed(target: Path, name: str, settings: Mapping[str, Any]) -> Iterator[int]:
    """Hold the target folder for this process, with the settings recorded and without what a killed run has left.

    Args:
        target: The folder.
        name: Name of the file of the settings.
        settings: The settings.

    Yields:
        The descriptor of the lock, which forked processes inherit and have to close, or they hold the folder as well.

    Raises:
        SetupError: Another process writes to the folder, or it has other settings, or belongs to something else.
    """
    target.mkdir(parents=True, exist_ok=True)
    with open(target / LOCK, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(f'another process writes to {target}; wait for its end') from None
        try:
            _claim(target, name, settings)
        except SetupError:
            if not (target / name).exists():  # the folder belongs to something else
                (target / LOCK).unlink()
            raise
        _remove_leftovers(target)  # after the lock, for they are those of no live process
        yield file.fileno()


def _claim(target: Path, name: str, settings: Mapping[str, Any]) -> None:
    path = target / name
    if path.is_file():
        existing = read_json(path)
        if existing != settings:
            raise SetupError(f'{target} was made with {existing}, not with {settings}: choose another folder')
    elif any(file.name != LOCK for file in target.iterdir()):
        raise SetupError(f'{target} is not empty and has no {name} of an earlier run')
    else:
        write_json(path, settings)


def _remove_leftovers(target: Path) -> None:
    for folder, _, _ in os.walk(target):
        for file in leftovers(folder, '.'):
            if file.name.startswith('.'):  # a visible one is a copy of a user's file
                file.unlink()


def write_listing(target: Path, problems: Sequence[str]) -> None:
    """List the files that are left out, with the reason; without any, remove the list of an earlier run.

    Raises:
        SetupError: There are some.
    """
    listing = target / LISTING
    listing.unlink(missing_ok=True)
    if problems:
        write_text(listing, '\n'.join([*sorted(problems), '']))
        raise SetupError(f'{len(problems)} files are broken and left out, see {listing}')
