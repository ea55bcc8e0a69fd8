"""Processes that this one starts: what they import, and signals that reach no other process."""

import os
import site
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import lewel_plugins

_POLL = 0.05  # seconds between looks at a process


def python_path(folder: Path | None = None) -> str:
    """Return a ``PYTHONPATH`` by which a child imports this very package, and all else as without it.

    The user's entries keep their order and come first. The folder of the package, which need not be installed, follows
    them, or precedes the first one that holds another copy. One that Python searches anyway is not added, because all
    entries are searched before the standard library.

    Args:
        folder: Folder that holds the package; that of this one by default.
    """
    folder = folder or Path(lewel_plugins.__file__).resolve().parents[1]
    value = os.environ.get('PYTHONPATH')
    entries = value.split(os.pathsep) if value else []
    name = lewel_plugins.__name__
    holders = [i for i, entry in enumerate(entries) if Path(entry, name, '__init__.py').is_file()]
    if holders:
        if Path(entries[holders[0]]).resolve() != folder:
            entries.insert(holders[0], str(folder))
    elif folder not in _site_folders():
        entries.append(str(folder))
    return os.pathsep.join(entries)


def python_environment() -> dict[str, str]:
    """Return the environment with the :func:`python_path`."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    path = python_path()
    return dict(environment, PYTHONPATH=path) if path else environment


def has_ended(process: subprocess.Popen) -> bool:
    """Return whether a child has ended, without collecting its status.

    Until the status is collected, the kernel gives the number of the child, and so that of the group it leads, to no
    other process.
    """
    if process.returncode is not None:
        return True
    if not hasattr(os, 'waitid'):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # collected by somebody else
        return process.poll() is not None


def wait_for_end(process: subprocess.Popen, seconds: float) -> bool:
    """Wait until a child has ended, without collecting its status; return whether it has within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not has_ended(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def signal_group(process: subprocess.Popen, number: int) -> None:
    """Send a signal to the process group that a child leads, which may outlive the child.

    Nothing is sent once the child's status is collected, because its number may belong to others then.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _site_folders() -> set[Path]:
    folders: Sequence[str] = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return {Path(folder).resolve() for folder in folders}
