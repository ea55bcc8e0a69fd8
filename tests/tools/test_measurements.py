"""The measurements on the smallest shapes print plausible figures."""

import importlib.util
import json
import os
import sys

import pytest
import torch
from helpers.tool_runs import ROOT, run

SCRIPTS = ROOT / 'tools' / 'measurements'


def results(folder, script: str, *options: str) -> dict:
    out = folder / 'results.json'
    done = run(sys.executable, str(SCRIPTS / script), *options, '--out', str(out), cwd=folder)
    assert done.returncode == 0, done.stdout
    return json.loads(out.read_text())


def test_time_over_necessary_passes(tmp_path):
    methods = ['SMoG, 30,000 groups']
    content = results(tmp_path, 'step.py', 'time', '--settings', '18:32:4', '--repeats', '1', '--methods', *methods)
    assert [row['method'] for row in content['rows']] == methods
    for row in content['rows']:
        assert row['ratio'] == pytest.approx(row['step'] / row['passes'])
        assert row['bytes_step'] >= row['bytes_passes'] > 0
    assert content['commit'] and '--repeats 1' in content['command'] and content['repeats'] == 1
    assert '| SMoG, 30,000 groups | 18 | 32 | 4 |' in (tmp_path / 'results.md').read_text(encoding='utf-8')


@pytest.mark.nightly
@pytest.mark.parametrize('method', ['MoCo v2', 'MoCo v3', 'Barlow Twins'])
def test_projectors(tmp_path, method):
    options = ['--projectors', '1', '2', '--setting', '18:32:4', '--repeats', '1', '--barlow-width', '64']
    rows = results(tmp_path, 'step.py', 'projectors', '--methods', method, *options)['rows']
    assert [row['projectors'] for row in rows] == ['mmpretrain', 1, 2]
    assert rows[2]['gflops'] > rows[1]['gflops'] == pytest.approx(rows[0]['gflops'], rel=2e-3)
    assert [row.get('rest') for row in rows[:2]] == [None, 0]


def test_peers(tmp_path):
    options = ['--settings', '18:32:4', '--repeats', '1', '--methods', 'MoCo v2']
    rows = results(tmp_path, 'step.py', 'peers', *options)['rows']
    has_lightly = importlib.util.find_spec('lightly') is not None
    assert [row['peer'] for row in rows] == ['mmpretrain'] + ['lightly'] * has_lightly
    for row in rows:
        assert row['ratio'] == pytest.approx(row['seconds'] / row['peer_seconds'])


COMPARISON = """
options = {{'train_dataloader.batch_size': 8}}
rows = [
    dict(name='mmpretrain', config='{configs}/baselines/byol{small}'),
    dict(name='ours', config='{configs}/msbreg/msbreg-k2{small}'),
    dict(name='K = 4', config='{configs}/msbreg/msbreg-k4{small}', baseline='ours'),
    dict(name='lightly', config='{configs}/comparisons/libraries/lightly-byol{small}', baseline='ours'),
]
metrics = ['knn/top1_k20']
"""


def test_rows(tmp_path):
    file = tmp_path / 'two.py'
    file.write_text(COMPARISON.format(configs=ROOT / 'configs', small='_resnet10_1xb128-10e_cifar10.py'))
    rows = results(tmp_path, 'step.py', 'rows', str(file), '--repeats', '1')['rows']
    beside = [('mmpretrain', 'mmpretrain'), ('ours', 'mmpretrain'), ('K = 4', 'ours')]
    assert [(row['row'], row['baseline']) for row in rows] == beside
    assert rows[0]['ratio'] == 1 and rows[1]['ratio'] == pytest.approx(rows[1]['seconds'] / rows[0]['seconds'])
    assert '| ours | ' in (tmp_path / 'results.md').read_text(encoding='utf-8')


def test_switches(tmp_path):
    switches = ['images', 'weights', 'optimizer', 'teacher', 'bf16']
    options = ['--settings', '18:32:4', '--repeats', '1', '--methods', 'SMoG', '--switches', *switches]
    rows = results(tmp_path, 'step.py', 'switches', *options)['rows']
    assert [row['switch'] for row in rows] == switches[:4]  # bf16 needs a GPU
    for row in rows:
        assert row['ratio'] == pytest.approx(row['without'] / row['with'])


@pytest.mark.nightly
def test_aligned(tmp_path):
    options = ['--images', '2', '--types', 'bfloat16', '--methods', 'LEWEL_M', '--repeats', '0']
    rows = results(tmp_path, 'step.py', 'aligned', *options)['rows']
    assert [row['path'] for row in rows] == ['together', 'apart', 'float32']
    assert rows[0]['z'] > 4 * rows[1]['z'] > 0
    assert '| LEWEL_M | bfloat16 | apart |' in (tmp_path / 'results.md').read_text(encoding='utf-8')


def test_reset(tmp_path):
    content = results(tmp_path, 'step.py', 'reset', '--rows', '500', '--groups', '20', '--passes', '2')
    assert content['rows'][0]['rows'] == 500 and content['rows'][0]['groups'] == 20
    assert content['device'] == 'cpu' and '| 500 x 128 | 20 |' in (tmp_path / 'results.md').read_text()


@pytest.mark.nightly
def test_scaling(tmp_path):
    options = ['--setting', '18:32:4', '--repeats', '1', '--values', '2', '--axes', 'views', 'projectors', 'ranks']
    rows = results(tmp_path, 'step.py', 'scaling', *options)['rows']
    assert [row['axis'] for row in rows] == ['views', 'projectors', 'ranks']
    for row in rows:
        assert row['value'] == 2 and row['batch'] == 4
        assert row['ratio'] == pytest.approx(row['step'] / row['passes'])
        assert row['per_view'] == pytest.approx(row['step'] / 8)


def test_exits(tmp_path):
    rows = results(tmp_path, 'exits.py', '--runs', '2', '--control', '1')['rows']
    assert [row['runs'] for row in rows] == [1, 1, 1]
    assert [row['expected'] for row in rows] == [[0, 0], [75, 75], [0, 0]]
    assert [row['counts'] for row in rows[:2]] == [{'as expected': 1}] * 2  # the control may abort


@pytest.mark.nightly
def test_soak(tmp_path):
    (row,) = results(tmp_path, 'soak.py', '--rounds', '3', '--methods', 'LEWEL_M', '--ranks', '1')['rows']
    assert row['problems'] == [] and row['finished'] + sum(row['ends'].values()) == 3


def test_soak_sees_what_differs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    soak = importlib.import_module('soak')
    a, b = torch.arange(3.0), torch.tensor([0.0, 1.0, 2.0000002])
    assert soak.equal(dict(x=[a, 1]), dict(x=[a.clone(), 1]))
    assert not soak.equal(dict(x=[a]), dict(x=[b])) and not soak.equal(dict(x=a), dict(y=a))
    for step in (10, 20):
        torch.save(dict(state_dict=dict(x=torch.rand(99)), meta=dict(iter=step)), tmp_path / f'iter_{step}.pth')
        os.utime(tmp_path / f'iter_{step}.pth', (step, step))
    assert soak.saved_step(tmp_path) == 20
    content = (tmp_path / 'iter_20.pth').read_bytes()
    (tmp_path / 'iter_20.pth').write_bytes(content[:-9])
    assert soak.saved_step(tmp_path) == 10


def test_several_machines_are_trained_as_the_page_says(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    command = importlib.import_module('two_hosts').page_command()
    assert all(f' {word}' in f' {command}' for word in ('NODE_RANK=0 ', 'CONFIG 8 ', 'RUN ', '--resume'))
    assert ' tools/dist_train.sh ' in command


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['time', '--bf16'], '--bf16 needs --device cuda'),
        (['scaling', '--setting', '18:64'], "'18:64' is not DEPTH:SIZE:BATCH"),
        (['peers', '--methods', 'SimCLR'], "invalid choice: 'SimCLR'"),
        ([], 'COMMAND'),
    ],
)
def test_wrong_options(tmp_path, options, message):
    done = run(sys.executable, str(SCRIPTS / 'step.py'), *options, cwd=tmp_path)
    assert done.returncode != 0 and message in done.stdout


def test_input_choices(tmp_path):
    rows = results(tmp_path, 'input_choices.py', '--images', '2', '--repeats', '1')['rows']
    assert len({row['operation'] for row in rows}) == 6
    ours = [row for row in rows if row['by'].startswith('ours')]
    assert [row['difference'] for row in ours[4:]] == [None, None]
    assert all(row['ratio'] == 1 for row in ours)
    bounds = [0, 1, 2, 1]  # the jitter is a sequence of four operations
    assert all(row['difference'] <= bound for row, bound in zip(ours, bounds))
