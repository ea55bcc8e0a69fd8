"""Cores and main memory that this process may use."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

_GROUPS = Path('/proc/self/cgroup')  # the control groups of this process, one hierarchy per line
_MOUNT = Path('/sys/fs/cgroup')


def cores(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of cores that this process may use: by its affinity, its control groups, and Slurm.

    Args:
        environment: Environment variables; Slurm states the cores of a task there.
    """
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1]
    for folder in _control_groups('cpu'):
        numbers = _numbers(folder / 'cpu.max')
        numbers = numbers or [*_numbers(folder / 'cpu.cfs_quota_us'), *_numbers(folder / 'cpu.cfs_period_us')]
        if len(numbers) == 2 and numbers[0] > 0:
            counts.append(numbers[0] // numbers[1])
    if environment.get('SLURM_CPUS_PER_TASK', '').isdigit():
        counts.append(int(environment['SLURM_CPUS_PER_TASK']))
    return max(1, min(counts))


def memory() -> int:
    """Return the bytes of main memory that this process may use, by the machine and its groups; 0 if unknown."""
    try:
        sizes = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
    except (AttributeError, OSError, ValueError):
        sizes = []
    for folder in _control_groups('memory'):
        for name in ('memory.max', 'memory.limit_in_bytes'):
            sizes += _numbers(folder / name)[:1]
    return max(0, min(sizes, default=0))


def _control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the groups that bound this process: its own and those above, of both versions of Linux."""
    try:
        lines = _GROUPS.read_text(encoding='utf-8').splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers and controller not in controllers.split(','):
            continue
        base = _MOUNT / controllers
        own = PurePosixPath(path)
        # In a container the path may be that of the host, and the group is mounted at the root.
        for group in (own, *own.parents):
            yield base / group.relative_to('/')


def _numbers(file: Path) -> list[int]:
    """Return the numbers in a file; none if it is missing, or states that there is no bound."""
    try:
        return [int(word) for word in file.read_text(encoding='utf-8').split()]
    except (OSError, ValueError):
        return []
