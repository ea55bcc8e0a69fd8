"""The confusion table of verdicts: its folders, and its tables from trainings that are already recorded."""

import json
import sys

import numpy as np
import pytest
from helpers.tool_runs import ROOT, run
from PIL import Image

SCRIPTS = ROOT / 'tools' / 'measurements'
STEPS = list(range(10, 210, 10))


def curves(std: float) -> dict[str, list]:
    values = dict(loss=[6.0 - 0.1 * i for i in range(20)], std=[std] * 20, rank_me=[9.0] * 20)
    return {name: [STEPS, value] for name, value in values.items()}


def record(**measures) -> dict:
    return dict(end='finished', seconds=1.0, steps=200, measures=dict(total_steps=200, **measures))


def test_tables_of_recorded_trainings(tmp_path):
    names = ('LEWEL_M', 'rate-≈-0', 'no-predictor,-no-teacher')
    for name, std in zip(names, (0.9, 0.9, 0.01)):
        path = tmp_path / 'runs' / f'{name}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record(curves=curves(std))), encoding='utf-8')
    out = tmp_path / 'results.json'
    options = ['--work-dir', str(tmp_path / 'runs'), '--cases', '3', '--out', str(out)]
    done = run(sys.executable, str(SCRIPTS / 'report_verdicts.py'), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    text = out.with_suffix('.md').read_text(encoding='utf-8')
    assert (
        '| no predictor, no teacher | collapsed | **collapsed**: std 0.01 < 0.1, in the last 3 checks | yes |' in text
    )
    for line in ('| healthy (1) | 1 |', '| not learning (1) | 1 | · |', '| collapsed (1) | · | 1 |'):
        assert line in text
    content = json.loads(out.read_text(encoding='utf-8'))
    assert [list(row['verdicts']) for row in content['rows']] == [['healthy'], ['healthy'], ['collapsed']]
    assert content['documented']['trainings'] > 300

    picture = tmp_path / 'monitors.svg'
    done = run(sys.executable, str(SCRIPTS / 'monitor_picture.py'), str(picture), '--results', str(out), cwd=tmp_path)
    assert done.returncode != 0 and "has no training 'BYOL'" in done.stdout and not picture.exists()


@pytest.fixture
def seeded_folders(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import seeded_folders

    return seeded_folders


def test_folders(tmp_path, seeded_folders):
    sources = []
    for i in range(16):
        sources.append(tmp_path / 'train' / 'ab'[i % 2] / f'{i:02}.jpg')
        sources[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 8 * i, np.uint8)).save(sources[-1])
    for name, make in seeded_folders.FOLDERS.items():
        make(tmp_path / name, sources)
    images = {name: sorted((tmp_path / name).glob('*/*')) for name in seeded_folders.FOLDERS}
    assert {name: len(paths) for name, paths in images.items()} == dict(
        scenes=16, few=2, colors=16, tinted=16, marked=16
    )
    pixels = [np.asarray(Image.open(path)) for path in images['colors']]
    assert all((image == image[0, 0]).all() for image in pixels)
    assert len({tuple(image[0, 0]) for image in pixels}) == 16
    marks = {np.asarray(Image.open(path))[5:11, 5:11].tobytes() for path in images['marked']}
    assert len(marks) == 16
