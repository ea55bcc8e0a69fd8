"""The quickstart on a handful of scenes: every step, the files it promises, and a second run that reuses them."""

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def _quickstart(folder: Path) -> str:
    sizes = ['--num-train', '256', '--num-val', '40']
    done = subprocess.run(
        [
            sys.executable,
            'tools/quickstart.py',
            '--work-dir',
            folder / 'work',
            '--data',
            folder / 'scenes',
            '--epochs',
            '2',
        ]
        + sizes,
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_quickstart_and_its_second_run(tmp_path):
    first = _quickstart(tmp_path)
    work = tmp_path / 'work'
    for name in ('alignment_maps.png', 'curves.png', 'backbone.pth', 'baseline_knn.json'):
        assert (work / name).stat().st_size > 0, name
        assert str(work / name) in first
    for words in ('raw pixels', 'random initialisation', 'LEWEL_B after 8 iterations', 'data_root=/my/images'):
        assert words in first
    checkpoint = Path((work / 'lewel-b' / 'last_checkpoint').read_text().strip())
    assert torch.load(checkpoint, map_location='cpu', weights_only=False)['meta']['epoch'] == 2
    before = checkpoint.stat().st_mtime_ns
    second = _quickstart(tmp_path)
    assert second.count('done before') == 4
    assert checkpoint.stat().st_mtime_ns == before
    assert 'LEWEL_B after 8 iterations' in second
