"""Two trainings do not write to one work dir."""

import fcntl
import os
import time

import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.running import work_dir_lock
from lewel_plugins.running.jobs import lock
from lewel_plugins.running.work_dir_lock import held_lock, lock_work_dir

pytestmark = pytest.mark.core


@pytest.fixture
def foreign_lock(tmp_path):
    descriptor = lock(tmp_path / 'run.lock')
    yield descriptor
    os.close(descriptor)


def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path):
    first = lock_work_dir(str(tmp_path / 'new'))
    text = f'^.*new is being trained by process {os.getpid()}; choose another --work-dir, or wait for it$'
    with pytest.raises(SetupError, match=text):
        lock_work_dir(str(tmp_path / 'new'), patience=0.0)
    os.close(first)
    os.close(lock_work_dir(str(tmp_path / 'new'), patience=0.0))


def test_a_lock_of_another_machine_can_be_removed(tmp_path, foreign_lock):
    (tmp_path / 'run.lock').write_text('no process of this machine\n')
    with pytest.raises(SetupError, match=r'by another process, perhaps .*, or delete .*run\.lock if there is none$'):
        lock_work_dir(str(tmp_path), patience=0.0)


@pytest.mark.usefixtures('foreign_lock')
def test_a_training_of_a_process_that_holds_the_lock(tmp_path, monkeypatch):
    (tmp_path / 'link').symlink_to(tmp_path)
    for name, value in held_lock(tmp_path / 'run.lock').items():
        monkeypatch.setenv(name, value)
    assert lock_work_dir(str(tmp_path / 'link'), patience=0.0) is None
    os.close(lock_work_dir(str(tmp_path / 'another'), patience=0.0))


@pytest.mark.usefixtures('foreign_lock')
@pytest.mark.parametrize(
    ('launcher', 'name'), [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')]
)
def test_the_first_rank_locks_for_all(tmp_path, monkeypatch, launcher, name):
    monkeypatch.setenv(name, '1')
    assert lock_work_dir(str(tmp_path), launcher, patience=0.0) is None
    for with_launcher, rank in ((launcher, '0'), ('none', '1')):
        monkeypatch.setenv(name, rank)
        with pytest.raises(SetupError, match='is being trained'):
            lock_work_dir(str(tmp_path), with_launcher, patience=0.0)


def test_a_requeued_job_waits_for_the_lock_of_a_node_that_has_failed(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(work_dir_lock, 'lock', lambda path, patience: waits.append(patience) or 0)
    monkeypatch.setattr(work_dir_lock, '_close_in_forks', lambda descriptor: None)
    for restarts in (None, '0', '1'):
        if restarts is not None:
            monkeypatch.setenv('SLURM_RESTART_COUNT', restarts)
        lock_work_dir(str(tmp_path), 'slurm')
    assert waits == [5, 5, 120]


def test_workers_do_not_keep_the_lock(tmp_path):
    descriptor = lock_work_dir(str(tmp_path))
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        with open(tmp_path / 'run.lock') as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)  # as at the end of the process
        os.close(lock_work_dir(str(tmp_path), patience=2.0))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SetupError, match='^cannot write to .*file: (file exists|not a directory)$'):
        lock_work_dir(str(tmp_path / 'file'))
