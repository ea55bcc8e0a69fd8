"""Small files that are whole or absent, and a lock."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write a json file; a kill leaves the old file or the new one, nothing in between."""
    write_text(path, json.dumps(content, indent=1) + '\n')


def write_text(path: Path, text: str) -> None:
    """Write a text file; a kill leaves the old file or the new one, nothing in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    with partial.open('w', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_json(path: Path) -> Any:
    """Content of a json file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def lock(path: Path, patience: float = 5.0) -> int | None:
    """Lock a file until it is closed by this process and by all children that it was passed to.

    Args:
        path: The lock file; made if missing.
        patience: Seconds to wait for another holder, who may be just ending.

    Returns:
        File descriptor, or None if somebody else holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.1)
