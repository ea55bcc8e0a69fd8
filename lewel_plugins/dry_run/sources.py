"""The line of source code behind an operation."""

import linecache
import sys
import sysconfig
from itertools import takewhile
from pathlib import Path
from types import FrameType, TracebackType

import mmengine
import torch

_HERE = str(Path(__file__).parent)
_machinery = [_HERE]
_callers = [f'{_HERE}/step.py', f'{_HERE}/engine.py']  # what calls them is no part of the step
_TORCH = str(Path(torch.__file__).parent)
_MMENGINE = str(Path(mmengine.__file__).parent)
_STDLIB = sysconfig.get_path('stdlib')
_PACKAGES = (sysconfig.get_path('purelib'), str(Path(__file__).resolve().parents[2]), str(Path.cwd()))


def add_machinery(folder: str, caller: str) -> None:
    """Let no line of a folder, and none that calls code of a file in it, count as a source.

    Args:
        folder: Path of the folder.
        caller: Path of the file, whose code runs a step or a training.
    """
    if folder not in _machinery:
        _machinery.append(folder)
        _callers.append(caller)


def current_source() -> str:
    """Return ``file:line`` of the code that the calling operation belongs to."""
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return _source(frames)[0]


def error_source(error: BaseException) -> tuple[str, str]:
    """Return ``file:line`` of the code that an error was raised from, and that line."""
    frames = []
    step: TracebackType | None = error.__traceback__
    while step is not None:
        frames.append((step.tb_frame, step.tb_lineno))
        step = step.tb_next
    return _source(frames[::-1])


def _source(frames: list[tuple[FrameType, int]]) -> tuple[str, str]:
    """Return the innermost ``file:line`` outside torch, mmengine and this folder, and that line of code.

    Failing that, it is a place in mmengine, or the node of the backward pass that runs.

    Args:
        frames: Frames with their lines, innermost first.
    """
    step = list(takewhile(lambda frame: frame[0].f_code.co_filename not in _callers, frames))
    for skipped in ((_TORCH, _MMENGINE), (_TORCH,)):
        for frame, line in step:
            file = frame.f_code.co_filename
            if not file.startswith((*_machinery, '<', *skipped)) and not _is_stdlib(file):
                return f'{_short(file)}:{line}', linecache.getline(file, line).strip()
    node = frames[len(step)][0].f_locals.get('node') if len(step) < len(frames) else None
    if node is not None:
        return f'backward pass, {type(node).__name__}', 'a node of torch'
    frame, line = frames[0]
    return f'{_short(frame.f_code.co_filename)}:{line}', ''


def _is_stdlib(file: str) -> bool:
    return file.startswith(_STDLIB) and 'site-packages' not in file


def _short(file: str) -> str:
    for root in _PACKAGES:
        if file.startswith(root):
            return Path(file).relative_to(root).as_posix()
    return file
