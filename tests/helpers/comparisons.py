"""Comparisons of made-up trainings."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers import tool_runs
from helpers.tool_runs import ROOT

HERE = Path(__file__).resolve().parent


def write_comparison(folder: Path, config: str = '', **entries: Any) -> Path:
    """Write a comparison of two rows and two seeds, and its config; return the comparison file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.py').write_text(
        f'train_cfg = dict(max_iters=3)\nlevel = 10.0\nrandomness = dict(deterministic=True)\n{config}\n'
    )
    defaults: dict[str, Any] = dict(
        title='Made up',
        base='config.py',
        rows=[dict(name='A'), dict(name='B', options={'level': 12.5})],
        seeds=[0, 1],
        metrics=['knn/top1'],
    )
    path = folder / 'made_up.py'
    path.write_text('\n'.join(f'{name} = {value!r}' for name, value in {**defaults, **entries}.items()) + '\n')
    return path


def command_line(comparison: Path, *arguments: str) -> list[str]:
    """Return the command line of tools/compare.py with made-up trainings."""
    return [
        sys.executable, str(ROOT / 'tools' / 'compare.py'), str(comparison), '--work-dir', 'runs', '--out', 'report/it',
        '--train-script', str(HERE / 'fake_train.py'), *arguments,
    ]  # fmt: skip


def compare(comparison: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tools/compare.py in the comparison's folder, with runs in ``runs`` and the report in ``report/it.*``."""
    return tool_runs.run(*command_line(comparison, *arguments), cwd=comparison.parent)


def starts(comparison: Path, row: str, seed: int) -> list[int]:
    """Return the first iteration of every start of a run."""
    (note,) = (comparison.parent / 'runs' / row).glob(f'seed{seed}-*/starts.txt')
    return [int(line) for line in note.read_text().split()]
