"""Comparisons in pieces: what has to stop stops, what has no time is not started, and the next call goes on."""

from pathlib import Path

import pytest
import torch
from helpers import pretraining
from helpers.comparisons import HERE, compare, starts, write_comparison

from lewel_plugins.checkpoints import read_tensors
from lewel_plugins.comparison import scheduler, time_limit
from lewel_plugins.comparison.display import PlainDisplay
from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.scheduler import ScheduledRun, Scheduler
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.comparison.time_limit import TimeLimit

pytestmark = pytest.mark.core

POST = [dict(name='post', command=['{python}', '-c', "import json; json.dump(dict(a=1), open(r'{json}', 'w'))"])]


@pytest.fixture
def one_thread():
    """Sum in the order of the trainings of ``compare``, which have one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Steps(TimeLimit):
    """A time limit that is reached by what has happened instead of by a clock."""

    def __init__(self, may_start=lambda: True, must_stop=lambda: False, is_over=lambda: False) -> None:
        self.may_start, self.must_stop, self.is_over = may_start, must_stop, is_over


def run(path: Path, limit: TimeLimit | None, train_script: Path = HERE / 'fake_train.py') -> list[ScheduledRun]:
    runs = plan_runs(load_comparison(path), [0], path.parent / 'runs', train_script)
    return Scheduler(runs, [{}], lambda: dict(commit='c', machine='m'), PlainDisplay(1), limit, poll=0.02).run()


def statuses(jobs: list[ScheduledRun]) -> list[str]:
    return [job.status for job in jobs]


@pytest.mark.parametrize(
    ('seconds', 'start', 'stop', 'end'), [(600, 500, 560, 590), (3600, 3500, 3560, 3590), (60, 50, 56, 59)]
)
def test_margins(monkeypatch, seconds, start, stop, end):
    now = [1000.0]
    monkeypatch.setattr(time_limit.time, 'monotonic', lambda: now[0])
    limit = TimeLimit(seconds)
    for moment, method, expected in (
        (start, limit.may_start, (True, False)),
        (stop, limit.must_stop, (False, True)),
        (end, limit.is_over, (False, True)),
    ):
        results = []
        for offset in (-0.1, 0.1):
            now[0] = 1000.0 + moment + offset
            results.append(method())
        assert tuple(results) == expected


def test_without_a_limit_there_is_always_time():
    limit = TimeLimit(None)
    assert limit.may_start() and not limit.must_stop() and not limit.is_over()


def test_a_training_stops_and_goes_on_from_where_it_was(tmp_path):
    path = write_comparison(tmp_path, config='train_cfg = dict(max_iters=40)\npause = 0.1')
    reached = lambda: any(tmp_path.glob('runs/A/*/iter_2.pth'))  # noqa: E731
    jobs = run(path, Steps(may_start=lambda: not reached(), must_stop=reached))
    assert statuses(jobs) == ['stopped', 'waiting']
    (log,) = tmp_path.glob('runs/A/*/train.log')
    assert 'stopped by the signal' in log.read_text()
    assert statuses(run(path, None)) == ['done', 'done']
    first, second = starts(path, 'A', 0)
    assert first == 1 and 3 <= second <= 40 and starts(path, 'B', 0) == [1]


def test_a_post_without_time_is_run_in_the_next_piece(tmp_path):
    path = write_comparison(tmp_path, rows=[dict(name='A')], post=POST)
    (job,) = run(path, Steps(may_start=lambda: not any(tmp_path.glob('runs/A/*/train.log'))))
    assert job.status == 'stopped' and job.run.is_trained() and not job.run.is_done()
    (job,) = run(path, None)
    assert job.status == 'done' and job.run.is_done()
    assert starts(path, 'A', 0) == [1]


def test_a_post_that_runs_is_ended_and_repeated(tmp_path):
    slow = ['{python}', '-c', "import time; open(r'{work_dir}/began', 'w'); time.sleep(600)"]
    path = write_comparison(tmp_path, rows=[dict(name='A')], post=[dict(name='post', command=slow)])
    (job,) = run(path, Steps(must_stop=lambda: any(tmp_path.glob('runs/A/*/began'))))
    assert job.status == 'stopped' and job.run.is_trained()


def test_what_does_not_stop_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, '_GRACE', 0.2)
    script = tmp_path / 'deaf.py'
    script.write_text(
        'import signal, sys, time\n'
        'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
        "open(sys.argv[3] + '/began', 'w')\n"
        'time.sleep(600)\n'
    )
    path = write_comparison(tmp_path, rows=[dict(name='A')])
    began = lambda: any(tmp_path.glob('runs/A/*/began'))  # noqa: E731
    (job,) = run(path, Steps(must_stop=began, is_over=began), script)
    assert job.status == 'stopped'


def test_an_error_after_the_signal_is_a_failure(tmp_path):
    script = tmp_path / 'full_disk.py'
    script.write_text(
        'import signal, sys, time\n'
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('the disk is full'))\n"
        "open(sys.argv[3] + '/began', 'w')\n"
        'while True:\n'
        '    time.sleep(0.05)\n'  # in one long sleep, a signal that arrives just before it is handled after it
    )
    path = write_comparison(tmp_path, rows=[dict(name='A')])
    (job,) = run(path, Steps(must_stop=lambda: any(tmp_path.glob('runs/A/*/began'))), script)
    assert (job.status, job.reason) == ('failed', 'train ended with exit status 1')


def test_exit_status_of_the_tool(tmp_path):
    path = write_comparison(tmp_path, config='pause = 600', rows=[dict(name='A'), dict(name='B', options={'pause': 0})])
    left = compare(path, '--seeds', '0', '--max-minutes', '0.05')
    assert left.returncode == 75, left.stdout
    assert left.stdout.splitlines()[-1] == 'left: A, seed 0; B, seed 0. The same command goes on.'
    done = compare(path, '--seeds', '0', '--only', 'B', '--max-minutes', '60')
    assert done.returncode == 0, done.stdout
    assert '**Partial: 1 of 2 runs are missing:** A, seed 0.' in (tmp_path / 'report' / 'it.md').read_text()
    wrong = compare(path, '--max-minutes', '0')
    assert wrong.returncode == 2
    assert wrong.stdout.splitlines()[-1].endswith('error: --max-minutes must be positive, got 0')


def test_a_stopped_training_that_moves_ends_with_the_bits_of_one_that_does_not(tmp_path, one_thread):
    """A real training in two pieces, the second one in another place, as on another machine."""
    (tmp_path / 'images').mkdir()
    pretraining.write_images(tmp_path / 'images')
    settings = pretraining.Run('lewel_b')
    whole = pretraining.pretrain(0, settings, tmp_path / 'images', tmp_path / 'whole')
    cfg = pretraining.config(settings, tmp_path / 'images', Path('unused'), None, stop_in=7)
    cfg.custom_imports = dict(imports=['helpers.pretraining'])
    cfg.custom_hooks[-1].path = str(tmp_path / 'journal.txt')
    for name in ('work_dir', 'experiment_name'):
        cfg.pop(name)
    here = tmp_path / 'here'
    path = write_comparison(here, rows=[dict(name='A')], seeds=[0])
    cfg.dump(here / 'config.py')
    command = ('--train-script', str(Path(__file__).parents[2] / 'tools' / 'train.py'))

    stopped = compare(path, *command)
    assert stopped.returncode == 75, stopped.stdout
    assert [file.name for file in here.glob('runs/A/*/*.pth')].count('stopped.pth') == 1
    there = here.rename(tmp_path / 'there')
    ended = compare(there / path.name, *command)
    assert ended.returncode == 0, ended.stdout
    (folder,) = there.glob('runs/A/*')
    final = read_tensors(folder / 'iter_12.pth')
    assert not pretraining.different(whole['state'], final['state_dict'])
    assert not pretraining.different(whole['optimizer'], final['optimizer'])
