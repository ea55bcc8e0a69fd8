"""Lists of images as text: a path per line, for any name that a file can have.

A name may hold a tab, a line break, or bytes that are no text. A path that a plain line cannot hold is written in
quotes, as a json string; a name of an image never ends with a quote, so that lists without quotes mean what they say.
"""

import codecs
import json
import os
from collections.abc import Iterable


def path_line(path: str | os.PathLike, *columns: object) -> str:
    """Return the line of a path.

    Args:
        path: The path.
        columns: What follows it in the line, each after a tab.
    """
    text = os.fspath(path)
    if set(text) & set('\t\n\r') or text.startswith(('"', '\ufeff')) or not text.strip():
        text = json.dumps(text, ensure_ascii=False)
    return '\t'.join([text, *map(str, columns)]) + '\n'


def encode_lines(lines: Iterable[str]) -> bytes:
    """Return the content of a file with these lines; undecodable bytes of names are written as they are."""
    return os.fsencode(''.join(lines))


def decode_lines(content: bytes) -> list[str]:
    """Return the lines of a list, which may end as on Windows, and may start with a byte order mark."""
    lines = os.fsdecode(content.removeprefix(codecs.BOM_UTF8)).split('\n')
    return [line.removesuffix('\r') for line in lines]


def line_path(line: str, has_columns: bool = True) -> str:
    """Return the path of a line.

    Args:
        line: The line.
        has_columns: Whether further columns may follow after tabs; without them a tab is a part of the name.
    """
    if line.startswith('"'):
        try:
            path, end = json.JSONDecoder().raw_decode(line)
        except ValueError:
            end = 0
        if end == len(line) or has_columns and line[end : end + 1] == '\t':
            return path
    return line.split('\t')[0] if has_columns else line
