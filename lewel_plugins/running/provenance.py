"""Where a result comes from: commit, machine, date."""

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import torch

from lewel_plugins.version import __version__

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ('lewel_plugins', 'configs', 'tools')


def commit() -> str:
    """``git describe`` of this package's checkout, with ``-dirty`` if its code or configs differ from the commit.

    Results that a run writes do not count as a difference. Outside a checkout, the package's version.
    """
    described = _git('describe', '--always', '--tags')
    if not described:
        return f'{__version__} (not a git checkout)'
    changed = _git('status', '--porcelain', '--untracked-files=no', '--', *_SOURCES)
    return f'{described}-dirty' if changed else described


def record() -> dict[str, str]:
    """This process's command line, commit, machine and date, to be written beside its results."""
    return dict(command=f'python {shlex.join(sys.argv)}', commit=commit(), machine=machine(), date=now())


def _git(*arguments: str) -> str:
    if not (ROOT / '.git').exists():  # git would otherwise answer for a repository that encloses site-packages
        return ''
    try:
        done = subprocess.run(['git', '-C', str(ROOT), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def machine() -> str:
    """Kind of machine, in words: GPUs if any, processor, cores, versions of Python and torch."""
    parts = [f'{_processor()}, {cores()} cores', f'Python {platform.python_version()}', f'torch {torch.__version__}']
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        parts.insert(0, ' + '.join(f'{names.count(name)} × {name}' for name in dict.fromkeys(names)))
    return '; '.join(parts)


def _processor() -> str:
    try:
        found = re.search(r'^model name\s*:\s*(.+)$', Path('/proc/cpuinfo').read_text(encoding='utf-8'), re.MULTILINE)
    except OSError:
        found = None
    return ' '.join(found.group(1).split()) if found else platform.processor() or platform.machine()


def now() -> str:
    """UTC, to the second, as in ``2026-01-31 12:00:00 UTC``."""
    return datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M:%S UTC')


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, read in parts."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
