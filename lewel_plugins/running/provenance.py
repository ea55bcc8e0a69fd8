"""Where a result comes from: commit, machine, date."""

import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import torch

from lewel_plugins.version import __version__

from .resources import cores

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ('lewel_plugins', 'configs', 'tools')


def commit() -> str:
    """Return ``git describe`` of this package's checkout, with ``-dirty`` if its code or configs have changed.

    New files count as changes, too, except for those that git ignores. Results that a run writes do not. Outside a
    checkout, return the package's version.
    """
    name = _git('describe', '--always', '--tags')
    if not name:
        return f'{__version__} (not a git checkout)'
    changes = _git('status', '--porcelain', '--untracked-files=normal', '--', *_SOURCES)
    return f'{name}-dirty' if changes else name


def record() -> dict[str, str]:
    """Return this process's command line, commit, machine and date, to be written beside its results."""
    return dict(command=f'python {shlex.join(sys.argv)}', commit=commit(), machine=machine(), date=now())


def _git(*arguments: str) -> str:
    if not (ROOT / '.git').exists():  # git would otherwise answer for a repository that encloses site-packages
        return ''
    try:
        result = subprocess.run(['git', '-C', str(ROOT), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return result.stdout.strip() if result.returncode == 0 else ''


def machine() -> str:
    """Describe the machine: GPUs if any, processor, cores, versions of Python and torch."""
    parts = [f'{_processor()}, {cores()} cores', f'Python {platform.python_version()}', f'torch {torch.__version__}']
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        parts.insert(0, ' + '.join(f'{names.count(name)} × {name}' for name in dict.fromkeys(names)))
    return '; '.join(parts)


def _processor() -> str:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        text = ''
    match = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    return ' '.join(match.group(1).split()) if match else platform.processor() or platform.machine()


def now() -> str:
    """Return the time in UTC, to the second, as in ``2026-01-31 12:00:00 UTC``."""
    return datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M:%S UTC')
