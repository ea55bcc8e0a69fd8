"""Ranks that torchrun has restarted (``--max-restarts``) go on from what their own start has saved."""

import os
import socket
from pathlib import Path
from typing import Any

from lewel_plugins.files import read_json, write_json

from .work_dir import EARLIER, list_checkpoints


def resume_or_restart(resume: str | None, work_dir: str) -> str | None:
    """Return what to resume from; the last checkpoint of this start of torchrun, if it has restarted the ranks.

    The work dir may hold the checkpoints of an earlier run, which a start without ``--resume`` does not go on from. So
    the first rank records them before it trains, and after a restart those that have not changed since do not count.

    Args:
        resume: What the user resumes from, see :func:`set_resume`.
        work_dir: Folder of the run.
    """
    restarts = os.environ.get('TORCHELASTIC_RESTART_COUNT')
    if restarts is None or resume == 'auto':
        return resume
    files = {str(path): _state(path) for path in list_checkpoints(work_dir) if path.is_file()}
    note = Path(work_dir, EARLIER)
    if restarts == '0':
        if os.environ.get('RANK') == '0':
            write_json(note, dict(torchrun=_torchrun(), checkpoints=files))
        return resume
    recorded = read_json(note)
    if not isinstance(recorded, dict) or not _is_this_start(recorded.get('torchrun')):
        return resume  # the first rank ended before it has saved anything
    earlier = recorded['checkpoints']
    return next((path for path, state in files.items() if earlier.get(path) != state), resume)


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _torchrun() -> dict[str, Any]:
    """Return what distinguishes starts of torchrun; a run has no name of its own unless the user gives one."""
    return dict(run=os.environ.get('TORCHELASTIC_RUN_ID'), host=socket.gethostname(), process=os.getppid())


def _is_this_start(recorded: Any) -> bool:
    own = _torchrun()
    if not isinstance(recorded, dict) or recorded.get('run') != own['run']:
        return False
    # Each host has a process of its own.
    return recorded.get('host') != own['host'] or recorded.get('process') == own['process']
