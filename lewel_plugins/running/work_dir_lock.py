"""One training at a time writes to a work dir."""

import os
from contextlib import suppress
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.tree import RUN_LOCK

from .jobs import holder, lock

LOCK = RUN_LOCK
_HELD = 'LEWEL_PLUGINS_HELD_LOCK'
_PATIENCE = 5.0
_AFTER_REQUEUE = 120.0  # NFS keeps the lock of a node that has failed until its lease ends, after 90 s by default
_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


def held_lock(path: Path) -> dict[str, str]:
    """Return the environment of a training for which its parent holds the lock of the work dir.

    torchrun hands no descriptors on to the ranks.

    Args:
        path: The lock file.
    """
    return {_HELD: os.path.realpath(path)}


def lock_work_dir(work_dir: str, launcher: str = 'none', patience: float | None = None) -> int | None:
    """Lock a work dir on the first rank until its process ends, unless its parent holds the lock.

    Workers of data loaders, which outlive a training that is killed for some seconds, do not keep the lock.

    Args:
        work_dir: Folder of the training; created if it is missing.
        launcher: Launcher of the ranks; its environment variables hold their numbers.
        patience: Seconds to wait for another training, which may be about to end; by default 5, and 120 in a job that
            Slurm has put back into the queue.

    Returns:
        Descriptor of the lock, which stays open; None if this process needs none.

    Raises:
        SetupError: Another training writes there, or the folder cannot be written to.
    """
    path = Path(work_dir, LOCK)
    if os.environ.get(_RANKS.get(launcher, ''), '0') != '0' or os.environ.get(_HELD) == os.path.realpath(path):
        return None
    if patience is None:
        patience = _AFTER_REQUEUE if os.environ.get('SLURM_RESTART_COUNT', '0') != '0' else _PATIENCE
    try:
        descriptor = lock(path, patience)
    except OSError as error:
        raise SetupError(f'cannot write to {work_dir}: {(error.strerror or str(error)).lower()}') from None
    if descriptor is not None:
        _close_in_forks(descriptor)
        return descriptor
    number = holder(path)
    if number is None:
        raise SetupError(
            f'{work_dir} is being trained by another process, perhaps on another machine; choose another --work-dir, '
            f'or delete {path} if there is none'
        )
    raise SetupError(f'{work_dir} is being trained by process {number}; choose another --work-dir, or wait for it')


def _close_in_forks(descriptor: int) -> None:
    """Close a descriptor in forked processes, without letting go of the lock, which this process holds."""
    status = os.fstat(descriptor)

    def close() -> None:
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), status):  # and not another file that has its number by now
                os.close(descriptor)

    os.register_at_fork(after_in_child=close)
