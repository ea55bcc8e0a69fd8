"""Keep what the libraries print from the screen."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from pathlib import Path
from typing import TextIO

Say = Callable[[str], None]


class _Log(TextIOBase):
    """A stream to a file, which loggers may keep and use after the file is closed."""

    def __init__(self, file: TextIO | None) -> None:
        self.file = file

    def write(self, text: str) -> int:
        """Write to the file, if there is one and it is open."""
        if self.file is not None:
            self.file.write(text)
            self.file.flush()
        return len(text)


@contextmanager
def quiet(say: Say, path: Path | None) -> Iterator[Say]:
    """Redirect all that is printed in this process; yield a function whose lines still reach the user.

    Args:
        say: Is called with each line for the user, with the streams as they were.
        path: File to append to; None to discard what is printed.
    """
    out, err = sys.stdout, sys.stderr

    def show(line: str) -> None:
        with redirect_stdout(out), redirect_stderr(err):
            say(line)

    with contextlib.ExitStack() as stack:
        file = None if path is None else stack.enter_context(path.open('a', encoding='utf-8'))
        log = _Log(file)
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        try:
            yield show
        finally:
            log.file = None
