"""Import of the package without the packages that it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.core
def test_import_without_openmmlab_says_what_to_run():
    # -S: no site-packages, so none of torch, mmengine, mmcv and mmpretrain.
    result = subprocess.run(
        [sys.executable, '-S', '-c', 'import lewel_plugins'],
        cwd=ROOT,
        env={'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith('ImportError: lewel_plugins needs torch, mmengine, mmcv, mmpretrain')
    assert 'pip install -e ".[onedl]"' in last and 'pip install -e ".[openmmlab]"' in last
