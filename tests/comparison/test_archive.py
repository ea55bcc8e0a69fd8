import io
import json
import os
import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.comparisons import compare, write_comparison

from lewel_plugins.comparison import archive
from lewel_plugins.comparison.archive import read_archive, write_archive
from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.errors import SetupError
from lewel_plugins.running.jobs import lock

pytestmark = pytest.mark.core


def plan(folder, **entries):
    comparison = load_comparison(write_comparison(folder, **entries))
    return plan_runs(comparison, (0, 1), folder / 'runs', folder / 'tools' / 'train.py')


def finish(run):
    run.prepare()
    (run.work_dir / 'iter_3.pth').write_bytes(b'weights')
    for step in run.steps:
        step.job.finish()


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_a_report_on_another_machine(tmp_path):
    here, there = tmp_path / 'here', tmp_path / 'there'
    first = compare(write_comparison(here, rows=[dict(name='A')], seeds=[0]), '--archive', 'runs.tar.xz')
    assert first.returncode == 0 and 'finished runs in runs.tar.xz: 1' in first.stdout
    path = write_comparison(there, rows=[dict(name='A')], seeds=[0])
    shutil.copy(here / 'runs.tar.xz', there)
    second = compare(path, '--archive', 'runs.tar.xz', '--report-only')
    assert second.returncode == 0 and 'finished runs taken from runs.tar.xz: 1' in second.stdout
    reports = [json.loads((folder / 'report' / 'it.json').read_text()) for folder in (here, there)]
    assert reports[0]['rows'] == reports[1]['rows'] and reports[0]['rows'][0]['curves']['0']
    assert (there / 'runs.tar.xz').read_bytes() == (here / 'runs.tar.xz').read_bytes()


def test_finished_runs_only_and_no_checkpoints(tmp_path):
    done, unfinished, *_ = plan(tmp_path / 'here')
    finish(done)
    unfinished.prepare()
    assert write_archive([done, unfinished], tmp_path / 'runs.tar.xz') == 1
    runs = plan(tmp_path / 'there')
    assert read_archive(runs, tmp_path / 'runs.tar.xz') == (1, 0)
    assert [run.is_done() for run in runs] == [True, False, False, False]
    expected = contents(done.work_dir)
    del expected['iter_3.pth']
    assert contents(runs[0].work_dir) == expected


COUNT = [dict(name='count', command=['{python}', '-c', "open(r'{json}', 'w').write('{}')"])]


def test_a_run_with_another_post_command_is_left_out_but_reported(tmp_path):
    here, there = tmp_path / 'here', tmp_path / 'there'
    rows = [dict(name='A')]
    assert compare(write_comparison(here, rows=rows, seeds=[0]), '--archive', 'runs.tar.xz').returncode == 0
    path = write_comparison(there, rows=rows, seeds=[0], post=COUNT)
    shutil.copy(here / 'runs.tar.xz', there)
    report = compare(path, '--archive', 'runs.tar.xz', '--report-only')
    assert report.returncode == 0 and 'finished runs taken from runs.tar.xz: 1' in report.stdout, report.stdout
    assert '| A | 13.00 | 1/1 | 0.0 |' in (there / 'report' / 'it.md').read_text()
    assert not list(there.glob('runs/A/*'))  # no later call tries to go on from it
    done = compare(path, '--archive', 'runs.tar.xz')
    assert done.returncode == 0, done.stdout
    assert 'finished runs taken from runs.tar.xz: 0\ntrained runs left out, ' in done.stdout
    assert 'post commands are missing or have changed: 1' in done.stdout
    assert [path.name for path in there.glob('runs/A/*/count.done.json')] == ['count.done.json']
    # The archive has the new one.
    runs = plan(tmp_path / 'elsewhere', rows=rows, seeds=[0], post=COUNT)
    assert read_archive(runs, there / 'runs.tar.xz') == (1, 0)


def test_what_is_there_already_stays(tmp_path):
    done, *_ = plan(tmp_path / 'here')
    finish(done)
    write_archive([done], tmp_path / 'runs.tar.xz')
    runs = plan(tmp_path / 'there')
    runs[0].prepare()  # it has been started
    before = contents(tmp_path / 'there')
    assert read_archive(runs, tmp_path / 'runs.tar.xz') == (0, 0)
    assert contents(tmp_path / 'there') == before


def test_runs_of_other_configs_stay_in_the_archive(tmp_path):
    for run in (runs := plan(tmp_path / 'here')):
        finish(run)
    write_archive(runs, tmp_path / 'runs.tar.xz')
    changed = plan(tmp_path / 'there', config='level = 11.0')
    assert read_archive(changed, tmp_path / 'runs.tar.xz') == (2, 0)  # level is an option of row B, which is as it was
    assert [run.row.name for run in changed if run.is_done()] == ['B', 'B']
    write_archive(changed, tmp_path / 'runs.tar.xz')
    assert read_archive(plan(tmp_path / 'elsewhere'), tmp_path / 'runs.tar.xz') == (4, 0)


def test_two_processes_that_add_their_runs_at_the_same_time(tmp_path, monkeypatch):
    a, b, *_ = runs = plan(tmp_path / 'here')
    finish(a)
    finish(b)
    path, read = tmp_path / 'runs.tar.xz', archive._read
    with ThreadPoolExecutor() as pool:

        def read_while_another_writes(path):
            monkeypatch.setattr(archive, '_read', read)
            contents = read(path)
            others.append(pool.submit(write_archive, [b], path))
            time.sleep(0.5)
            return contents

        others = []
        monkeypatch.setattr(archive, '_read', read_while_another_writes)
        assert write_archive([a], path) == 1 and others[0].result() == 1
    assert read_archive(plan(tmp_path / 'there'), path) == (2, 0)

    descriptor = lock(tmp_path / 'runs.tar.xz.lock')
    monkeypatch.setattr(archive, '_PATIENCE', 0.0)
    with pytest.raises(SetupError, match='runs.tar.xz is being written by another process'):
        write_archive(runs, path)
    os.close(descriptor)


def test_a_missing_archive_has_no_runs(tmp_path):
    assert read_archive(plan(tmp_path), tmp_path / 'runs.tar.xz') == (0, 0)


@pytest.mark.parametrize('content', [b'', b'nonsense' * 100])
def test_a_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / 'runs.tar.xz'
    path.write_bytes(content)
    with pytest.raises(SetupError, match='is not an archive of runs'):
        read_archive(plan(tmp_path / 'here'), path)


@pytest.mark.parametrize(
    'name', ['/{}/done.json', '../../done.json', '../vis_data/scalars.json', 'run.sh', 'a/b/c.json']
)
def test_a_file_that_is_of_no_run_is_refused(tmp_path, name):
    (run, *_) = plan(tmp_path / 'there')
    path, outside = tmp_path / 'runs.tar.xz', tmp_path / 'outside'
    with tarfile.open(path, 'w:xz', pax_headers=dict(comment=archive._COMMENT)) as tar:
        tar.addfile(tarfile.TarInfo(f'A/{run.work_dir.name}/{name.format(outside)}'), io.BytesIO())
    with pytest.raises(SetupError, match='is not an archive of runs: it has .A/seed0'):
        read_archive([run], path)
    assert not outside.exists() and not run.work_dir.exists()


def test_a_run_that_another_process_unpacks_first(tmp_path, monkeypatch):
    (done, *_) = plan(tmp_path / 'here')
    finish(done)
    write_archive([done], tmp_path / 'runs.tar.xz')
    (run, *_) = plan(tmp_path / 'there')
    write = archive._write

    def write_both(files, folder):
        write(files, folder)
        write(files, run.work_dir)

    monkeypatch.setattr(archive, '_write', write_both)
    assert read_archive([run], tmp_path / 'runs.tar.xz') == (1, 0)
    assert run.is_done() and list(run.work_dir.parent.iterdir()) == [run.work_dir]


def test_files_of_a_killed_process_stay_out(tmp_path):
    (done, *_) = plan(tmp_path / 'here')
    finish(done)
    write_archive([done], tmp_path / 'runs.tar.xz')
    (run, *_) = plan(tmp_path / 'there')
    partial = run.work_dir.with_name(f'.{run.work_dir.name}.partial')  # its name in version 1.0.0
    partial.mkdir(parents=True)
    (partial / 'post.json').write_text('{}')
    assert read_archive([run], tmp_path / 'runs.tar.xz') == (1, 0)
    assert not (run.work_dir / 'post.json').exists()


def test_a_damaged_archive_leaves_no_run(tmp_path):
    for run in (runs := plan(tmp_path / 'here')):
        finish(run)
    path = tmp_path / 'runs.tar.xz'
    write_archive(runs, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SetupError, match='is not an archive of runs'):
        read_archive(plan(tmp_path / 'there'), path)
    assert not (tmp_path / 'there' / 'runs').exists()
