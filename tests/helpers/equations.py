"""Readers of the tables in ``docs/equations.md`` and of the citations in the docstrings of the package."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import lewel_plugins

PACKAGE = Path(lewel_plugins.__file__).resolve().parent
ROOT = PACKAGE.parent
PAGE = ROOT / 'docs' / 'equations.md'

_LINK = re.compile(r'\[`(?:[\w/]+\.py(?:: |::))?([\w.]+)`\]\(([\w./]+)\)')
_ENTRY = re.compile(r'((?:``[\w.]+``(?: and |, ))*``[\w.]+``) in ([\w/]+\.py)')
_NUMBER = r'(?:\d+(?:\.\d+)*|[IVX]+(?:-[A-Z])?)'
_SINGULAR = {'Eqs.': 'Eq.', 'Secs.': 'Sec.'}


class Definition(NamedTuple):
    """A function, a class or a method: its file relative to the repository, and its qualified name."""

    file: str
    name: str

    def __str__(self) -> str:
        return f'{self.name} in {self.file}'


class Equation(NamedTuple):
    """A paper, and ``Eq. n``, ``Sec. n`` or ``Algorithm n`` of it."""

    paper: str
    label: str

    def __str__(self) -> str:
        return f'{self.paper}, {self.label}'


class Row(NamedTuple):
    """A row of a paper's table; background rows have no function, no callers and no tests."""

    equation: Equation
    formula: str
    functions: list[Definition]
    callers: list[Definition]
    tests: list[Definition]
    background: str


def tables(page: str) -> dict[str, list[list[str]]]:
    """Return the rows of each table of the page, without its head, by the heading above it."""
    by_heading: dict[str, list[list[str]]] = {}
    for section in re.split(r'^## ', page, flags=re.MULTILINE)[1:]:
        lines = [line for line in section.splitlines() if line.startswith('|')]
        cells = [
            [cell.strip() for cell in line.strip().removeprefix('|').removesuffix('|').split('|')] for line in lines
        ]
        by_heading[section.splitlines()[0]] = cells[2:]
    return by_heading


def links(cell: str) -> list[Definition]:
    """Return the definitions that a cell links to."""
    return [
        Definition((PAGE.parent / path).resolve().relative_to(ROOT).as_posix(), name)
        for name, path in _LINK.findall(cell)
    ]


def read_rows(page: str) -> list[Row]:
    """Return the rows of the papers' tables, which are all but the last two."""
    rows = []
    for cells in (cells for table in list(tables(page).values())[:-2] for cells in table):
        if len(cells) != 5:
            raise ValueError(f'a row has 5 cells, got {len(cells)}: {cells}')
        paper, label = re.sub(r'\[\^\w+\]', '', cells[0]).rsplit(', ', 1)
        functions, callers, tests = (links(cell) for cell in cells[2:])
        rows.append(Row(Equation(paper, label), cells[1], functions, callers, tests, '' if functions else cells[2]))
    return rows


@cache
def definitions(file: str) -> dict[str, list[ast.FunctionDef | ast.ClassDef]]:
    """Return the definitions in a file by qualified name; an overloaded function has several nodes."""
    nodes: dict[str, list[ast.FunctionDef | ast.ClassDef]] = {}

    def visit(parent: ast.AST, prefix: str) -> None:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                nodes.setdefault(prefix + node.name, []).append(node)
                visit(node, f'{prefix}{node.name}.')
            else:
                visit(node, prefix)

    visit(ast.parse((ROOT / file).read_text()), '')
    return nodes


def docstring(definition: Definition) -> str:
    """Return the docstring of a definition, '' if there is none."""
    return ' '.join(ast.get_docstring(node) or '' for node in definitions(definition.file)[definition.name]).strip()


def package_docstrings() -> list[tuple[Definition, str, str]]:
    """Return every docstring of the package, each with that of the class around it (or '')."""
    docstrings = []
    for path in sorted(PACKAGE.rglob('*.py')):
        file = path.relative_to(ROOT).as_posix()
        docstrings.append((Definition(file, '<module>'), ast.get_docstring(ast.parse(path.read_text())) or '', ''))
        for name in definitions(file):
            outer = name.rpartition('.')[0]
            around = docstring(Definition(file, outer)) if outer else ''
            docstrings.append((Definition(file, name), docstring(Definition(file, name)), around))
    return docstrings


def citations(text: str, papers: set[str], around: str = '') -> list[Equation]:
    """Return the equations, sections and algorithms that a docstring cites.

    ``MSBReg, Eqs. 5 to 7`` cites three equations. A citation without a paper belongs to the paper last named before
    it, or else to the first one in the docstring ``around``; the paper is '' if there is neither.
    """
    names = '|'.join(sorted(map(re.escape, papers), key=len, reverse=True))
    named = rf'(?:(?<!\w)({names})(?: \d{{4}})?\)?, )?'
    pattern = re.compile(rf'{named}\b(Eqs?\.|Secs?\.|Algorithm) ({_NUMBER}(?:(?:, | and | to ){_NUMBER})*)')
    outer = [paper for paper, _, _ in pattern.findall(re.sub(r'\s+', ' ', around)) if paper]
    paper, cited = outer[0] if outer else '', []
    for name, kind, numbers in pattern.findall(re.sub(r'\s+', ' ', text)):
        paper = name or paper
        cited += [Equation(paper, f'{_SINGULAR.get(kind, kind)} {number}') for number in _expand(numbers)]
    return cited


def _expand(numbers: str) -> list[str]:
    """Return ``5 to 7`` or ``1, 2 and 4`` as a list of numbers."""
    if ' to ' in numbers:
        first, last = map(int, numbers.split(' to '))
        return [str(number) for number in range(first, last + 1)]
    return re.split(r', | and ', numbers)


def listed_equations(text: str, papers: set[str]) -> list[tuple[Equation, Definition]]:
    """Read the lines under ``Equations:`` in a docstring, such as ``LEWEL, Eq. 5: ``f`` in models/file.py``."""
    if '\nEquations:\n' not in text:
        return []
    lines = re.split(r'\n(?! )', text.split('\nEquations:\n')[1])[0].splitlines()
    return [
        (equation, Definition(f'{PACKAGE.name}/{file}', name))
        for line in lines
        for equation in citations(line.partition(': ')[0], papers)
        for names, file in _ENTRY.findall(line)
        for name in re.findall(r'[\w.]+', names.replace(' and ', ' '))
    ]
