"""tools/compare.py on made-up trainings."""

import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.comparisons import command_line, compare, starts, write_comparison
from helpers.tool_runs import ROOT, environment
from matplotlib import image
from rich.console import Console

from lewel_plugins.comparison.display import LiveDisplay, time_left
from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.scheduler import Scheduler
from lewel_plugins.comparison.spec import load_comparison

RAW_PIXELS = """{python} -c "
import json, sys
json.dump({'raw pixels': {'knn/top1': [9.5]}}, open(sys.argv[1], 'w'))" {json}"""
READ_CHECKPOINT = """{python} -c "
import json, sys
read = float(open(sys.argv[2]).read())
json.dump({'deep': {'read': {'1': read, '2': 2 * read}, 'more': 1000}}, open(sys.argv[1], 'w'))" {json} {checkpoint}"""


@pytest.mark.core
def test_report_against_numbers_worked_by_hand(tmp_path):
    # The made-up k-NN is level + seed² + iteration: A ends at 13, 14, 17 and B, with another level, 2.5 higher.
    comparison = write_comparison(
        tmp_path / 'a folder',
        seeds=[0, 1, 2],
        question='Is B above A?',
        rows=[
            dict(name='A'),
            dict(name='B', options={'level': 12.5}),
            dict(name='pixels', command=RAW_PIXELS, select='raw pixels', per_seed=False, baseline='B'),
        ],
        post=[dict(name='read', command=READ_CHECKPOINT, rows=['B'])],
        metrics=[
            dict(key='knn/top1', label='k-NN'),
            dict(key='loss', value='best', higher_is_better=False, digits=3),
            dict(key='deep/read', label='best reading', value='best'),
        ],
        claims=[dict(source='Paper, Table 1', better='B', worse='A', metric='knn/top1', figure='+1.0')],
    )
    done = compare(comparison)
    assert done.returncode == 0, done.stdout[-4000:]
    report = (comparison.parent / 'report' / 'it.md').read_text()
    for line in (
        'Is B above A?',
        'Mean ± sample standard deviation over seeds 0, 1, 2.',
        '| A | 14.67 ± 2.08 | 0.333 ± 0.000 | — | 3/3 | 0.0 |',
        '| B | 17.17 ± 2.08 | 0.333 ± 0.000 | 34.33 ± 4.16 | 3/3 | 0.0 |',
        '| pixels | 9.50 | — | — | 1/1 | 0.0 |',
        'Of 1 claims, 1 hold, 100% of the decided ones; 0 do not, 0 are undecided.',
        '| Paper, Table 1 | B > A | k-NN | +1.0 | +2.50 ± 0.00 (3/3) | holds |',
        'Differences on the same seeds (in brackets: seeds with the sign of the mean):',
        '| B − A | +2.50 ± 0.00 (3/3) | +0.000 ± 0.000 (0/3) | — |',
        '| pixels − B | -7.67 ± 2.08 (3/3) | — | — |',
        '| A | 13.00, 14.00, 17.00 | 0.333, 0.333, 0.333 | —, —, — |',
        '| B | `config.py` | `level=12.5` |',
        '![Made up](it.png)',
    ):
        assert line in report.splitlines(), report
    assert 'Partial' not in report
    record = json.loads((comparison.parent / 'report' / 'it.json').read_text())
    assert (
        record['seeds'] == [0, 1, 2] and record['commits'] and record['machines'] and 'compare.py' in record['command']
    )
    row = record['rows'][1]
    assert row['values']['2']['knn/top1'] == 19.5
    assert row['curves']['0']['knn/top1'] == dict(iteration=[1, 2, 3], value=[13.5, 14.5, 15.5])
    assert [(claim['better'], claim['verdict']) for claim in record['claims']] == [('B', 'holds')]
    assert row['difference']['knn/top1'] == dict(mean=2.5, std=0.0, n=3, same_sign=3)
    picture = image.imread(comparison.parent / 'report' / 'it.png')
    assert picture.shape[0] > 300 and picture.std() > 0.05  # the image is not blank

    again = compare(comparison)
    assert '7 runs, 7 of them already done' in again.stdout and 'start ' not in again.stdout
    assert starts(comparison, 'B', 2) == [1]


@pytest.mark.core
def test_kill_and_resume(tmp_path):
    """SIGKILL, which nothing can catch, also ends the training, which later goes on from its checkpoint."""
    comparison = write_comparison(tmp_path, config='train_cfg = dict(max_iters=12)\npause = 0.25')
    process = start(comparison)
    wait_for(lambda: list(tmp_path.glob('runs/A/seed0-*/iter_4.pth')))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = compare(comparison, '--only', 'A', '--seeds', '0')
    assert done.returncode == 0, done.stdout[-4000:]
    first, second = starts(comparison, 'A', 0)
    assert first == 1 and 5 <= second <= 12
    assert '| A | 22.00 | 1/1 |' in (tmp_path / 'report' / 'it.md').read_text()


def test_interrupt_ends_the_trainings_and_reports_what_there_is(tmp_path):
    comparison = write_comparison(
        tmp_path,
        rows=[dict(name='A'), dict(name='B', options={'pause': 60.0})],
        seeds=[0],
    )
    process = start(comparison, '--jobs', '2')
    wait_for(lambda: list(tmp_path.glob('runs/A/seed0-*/done.json')) and list(tmp_path.glob('runs/B/*/starts.txt')))
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'goes on from the last checkpoints' in output
    report = (tmp_path / 'report' / 'it.md').read_text()
    assert '**Partial: 1 of 2 runs are missing:** B, seed 0.' in report
    assert '| A | 13.00 | 1/1 | 0.0 |' in report
    # The lock is free: no subprocess is left that holds it.
    (folder,) = tmp_path.glob('runs/B/*')
    free = subprocess.run(['flock', '--nonblock', str(folder / 'run.lock'), 'true'])
    assert free.returncode == 0


@pytest.mark.core
def test_a_failed_run_stops_no_other(tmp_path):
    comparison = write_comparison(
        tmp_path,
        rows=[
            dict(name='A', options={'crash_at': 2}),
            dict(name='B'),
            dict(name='no json', command='{python} -c "print(1)"', per_seed=False),
            dict(name='no program', command='/none/such', per_seed=False),
            dict(name='no entry', command=RAW_PIXELS, select='raw/pixels', per_seed=False),
        ],
        seeds=[0],
    )
    done = compare(comparison)
    assert done.returncode == 1
    (log,) = tmp_path.glob('runs/A/*/train.log')
    assert (
        f'FAILED A, seed 0: train ended with exit status 1\n  {log.relative_to(tmp_path)}: made to crash' in done.stdout
    )
    assert 'FAILED no json: command ended without an error, but' in done.stdout
    assert 'FAILED no program: [Errno 2]' in done.stdout
    assert re.search("FAILED no entry: command: .*/command.json has no 'raw/pixels'", done.stdout)
    report = (tmp_path / 'report' / 'it.md').read_text()
    assert '**Partial: 4 of 5 runs are missing:** A, seed 0; no json; no program; no entry.' in report
    assert '| B | 13.00 | 1/1 | 0.0 |' in report
    # The repaired run has another config, so it does not go on from the checkpoint.
    write_comparison(tmp_path, rows=[dict(name='A'), dict(name='B')], seeds=[0])
    assert compare(comparison).returncode == 0
    assert len(list(tmp_path.glob('runs/A/*'))) == 2 and starts(comparison, 'B', 0) == [1]


@pytest.mark.core
def test_an_entry_that_a_finished_command_does_not_have(tmp_path):
    rows = [dict(name='A', command=RAW_PIXELS, select='raw pixels')]
    comparison = write_comparison(tmp_path, rows=rows, seeds=[0])
    assert compare(comparison).returncode == 0
    write_comparison(tmp_path, rows=[dict(rows[0], select='raw')], seeds=[0])
    done = compare(comparison)
    assert done.returncode == 2
    assert re.fullmatch("error: command: .*/A/.*/command.json has no 'raw'", done.stdout.splitlines()[-1])


@pytest.mark.core
def test_a_run_of_another_process_is_left_alone(tmp_path):
    comparison = write_comparison(tmp_path, rows=[dict(name='A', options={'pause': 600.0}), dict(name='B')], seeds=[0])
    first = start(comparison)
    try:
        wait_for(lambda: list(tmp_path.glob('runs/A/*/starts.txt')))
        second = compare(comparison)
        assert second.returncode == 1
        assert 'FAILED A, seed 0: another process is running it' in second.stdout
        assert starts(comparison, 'A', 0) == [1] and starts(comparison, 'B', 0) == [1]
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)


def test_options_and_seeds_of_the_command_line(tmp_path):
    comparison = write_comparison(tmp_path, seeds=[0])
    done = compare(comparison, '--only', 'B', '--seeds', '3', '4', '--cfg-options', 'level=100')
    assert done.returncode == 0, done.stdout[-4000:]
    report = (tmp_path / 'report' / 'it.md').read_text()
    assert '| B | 112.00, 119.00 |' in report and '| A | —, — |' in report and '`level=100`' in report
    only_report = compare(comparison, '--report-only')
    assert only_report.stdout == 'no run has finished, so there is no report\n'  # no run has the settings of the file
    wrong = compare(comparison, '--only', 'Z')
    assert wrong.returncode == 2 and wrong.stdout == 'error: --only: there is no row Z; rows are A, B\n'


def test_gpus_and_threads_are_shared_out(monkeypatch):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
    from compare import slots

    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr('lewel_plugins.running.provenance.cores', lambda: 8)
    assert [s['CUDA_VISIBLE_DEVICES'] for s in slots(None, ['0', '3'])] == ['0', '3']
    assert [s['CUDA_VISIBLE_DEVICES'] for s in slots(3, ['0', '3'])] == ['0', '3', '0']
    assert slots(4, None) == [dict(OMP_NUM_THREADS='2', MKL_NUM_THREADS='2')] * 4
    assert slots(None, None)[0]['OMP_NUM_THREADS'] == '8'


def test_live_display_and_time_left(tmp_path):
    """One run has taken 100 s, one still needs 7 s by its log, and two have not started."""
    path = write_comparison(tmp_path)
    train = Path(__file__).resolve().parents[1] / 'helpers' / 'fake_train.py'
    runs = plan_runs(load_comparison(path), [0, 1], tmp_path / 'runs', train)
    jobs = Scheduler(runs, [{}], dict, LiveDisplay(1, Console())).jobs
    assert time_left(jobs, 1) is None
    jobs[0].status = 'done'
    runs[0].write_sessions([dict(seconds=60.0), dict(seconds=40.0)])
    jobs[1].status, jobs[1].step, jobs[1].start_time, jobs[1].log = (
        'running',
        'train',
        time.time() - 43,
        tmp_path / 'log',
    )
    jobs[1].log.write_text('Iter(train) [6/12]  eta: 0:00:07\n')
    # A again: 100 s; B again: 43 + 7 s; now 7 s.
    assert time_left(jobs, 1) == pytest.approx(157, abs=1)
    assert time_left(jobs, 2) == pytest.approx(157 / 2, abs=1)

    terminal = io.StringIO()
    with LiveDisplay(1, Console(file=terminal, force_terminal=True, width=100)) as display:
        display.event('start   [A]')
        display.update(jobs)
    screen = terminal.getvalue()
    assert 'start   [A]' in screen and '1/4 runs done, about 2 min 3' in screen and '6/12, 7 s left' in screen


def start(comparison: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        command_line(comparison, *arguments),
        cwd=comparison.parent,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for(condition) -> None:
    deadline = time.monotonic() + 240  # a busy machine takes a minute to import torch twice
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError('waited for four minutes')


@pytest.mark.core
def test_list_prints_what_the_rows_resolve_to_and_runs_nothing(tmp_path):
    large = 'train_cfg = dict(max_epochs=9)\ntrain_dataloader = dict(batch_size=4)\nlevel = 1.0\n'
    large += "auto_scale_lr = dict(base_batch_size=32)\noptim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5))\n"
    comparison = write_comparison(tmp_path, variants=dict(in100=dict(base='large.py')))
    (tmp_path / 'large.py').write_text(large)
    listing = compare(comparison, '--data', 'in100', '--list')
    assert listing.returncode == 0, listing.stdout
    for line in (
        'made_in100: Made up',
        '2 rows, seeds 0, 1',
        'B',
        '  large.py',
        '  8 × 4 images, 9 epochs, SGD, rate 0.5',
        '  level=12.5',
    ):
        assert line in listing.stdout.splitlines(), listing.stdout
    assert not (tmp_path / 'runs').exists()

    for arguments, message in (
        (('--data', 'in100'), "error: row 'A' is for 8 processes of 4 images, but there may be 1: set --processes 8"),
        (('--data', 'in1k'), "has no variant 'in1k'; its variants are in100"),
        (('--base', 'none.py'), "error: --base: config 'none.py' does not exist"),
        (('--data', 'in100', '--base', 'large.py'), 'error: either --data in100 or --base large.py, not both'),
        (('--table', '1'), 'error: --table is for the paper.yml of a method, which needs it'),
        (('--gpus', '0', '1', '2', '--processes', '2'), 'error: 3 GPUs cannot be dealt to runs of 2 processes'),
        (('--processes', '0'), '--processes must be at least 1, got 0'),
    ):
        done = compare(comparison, *arguments)
        assert done.returncode == 2 and message in done.stdout.splitlines()[-1], done.stdout
    assert not (tmp_path / 'runs').exists()


@pytest.mark.core
def test_a_run_of_several_processes_has_as_many_gpus():
    spec = importlib.util.spec_from_file_location('compare_tool', ROOT / 'tools' / 'compare.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    gpus = [slot['CUDA_VISIBLE_DEVICES'] for slot in tool.slots(None, list('0123'), 2)]
    assert gpus == ['0,1', '2,3']
    assert [slot['CUDA_VISIBLE_DEVICES'] for slot in tool.slots(None, list('012'))] == ['0', '1', '2']
    assert len(tool.slots(3, None)) == 3 and 'CUDA_VISIBLE_DEVICES' not in tool.slots(3, None)[0]
