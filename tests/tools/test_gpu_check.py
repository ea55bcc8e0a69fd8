"""``tools/gpu_check.py`` on the CPU: its rows, its record, its page."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from helpers.tool_runs import ROOT

from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.errors import SetupError

try:
    check_torch()
except SetupError as error:
    pytest.skip(str(error), allow_module_level=True)

TOOLS = str(ROOT / 'tools')
sys.path.append(TOOLS)  # for the processes of the rows, too
from measurements.gpu import plan, suite  # noqa: E402
from measurements.gpu.page import as_page  # noqa: E402
from measurements.gpu.recipes import data_sheet  # noqa: E402
from measurements.gpu.record import Record  # noqa: E402
from measurements.gpu.rows import Row  # noqa: E402

spec = importlib.util.spec_from_file_location('gpu_check', Path(TOOLS) / 'gpu_check.py')
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

ORIGIN = dict(commit='abc', device='NVIDIA H200', driver='580.1', torch='2.11.0', cuda='13.0', cudnn='91000')
MEMORY = 'memory/lewel-m_resnet10_1xb64-24e_garment-scenes'
NAMES = [
    *('step/LEWEL_M', 'precision/LEWEL_M', 'kernels/monitor 16 × 8', 'kernels/SyncBN 4 × 8 × 3 × 3 bfloat16'),
    *(MEMORY, MEMORY.replace('memory', 'predictions')),
]


def check(folder: Path, *options: str) -> tuple[int, str]:
    """Run the command in this process, so that the rows share its imports; return exit code and output."""
    command = ['gpu_check.py', '--out', str(folder), '--work-dir', str(folder / 'work'), '--device', 'cpu', *options]
    output = io.StringIO()
    with mock.patch.object(sys, 'argv', command), contextlib.redirect_stdout(output):
        code = tool.main()
    return code, output.getvalue()


def entries(folder: Path) -> dict[str, dict]:
    content = json.loads((folder / 'gpu.json').read_text(encoding='utf-8'))
    return {f'{row["part"]}/{row["name"]}': row for row in content['rows']}


@pytest.fixture(scope='module')
def smoke(tmp_path_factory):
    """Measure some rows, and then all of them."""
    folder = tmp_path_factory.mktemp('check')
    first = check(folder, '--rows', *NAMES[:3])
    before = entries(folder)
    return folder, first, before, check(folder, '--rows', *NAMES)


@pytest.mark.nightly
def test_rows_are_measured_once(smoke):
    folder, (code, output), before, (second_code, second_output) = smoke
    assert code == 0 and '0 of 3 rows are measured' in output, output
    assert second_code == 0 and '3 of 6 rows are measured' in second_output, second_output
    assert 'left:' not in second_output
    after = entries(folder)
    assert before.keys() == set(NAMES[:3]) and after.keys() == set(NAMES)
    assert {key: after[key] for key in before} == before


def test_figures_are_plausible(smoke):
    folder, *_ = smoke
    results = {key: entry['result'] for key, entry in entries(folder).items()}
    step = results['step/LEWEL_M']
    assert step['images_per_second'] == pytest.approx(8 / step['step'])
    assert step['ratio'] == pytest.approx(step['step'] / step['passes'])
    precision = results['precision/LEWEL_M']
    assert 0.8 < precision['cosine'] < 1
    assert precision['loss_bf16'] == pytest.approx(precision['loss_float32'], rel=0.02)
    assert precision['loss_bf16'] != precision['loss_float32']
    memory, prediction = results[MEMORY], results[MEMORY.replace('memory', 'predictions')]
    assert memory['peak'] == pytest.approx(prediction['peak'], rel=0.02)
    differences = results['kernels/SyncBN 4 × 8 × 3 × 3 bfloat16']['differences']
    assert differences.keys() == {'output', 'gradient', 'running_mean', 'running_var'}
    assert max(differences.values()) < 1e-2


def test_page_of_a_cpu_states_that_it_is_one(smoke):
    folder, *_ = smoke
    page = (folder / 'gpu.md').read_text(encoding='utf-8')
    assert page.count('Their figures mean nothing') == 4  # step, memory, precision, kernels
    assert '| LEWEL_M | 8 |' in page and 'run A: commit ' in page


class Args:
    """Arguments of the command."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.out, self.work_dir = folder, folder / 'work'
        self.device, self.minutes, self.commit, self.any_commit, self.retry = 'cpu', 9.0, 'abc', False, False
        self.__dict__.update(changes)


def row(name: str, part: str = 'tests', seconds: float = 0, **settings: object) -> Row:
    return Row(part, name, f'helpers.check_rows.{name}', seconds, settings)


def test_a_row_that_fails_spoils_no_other(tmp_path, capsys):
    rows = [row('fail'), row('die'), row('succeed', value=3)]
    assert tool.Check(Args(tmp_path), rows[:2]).run() == 1
    output = capsys.readouterr().out
    assert 'failed: tests/fail, tests/die; measure them again with --retry' in output
    errors = {key: entry['error'] for key, entry in entries(tmp_path).items()}
    assert errors['tests/fail'].startswith('RuntimeError: CUDA error: an illegal memory access (check_rows.py:')
    assert errors['tests/die'] == 'the process has ended with exit code -9'
    assert 'and more lines' in (tmp_path / 'work' / 'logs' / 'tests_fail.log').read_text()
    assert [x.name for x in tool.Check(Args(tmp_path), rows).left()] == ['succeed']  # failed rows are not repeated
    retry = tool.Check(Args(tmp_path, retry=True), rows[:1])
    assert retry.left() == rows[:1]
    assert retry.run() == 1 and retry.left() == []


def test_the_time_limit(tmp_path, capsys, monkeypatch):
    """A row that would end too late does not start; one that runs out of time is left; one that is stuck has failed."""
    late = tool.Check(Args(tmp_path), [row('succeed', seconds=600)])
    late.args.device = 'cuda'  # estimates are for GPUs
    assert late.run() == 0
    assert 'left: tests/succeed; go on with\n  python ' in capsys.readouterr().out
    assert not (tmp_path / 'gpu.json').exists()
    hanging = tool.Check(Args(tmp_path), [row('succeed'), row('hang'), row('fail')])
    hanging.deadline = tool.time.monotonic() + 8
    assert hanging.run() == 0
    assert 'left: tests/hang, tests/fail' in capsys.readouterr().out
    assert entries(tmp_path).keys() == {'tests/succeed'}
    monkeypatch.setattr(tool, '_SHORTEST', dict(cpu=1))
    assert tool.Check(Args(tmp_path), [row('hang')]).run() == 1
    assert entries(tmp_path)['tests/hang']['error'] == 'stopped after 1 s'


def test_record_is_of_a_commit_and_a_device(tmp_path):
    path, first, anywhere = tmp_path / 'gpu.json', row('a', size=2), Row('predictions', 'b', 'f', 1, {}, False)
    record = Record(path, ORIGIN)
    record.add(first, 1.0, result=dict(x=1))
    record.add(anywhere, 1.0, result=dict(x=2))
    assert Record(path, ORIGIN).find(first)['result'] == dict(x=1)
    assert Record(path, ORIGIN).find(row('a', size=3)) is None
    for change in (dict(commit='def'), dict(device='NVIDIA A100')):
        assert Record(path, {**ORIGIN, **change}).find(first) is None
    assert Record(path, {**ORIGIN, 'commit': 'def'}, any_commit=True).find(first)['result'] == dict(x=1)
    assert Record(path, dict(commit='abc')).find(anywhere)['result'] == dict(x=2)
    Record(path, {**ORIGIN, 'device': 'NVIDIA A100'}).add(first, 1.0, result=dict(x=3))
    again = Record(path, {**ORIGIN, 'commit': 'def'})
    again.add(first, 1.0, result=dict(x=4))
    again.add(anywhere, 1.0, result=dict(x=5))
    results = [(entry['name'], entry['origin'].get('device'), entry['result']['x']) for entry in again.rows]
    assert sorted(results) == [('a', 'NVIDIA A100', 3), ('a', 'NVIDIA H200', 4), ('b', 'NVIDIA H200', 5)]


def test_page_compares_memory_with_its_prediction(tmp_path):
    record = Record(tmp_path / 'gpu.json', ORIGIN)
    result = dict(batch=128, peak=3 * 2**30, reserved=4 * 2**30, step=0.1, step_fastest=0.09, step_slowest=0.11)
    memory = Row('memory', 'recipe', 'f', 1)
    record.add(memory, 1.0, result=dict(result, images_per_second=1280.0, waits=['a.py:1']))
    speeds = dict(h200=[1000, 2000], h100=[1, 2])
    prediction = dict(batch=128, peak=2 * 2**30, need=5 * 2**30, images_per_second=speeds, waits=0)
    record.add(Row('predictions', 'recipe', 'f', 1, {}, False), 1.0, result=prediction)
    page = as_page(record.rows)
    expected = '3.00 | 2.00 | 1.500 | 4.00 | 5.0 | 100.0 (90.0 – 110.0) | 1,280 | 1,000 – 2,000 | a.py:1'
    assert f'| recipe | 128 | {expected} | A |' in page
    assert 'mean nothing' not in page
    record.add(memory, 1.0, error='OutOfMemoryError: a | b')
    assert '| recipe | **error: OutOfMemoryError: a \\| b** |' in as_page(record.rows)


def test_page_of_the_results_is_up_to_date():
    record = ROOT / 'docs' / 'results' / 'gpu.json'
    if not record.exists():
        pytest.skip('no GPU has been measured')
    rows = json.loads(record.read_text(encoding='utf-8'))['rows']
    assert record.with_suffix('.md').read_text(encoding='utf-8') == as_page(rows)


def test_plan_has_all_parts_and_every_recipe_exists(tmp_path):
    for device in ('cpu', 'cuda'):
        rows = plan.plan(device, tmp_path, tmp_path)
        assert list(dict.fromkeys(x.part for x in rows)) == list(plan.PARTS)
        assert len({x.key for x in rows}) == len(rows)
        recipes = {x.settings['recipe'] for x in rows if 'recipe' in x.settings}
        assert recipes and all((ROOT / 'configs' / recipe).is_file() for recipe in recipes)
    without = plan.plan('cuda', None, tmp_path)
    assert {x.part for x in without} == set(plan.PARTS) - {'cifar'}
    assert [x.part for x in plan.plan('cuda', None, tmp_path, ['step'], ['step/LEWEL_M'])] == ['step']


def test_tests_are_counted(tmp_path, monkeypatch):
    (tmp_path / 'test_it.py').write_text(
        'import pytest\n'
        'def test_well(): pass\n'
        'def test_wrong(): assert 1 == 2\n'
        '@pytest.mark.skip("no second GPU")\ndef test_left_out(): pass\n'
    )
    monkeypatch.setattr(suite, 'ROOT', tmp_path)
    result = suite.run_file('cpu', 'test_it.py')
    assert result['passed'] == 1
    assert [case['name'] for case in result['failed']] == ['test_wrong']
    assert 'assert 1 == 2' in result['failed'][0]['message']
    assert result['skipped'] == [dict(name='test_left_out', message='no second GPU')]
    assert tool.is_bad(dict(result=result))
    with pytest.raises(RuntimeError, match='has found no test'):
        suite.run_file('cuda', 'test_it.py')


@pytest.mark.parametrize(
    ('name', 'key'),
    [
        ('NVIDIA H200', 'h200'),
        ('NVIDIA H100 80GB HBM3', 'h100'),
        ('NVIDIA H100 PCIe', 'h100-pcie'),
        ('NVIDIA A100-SXM4-80GB', 'a100-80gb'),
        ('NVIDIA A100-SXM4-40GB', 'a100-40gb'),
        ('NVIDIA GeForce RTX 4090', 'rtx-4090'),
        ('Tesla T4', None),
        ('cpu', None),
    ],
)
def test_data_sheets_by_the_names_of_cuda(name, key):
    assert data_sheet(name) == key


def write_cifar(folder: Path, count: int = 12) -> None:
    rng = np.random.default_rng(0)
    for part in ('train', 'test'):
        for name in ('cat', 'dog'):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / part / name / f'{i}.jpg'), image)


@pytest.mark.nightly
def test_a_training_on_cifar_goes_on_where_it_was_stopped(tmp_path, capsys):
    write_cifar(tmp_path / 'data')
    rows = plan.plan('cpu', tmp_path / 'data', tmp_path / 'work', ['cifar'])
    stopped = tool.Check(Args(tmp_path), rows)
    stopped.deadline = tool.time.monotonic() + 10  # so that it saves after its first iteration
    assert stopped.run() == 0
    assert 'left: cifar/mpcl' in capsys.readouterr().out
    (entry,) = entries(tmp_path).values()
    assert entry['result']['finished'] is False
    assert tool.Check(Args(tmp_path), rows).run() == 0
    assert 'left:' not in capsys.readouterr().out
    (entry,) = entries(tmp_path).values()
    assert entry['result']['finished'] is True and list(entry['result']['accuracies']) == ['3', '6']
    log = next((tmp_path / 'work' / 'logs').glob('cifar*.log')).read_text()
    assert '--resume: continuing from' in log


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--rows', 'step/LEWEL'], 'no row is named step/LEWEL; --list prints the names'),
        (['--data', '/nowhere'], '--data /nowhere has no folder train/'),
        (['--page'], r'gpu.json does not exist'),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(SetupError, match=message):
        check(tmp_path, *options)


def test_without_a_gpu_there_is_one_line(tmp_path):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    with pytest.raises(SetupError, match='^there is no GPU; --device cpu tries the check itself$'):
        check(tmp_path, '--device', 'cuda', '--parts', 'step')
    code, output = check(tmp_path, '--device', 'cuda', '--parts', 'predictions', '--list')  # for which none is needed
    assert code == 0 and output.count('predictions/') == len(plan.RECIPES)
