"""The rooms of the package stand on floors: imports point down, and no rooms import each other in a cycle.

An import inside a function counts as well.
"""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.core

PACKAGE = Path(__file__).resolve().parents[1] / 'lewel_plugins'
FLOORS = (  # top to bottom
    ('cli', '__main__'),
    ('api',),
    ('payoff',),
    ('dry_run', 'reporting'),
    ('hooks',),
    ('evaluation', 'finetuning'),
    ('comparison', 'planning'),
    ('models', 'datasets', 'running'),
    ('transforms', 'visualization', 'checkpoints', 'optim'),
    ('functional', 'image_files', 'dist', 'seeding', 'files', 'registry', 'errors', 'logs', 'version'),
)
LOOSE_MODULES = {'__init__', '__main__', 'version', 'registry', 'errors', 'dist', 'seeding', 'files', 'logs'}


def imported_names(path: Path, package: Path) -> set[str]:
    """Return the modules, or names in them, that a file of the package imports from it, as ``room.module.name``."""
    parents = [package.name, *path.relative_to(package).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = '.'.join([*base, *filter(None, [node.module])])
            names |= {f'{module}.{alias.name}' for alias in node.names}
    prefix = f'{package.name}.'
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def room_of(path: Path, package: Path) -> str:
    """Return the subpackage or loose module that a file belongs to."""
    return path.relative_to(package).parts[0].removesuffix('.py')


def room_imports(package: Path) -> dict[tuple[str, str], list[str]]:
    """Return (importing room, imported room) → the files that import."""
    rooms = {room_of(path, package) for path in package.rglob('*.py')}
    imports: dict[tuple[str, str], list[str]] = {}
    for path in sorted(package.rglob('*.py')):
        room = room_of(path, package)
        for target in sorted({name.split('.')[0] for name in imported_names(path, package)} & rooms - {room}):
            imports.setdefault((room, target), []).append(str(path.relative_to(package)))
    return imports


def upward_imports(imports: dict[tuple[str, str], list[str]], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Describe the imports of a room on a higher floor."""
    height = {room: -depth for depth, rooms in enumerate(floors) for room in rooms}
    return [
        f'{", ".join(files)} in {room} imports {target}, which stands above it'
        for (room, target), files in imports.items()
        if room != '__init__' and height[target] > height[room]
    ]


def cycles(imports: dict[tuple[str, str], list[str]]) -> list[str]:
    """Describe each room from which imports lead back to it."""
    reachable: dict[str, set[str]] = {}
    for room, target in imports:
        reachable.setdefault(room, set()).add(target)
    for middle in list(reachable):  # Warshall's algorithm
        for targets in reachable.values():
            if middle in targets:
                targets |= reachable[middle]
    return sorted(room for room, targets in reachable.items() if room in targets)


def test_no_import_runs_up():
    imports = room_imports(PACKAGE)
    assert len(imports) > 20  # files were read
    assert upward_imports(imports, FLOORS) == []


def test_no_rooms_import_each_other_in_a_circle():
    assert cycles(room_imports(PACKAGE)) == []


def test_every_room_has_a_floor_and_no_module_stands_loose():
    rooms = {room_of(path, PACKAGE) for path in PACKAGE.rglob('*.py')}
    assert rooms - {'__init__'} == {room for floor in FLOORS for room in floor}
    assert {path.stem for path in PACKAGE.glob('*.py')} - {'functional'} == LOOSE_MODULES


@pytest.mark.parametrize(
    'statement',
    [
        'from pack.top import x',
        'from pack import top',
        'import pack.top.deeper',
        'from ..top import x',
        'from .. import top',
        'def f():\n    from pack.top.deeper import x',
    ],
)
def test_an_import_that_runs_up_is_seen(tmp_path, statement):
    package = write_package(tmp_path, {'top/__init__.py': 'import os', 'bottom/a.py': statement})
    imports = room_imports(package)
    assert upward_imports(imports, (('top',), ('bottom',))) == [
        'bottom/a.py in bottom imports top, which stands above it'
    ]
    assert upward_imports(imports, (('bottom',), ('top',))) == [] == cycles(imports)


def test_a_circle_over_three_rooms_is_seen(tmp_path):
    files = {'a/x.py': 'from pack.b import y', 'b/y.py': 'from pack import c', 'c/z.py': 'from ..a.x import y'}
    assert cycles(room_imports(write_package(tmp_path, {**files, 'd/w.py': 'from pack import a'}))) == ['a', 'b', 'c']


def test_imports_within_a_room_and_from_elsewhere_do_not_count(tmp_path):
    files = {'a/x.py': 'from . import y\nfrom .y import z\nimport packing.b\nfrom b import c', 'b/y.py': ''}
    assert room_imports(write_package(tmp_path, files)) == {}


def write_package(folder: Path, files: dict[str, str]) -> Path:
    package = folder / 'pack'
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package
