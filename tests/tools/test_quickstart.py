"""The quickstart on a few scenes: every step, the files that it promises, and a second run that reuses them."""

import subprocess
import sys
from pathlib import Path

import torch
from helpers.tool_runs import ROOT, run


def _quickstart(folder: Path, epochs: int = 2) -> subprocess.CompletedProcess[str]:
    words = ['--work-dir', folder / 'work', '--data', folder / 'scenes', '--epochs', epochs]
    words += ['--num-train', 256, '--num-val', 40]
    return run(sys.executable, ROOT / 'tools' / 'quickstart.py', *words, cwd=ROOT)


def _output(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def test_quickstart_and_its_second_run(tmp_path):
    first = _output(_quickstart(tmp_path))
    work = tmp_path / 'work'
    for name in ('alignment_maps.png', 'curves.png', 'backbone.pth', 'baseline_knn.json'):
        assert (work / name).stat().st_size > 0, name
        assert str(work / name) in first
    for words in (
        'raw pixels',
        'random initialization',
        'LEWEL_B after 8 iterations',
        'lewel_plugins pretrain /my/images',
    ):
        assert words in first
    checkpoint = Path((work / 'lewel-b' / 'last_checkpoint').read_text().strip())
    assert torch.load(checkpoint, map_location='cpu', weights_only=False)['meta']['epoch'] == 2
    before = checkpoint.stat().st_mtime_ns
    second = _output(_quickstart(tmp_path))
    assert second.count('done before') == 4
    assert checkpoint.stat().st_mtime_ns == before
    assert 'LEWEL_B after 8 iterations' in second

    other = _quickstart(tmp_path, epochs=3)  # the results of two epochs must not be presented
    assert other.returncode == 1
    assert 'holds a run from epochs 2, not 3: give another --work-dir' in other.stdout.splitlines()[-1]
    assert checkpoint.stat().st_mtime_ns == before
