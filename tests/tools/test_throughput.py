"""tools/analysis/throughput.py on logs as mmengine writes them."""

import json
import sys

import pytest
from helpers.tool_runs import ROOT, run

TOOL = ROOT / 'tools' / 'analysis' / 'throughput.py'


@pytest.fixture
def work_dir(tmp_path):
    logs = tmp_path / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    steps = [(50, 9.0, 8.0), (100, 0.5, 0.1), (150, 0.4, 0.04), (200, 0.6, 0.3)]
    lines = [dict(lr=1, time=time, data_time=data, memory=1000 + i, iter=i, step=i) for i, time, data in steps]
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    (tmp_path / 'recipe.py').write_text('train_dataloader = dict(batch_size=32)\n')
    return tmp_path


def test_throughput(work_dir):
    """The first record, which includes the start, does not count."""
    out = work_dir / 'speed.json'
    done = run(sys.executable, str(TOOL), str(work_dir), '--ranks', '2', '--out', str(out), cwd=ROOT)
    assert done.returncode == 0, done.stdout
    (row,) = json.loads(out.read_text())
    assert row['batch'] == 64 and row['step'] == 0.5 and row['memory_mb'] == 1200
    assert row['images_per_second'] == 128 and row['data_share'] == pytest.approx(0.2)
    assert '| 64 | 0.500 | 128.0 | 20.0 % | 1200 |' in done.stdout


def test_run_without_a_step_is_named(work_dir):
    (work_dir / '20260101_000000' / 'vis_data' / 'scalars.json').write_text('')
    done = run(sys.executable, str(TOOL), str(work_dir), cwd=ROOT)
    assert done.returncode == 1 and 'no step is logged' in done.stdout and 'Traceback' not in done.stdout
