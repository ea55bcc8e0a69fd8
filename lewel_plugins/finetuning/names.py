"""Files of names, one per line: of the classes, or of the images of a part."""

import os
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import show

FILES = ('classes.txt', 'labels.txt')


def read_lines(path: str | os.PathLike) -> list[str]:
    """Return the lines of a text in UTF-8 without spaces around them, and without empty ones.

    Raises:
        SetupError: It cannot be read, or is no such text.
    """
    try:
        text = Path(path).read_text(encoding='utf-8-sig')
    except OSError as error:
        raise SetupError(f'cannot read {show(path)}: {(error.strerror or str(error)).lower()}') from None
    except UnicodeDecodeError as error:
        raise SetupError(f'{show(path)} is no text in UTF-8, because of byte {error.start + 1:,}; convert it') from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_names(folder: str) -> tuple[str, ...]:
    """Return the class names in ``classes.txt`` (or ``labels.txt``) of a folder, one per line; none without the file.

    Raises:
        SetupError: The file cannot be read, is empty, or has a name twice.
    """
    path = next((path for name in FILES if os.path.isfile(path := os.path.join(folder, name))), None)
    if path is None:
        return ()
    names = read_lines(path)
    if not names:
        raise SetupError(f'{show(path)} names no classes')
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SetupError(f'{show(path)} names the class {twice!r} twice')
    return tuple(names)
