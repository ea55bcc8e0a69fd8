"""Texts of source files for ``check_prose.py``: docstrings, strings, comments, names and markdown, with their lines."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CODE = re.compile(r'(`+)([^`]+)\1')
ADDRESS = re.compile(r'https?://\S+|\]\([^)\s]*\)|<!--.*?-->', re.DOTALL)
STARTS_ITEM = re.compile(r'\s*([-*#|>]|\d+\.\s|\w+( \([^)]*\))?:\s|>>>)')
HASH_COMMENT = re.compile(r'(?:^|\s)#+(?!!) ?(.*)')


@dataclass(frozen=True)
class Text:
    """A piece of a file.

    Args:
        kind: ``docstring``, ``string``, ``word`` (a string of one word), ``comment``, ``markdown``, ``name`` (of a
            function or class), ``variable`` (any other bound name) or ``path``.
        content: What is checked; the end of each paragraph is marked with ``¶``, inline code is masked.
        line_of: Line in the file of a start and end in ``content``.
        last_line: Line on which an escape for the whole text may stand; None for markdown, whose text is the file.
    """

    kind: str
    content: str
    line_of: Callable[[int, int], int]
    last_line: int | None


def texts_of(path: Path) -> Iterator[Text]:
    """Yield all texts of a file, by its suffix."""
    source = path.read_text(encoding='utf-8')
    yield Text('path', path.as_posix(), lambda start, end: 1, 1)
    if path.suffix == '.py':
        tree = ast.parse(source)
        yield from _strings(tree, source.splitlines())
        yield from _python_comments(source)
        yield from _names(tree)
    elif path.suffix == '.md':
        yield _lines('markdown', _without_blocks(source.splitlines()), 1)
    else:
        for number, line in enumerate(source.splitlines(), 1):
            if match := HASH_COMMENT.search(line):
                yield _lines('comment', [match.group(1)], number)


def marked(text: str) -> str:
    """``text`` with masked inline code and addresses, and ``¶`` at the end of every paragraph, item and table cell."""
    text = CODE.sub(lambda m: m.group(1) + re.sub(r'[^\n]', '_', m.group(2)) + m.group(1), text)
    text = ADDRESS.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), text)
    lines = text.split('\n')
    following = [*lines[1:], '']
    ends = (not after.strip() or STARTS_ITEM.match(after) for after in following)
    return '\n'.join(f'{line}¶' if end and line.strip() else line for line, end in zip(lines, ends))


def _lines(kind: str, lines: list[str], first: int) -> Text:
    content = marked('\n'.join(lines))
    last = None if kind == 'markdown' else first + len(lines) - 1
    return Text(kind, content, lambda start, end: first + content.count('\n', 0, start), last)


def _without_blocks(lines: list[str]) -> list[str]:
    """Lines of markdown with those of code blocks emptied."""
    kept_lines, fenced, indented, blank = [], False, False, True
    for line in lines:
        fence = line.lstrip().startswith('```')
        indented = line.startswith('    ') and (blank or indented)
        kept_lines.append('' if fenced or fence or indented else line)
        fenced ^= fence
        blank = not line.strip()
    return kept_lines


def _strings(tree: ast.Module, lines: list[str]) -> Iterator[Text]:
    docstrings: set[ast.expr] = set()
    parts: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            docstrings.add(node.body[0].value)  # type: ignore[attr-defined]
        if isinstance(node, ast.JoinedStr):
            parts.update(part for value in node.values for part in ast.walk(value))
    for node in ast.walk(tree):
        if node in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield _string('string', node, ''.join(_part(value) for value in node.values), lines)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
            kind = 'docstring' if node in docstrings else 'string' if ' ' in node.value else 'word'
            yield _string(kind, node, node.value, lines)


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else '_'


def _string(kind: str, node: ast.expr, value: str, lines: list[str]) -> Text:
    first, last = node.lineno, node.end_lineno or node.lineno
    content = marked(value)

    def line_of(start: int, end: int) -> int:
        if value.count('\n') == last - first:
            return first + content.count('\n', 0, start)
        for stop in range(end, start, -1):  # for a literal in several parts, the line with most of the match
            for number in range(first, last + 1):
                if content[start:stop] in lines[number - 1]:
                    return number
        return first

    return Text(kind, content, line_of, last)


def _python_comments(source: str) -> Iterator[Text]:
    """Comments; those on lines of their own, one below the other, are one text."""
    block: list[str] = []
    start = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        comment = token.string.lstrip('#').removeprefix(' ')
        own_line = not token.line[: token.start[1]].strip()
        if block and own_line and token.start == (start[0] + len(block), start[1]):
            block.append(comment)
            continue
        if block:
            yield _lines('comment', block, start[0])
        block, start = [comment], token.start
    if block:
        yield _lines('comment', block, start[0])


def _names(tree: ast.Module) -> Iterator[Text]:
    """Names that the file binds; names that it only uses may be those of a library."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield _name('name', node.name, node.lineno)
        elif isinstance(node, ast.arg):
            yield _name('variable', node.arg, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield _name('variable', node.id, node.lineno)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield _name('variable', node.attr, node.lineno)


def _name(kind: str, name: str, line: int) -> Text:
    return Text(kind, name, lambda start, end: line, line)
