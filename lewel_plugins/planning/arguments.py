"""Arguments of the commands and functions: of the right kind, and within their bounds."""

import math
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.running.setting_text import split_setting

from .findings import show

_LONGEST = 255  # bytes of the name of a file


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number.

    Args:
        name: What the user calls it.
        value: What the user gives.
        least: The least that is accepted.
        most: The most that is accepted; None for any.

    Raises:
        SetupError: It is another kind of value, or out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise SetupError(f'{name} must be a whole number, got {value!r}')
    if number < least:
        raise SetupError(f'{name} must be at least {least:,}, got {number}')
    if most is not None and number > most:
        raise SetupError(f'{name} must be at most {most:,}, got {number}')
    return number


def positive_number(name: str, value: Any) -> float:
    """Return a finite number above 0.

    Args:
        name: What the user calls it.
        value: What the user gives.

    Raises:
        SetupError: It is none.
    """
    if isinstance(value, (bool, str)) or not hasattr(value, '__float__'):
        raise SetupError(f'{name} must be a number, got {value!r}')
    number = float(value)
    if not number > 0:
        raise SetupError(f'{name} must be positive, got {number:g}')
    if math.isinf(number):
        raise SetupError(f'{name} must be finite, got {number:g}')
    return number


def path_text(name: str, value: Any) -> str:
    """Return the path that a user gives, as a text; ``~`` at its start becomes the home folder, as in a shell.

    Args:
        name: What the user calls it.
        value: A text or a path.

    Raises:
        SetupError: It is neither, is empty, too long, or holds a character that no path has.
    """
    try:
        text = os.fsdecode(value)
    except TypeError:
        raise SetupError(f'{name} must be a path, got {value!r}') from None
    if not text:
        raise SetupError(f'{name} must not be empty')
    if '\0' in text:
        raise SetupError(f'{name} {show(text)} holds a null character')
    if any(len(os.fsencode(part)) > _LONGEST for part in text.split(os.sep)):
        raise SetupError(f'{name} {show(text[:40])}… is too long for the name of a file')
    return os.path.expanduser(text)


def same_place(first: Any, second: Any) -> bool:
    """Return whether two paths, or lists of paths, lead to the same files, however they are written.

    Args:
        first: A path, a list of them, or None. What is no path (an address, ``torchvision:…``, ``random``) is compared
            as a text.
        second: The same.
    """
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same_place, first, second))
    if not isinstance(first, str) or not isinstance(second, str):
        return bool(first == second)
    return first == second or not (_is_no_path(first) or _is_no_path(second)) and _place(first) == _place(second)


def seen_from(folder: str | os.PathLike, value: Any) -> Any:
    """Return a relative path, or a list of paths, as seen from a folder instead of the working folder.

    Args:
        folder: The folder, which is no link.
        value: A path, a list of them, or None. Absolute paths, and what is no path, stay as they are.
    """
    return _each_relative(value, lambda path: os.path.join(os.path.relpath(os.getcwd(), folder), path))


def place_from(folder: str | os.PathLike, value: Any) -> Any:
    """Return where the paths lead that :func:`seen_from` has made relative to a folder."""
    return _each_relative(value, lambda path: os.path.realpath(os.path.join(folder, path)))


def _each_relative(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_each_relative(each, change) for each in value]
    is_relative = isinstance(value, str) and not _is_no_path(value) and not os.path.isabs(value)
    return change(value) if is_relative else value


def _is_no_path(text: str) -> bool:
    return text == 'random' or text.startswith(('random:', 'torchvision:')) or '://' in text


def _place(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def optional_path(name: str, value: Any) -> str | None:
    """Return a path as :func:`path_text` does, or None for None."""
    return None if value is None else path_text(name, value)


def path_list(name: str, value: Any) -> tuple[str, ...]:
    """Return the paths that a user gives, one or several.

    Args:
        name: What the user calls them.
        value: A text or a path, or several.

    Raises:
        SetupError: They are none.
    """
    if isinstance(value, (str, bytes, os.PathLike)):
        return (path_text(name, value),)
    try:
        values = list(value)
    except TypeError:
        raise SetupError(f'{name} must be a path or several, got {value!r}') from None
    if not values:
        raise SetupError(f'{name}: no path is given')
    return tuple(path_text(name, each) for each in values)


def settings_of(value: Any) -> tuple[str, ...]:
    """Return the settings of ``--set``.

    Args:
        value: Texts ``KEY=VALUE``, or None for none.

    Raises:
        SetupError: They are none.
    """
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise SetupError(f"overrides must be a list of texts such as ['optim_wrapper.optimizer.lr=0.1'], got {value!r}")
    for each in value:
        split_setting(each, '--set')
    return tuple(value)
