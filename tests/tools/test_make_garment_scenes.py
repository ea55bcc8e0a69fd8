import subprocess
import sys

import pytest
from helpers import tool_runs
from helpers.tool_runs import ROOT

pytestmark = pytest.mark.core


def run(*arguments: object) -> subprocess.CompletedProcess:
    script = ROOT / 'tools' / 'data' / 'make_garment_scenes.py'
    return tool_runs.run(sys.executable, script, *arguments, cwd=ROOT, split=True)


def test_makes_reuses_and_refuses(tmp_path):
    out = tmp_path / 'my scenes'
    arguments = ('--out', out, '--num-train', 20, '--num-val', 10, '--scale', 0.5, 0.9, '--workers', 1)
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert f'30 scenes written to {out}' in first.stdout
    assert len(list(out.glob('*/*/*.jpg'))) == 30
    assert 'nothing to do' in run(*arguments).stdout
    other = run(*arguments, '--clutter', 1)
    assert other.returncode == 1
    last = other.stderr.splitlines()[-1]  # an older libpng warns about a photograph first
    assert last.startswith('error: ') and 'clutter (0.2 there, 1.0 requested)' in last
