"""Import of the package without the packages that it needs."""

import os
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


@pytest.mark.core
def test_models_import_beside_transformers_5(tmp_path):
    """mmpretrain's multimodal models subclass names that transformers 5 lacks, so they must not be imported."""
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers' / '__init__.py').write_text('from . import configuration_utils\n')
    configuration = 'class PretrainedConfig:\n    pass\n'  # the compiler of torch 2.1 changes it
    (tmp_path / 'transformers' / 'configuration_utils.py').write_text(configuration)
    (tmp_path / 'pycocotools').mkdir()
    (tmp_path / 'pycocotools' / '__init__.py').write_text('')
    for name, release in (('transformers', '5.24.0'), ('pycocotools', '2.0.8')):
        info = tmp_path / f'{name}-{release}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n')
    for code, succeeds in (
        ('import lewel_plugins.models', True),
        ('import mmpretrain.models', False),  # else this test shows nothing
    ):
        result = subprocess.run(
            [sys.executable, '-c', code],
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': f'{tmp_path}:{ROOT}'},
            capture_output=True,
            text=True,
        )
        assert (result.returncode == 0) == succeeds, result.stderr[-2000:]
