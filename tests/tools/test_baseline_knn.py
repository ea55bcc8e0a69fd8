import json
import sys

import pytest
from helpers.tool_runs import ROOT, run, write_config

BASELINE = str(ROOT / 'tools' / 'analysis' / 'baseline_knn.py')
PLOT = str(ROOT / 'tools' / 'analysis' / 'plot_curves.py')


@pytest.mark.core
def test_writes_accuracies_that_the_curves_show(tmp_path):
    config = write_config(tmp_path / 'toy.py')
    results = []
    for name in ('a', 'b'):
        out = tmp_path / name / 'baseline_knn.json'
        done = run(sys.executable, BASELINE, config, '--seeds', '0', '1', '--out', str(out), cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-4000:]
        assert '| raw pixels | ' in done.stdout and '| random initialization | ' in done.stdout
        results.append(json.loads(out.read_text()))
    assert results[0] == results[1]
    # The toy images are noise on one of four colors, so pixels reveal the label, and accuracies depend on the seed.
    assert results[0]['raw pixels'] == {'knn/top1': [100.0]}
    first, second = results[0]['random initialization']['knn/top1']
    assert 0 <= first < 100 and first != second

    scalars = tmp_path / 'a' / '20260101' / 'vis_data' / 'scalars.json'
    scalars.parent.mkdir(parents=True)
    scalars.write_text('{"lr": 0.1, "loss": 1.0, "iter": 1, "step": 1}\n{"knn/top1": 60.0, "step": 1}\n')
    done = run(sys.executable, PLOT, str(tmp_path / 'a'), '--out', str(tmp_path / 'curves.png'), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_errors_name_what_is_wrong(tmp_path):
    config = write_config(tmp_path / 'toy.py')
    done = run(sys.executable, BASELINE, config, '--cfg-options', 'val_evaluator=None', cwd=tmp_path)
    assert done.returncode == 1 and 'error: the config does not validate by k-NN' in done.stdout
    done = run(sys.executable, PLOT, str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1 and 'is it the work dir of a run?' in done.stdout
