import pytest
from helpers.comparisons import HERE, starts, write_comparison

from lewel_plugins.comparison.display import PlainDisplay
from lewel_plugins.comparison.report import write_report
from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.scheduler import Scheduler
from lewel_plugins.comparison.spec import load_comparison

pytestmark = pytest.mark.core


def test_a_run_that_another_process_has_finished_since_is_done(tmp_path, capsys):
    path = write_comparison(tmp_path)
    runs = plan_runs(load_comparison(path), [0], tmp_path / 'runs', HERE / 'fake_train.py')
    scheduler = Scheduler(runs, [{}], lambda: dict(commit='c', machine='m'), PlainDisplay(1), poll=0.02)
    runs[0].prepare()
    for step in runs[0].steps:
        step.job.finish()
    assert [job.status for job in scheduler.run()] == ['done', 'done']
    assert 'done    A, seed 0, by another process' in capsys.readouterr().out
    assert not (runs[0].work_dir / 'sessions.json').exists() and starts(path, 'B', 0) == [1]


def test_a_report_names_every_commit_under_which_a_run_was_trained(tmp_path):
    path = write_comparison(tmp_path)
    comparison = load_comparison(path)
    runs = plan_runs(comparison, [0], tmp_path / 'runs', HERE / 'fake_train.py')
    commits = iter(['old', 'new'])
    Scheduler(runs, [{}], lambda: dict(commit=next(commits), machine='m'), PlainDisplay(1), poll=0.02).run()
    continued = dict(commit='new', machine='m', seconds=0.0)
    runs[0].write_sessions([*runs[0].sessions(), continued, continued])
    report = write_report(comparison, [0], runs, 'compare', tmp_path / 'report')
    assert '- Commit: new (1 runs), old then new (1 runs)' in report.read_text()


def test_a_post_command_that_starts_under_another_commit_is_a_start_of_its_own(tmp_path):
    post = [dict(name=name, command=['{python}', '-c', "open(r'{json}', 'w').write('{}')"]) for name in ('p', 'q')]
    path = write_comparison(tmp_path, rows=[dict(name='A')], seeds=[0], post=post)
    comparison = load_comparison(path)
    runs = plan_runs(comparison, [0], tmp_path / 'runs', HERE / 'fake_train.py')
    commits = iter(['old', 'new', 'new'])
    jobs = Scheduler(runs, [{}], lambda: dict(commit=next(commits), machine='m'), PlainDisplay(1), poll=0.02).run()
    assert [job.status for job in jobs] == ['done'] and not list(commits)
    first, second = runs[0].sessions()
    assert (first['commit'], second['commit']) == ('old', 'new') and first['seconds'] > 0 and second['seconds'] > 0
    report = write_report(comparison, [0], runs, 'compare', tmp_path / 'report')
    assert '- Commit: old then new' in report.read_text()
