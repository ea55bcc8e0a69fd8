"""A file with the names of the classes."""

import os
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import show

FILES = ('classes.txt', 'labels.txt')


def read_names(folder: str) -> tuple[str, ...]:
    """Return the class names in ``classes.txt`` (or ``labels.txt``) of a folder, one per line; none without the file.

    Raises:
        SetupError: The file is empty, or has a name twice.
    """
    path = next((path for name in FILES if os.path.isfile(path := os.path.join(folder, name))), None)
    if path is None:
        return ()
    names = [line.strip() for line in Path(path).read_text(encoding='utf-8-sig').splitlines() if line.strip()]
    if not names:
        raise SetupError(f'{show(path)} names no classes')
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SetupError(f'{show(path)} names the class {twice!r} twice')
    return tuple(names)
