"""A trace of the functions of the package that a block of code calls, and of their callers."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

from helpers.equations import PACKAGE, ROOT, Definition, definitions

Calls = set[tuple[Definition, Definition]]
_WRAPPER = str(PACKAGE / 'functional' / '_precision.py')  # its wrapper stands between an equation and the caller


@contextmanager
def traced_calls() -> Iterator[Calls]:
    """Yield the pairs of a called function and its caller, both in the package, as the block collects them.

    The caller is the closest function of the package on the stack: torch's ``Module.__call__`` and decorators are
    passed over, and a comprehension belongs to the function around it.
    """
    calls: Calls = set()

    def record(frame: FrameType, event: str, _: object) -> None:
        if event != 'call':
            return
        called = _definition(frame.f_code, exact=True)
        if called is None:
            return
        outer = frame.f_back
        while outer is not None:
            caller = _definition(outer.f_code)
            if caller is not None:
                calls.add((called, caller))
                return
            outer = outer.f_back

    previous = sys.getprofile()
    sys.setprofile(record)
    try:
        yield calls
    finally:
        sys.setprofile(previous)


@cache
def _definition(code: CodeType, exact: bool = False) -> Definition | None:
    """Return the innermost function around a code object; with ``exact``, only a function whose code it is."""
    if not code.co_filename.startswith(str(PACKAGE)) or code.co_filename == _WRAPPER:
        return None
    file = Path(code.co_filename).relative_to(ROOT).as_posix()
    innermost, start = None, 0
    for name, nodes in definitions(file).items():
        for node in nodes:
            first = min(part.lineno for part in (node, *node.decorator_list))  # decorators are part of the code
            if isinstance(node, ast.FunctionDef) and start < first <= code.co_firstlineno <= (node.end_lineno or 0):
                innermost, start = Definition(file, name), first
    return innermost if innermost and (not exact or start == code.co_firstlineno) else None
