"""After a restart by torchrun, a training goes on from its own checkpoints, and never from those of an earlier run."""

import os
from pathlib import Path

import pytest

from lewel_plugins.running import restarts
from lewel_plugins.running.restarts import resume_or_restart

pytestmark = pytest.mark.core


def _save(folder: Path, epoch: int, second: int) -> str:
    path = folder / f'epoch_{epoch}.pth'
    path.write_text(f'{second}')
    os.utime(path, (second, second))
    (folder / 'last_checkpoint').write_text(str(path))
    return str(path)


@pytest.fixture
def on_attempt(monkeypatch, tmp_path):
    def attempt(restarts: int, resume: str | None = None, rank: int = 0) -> str | None:
        monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
        monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', str(restarts))
        monkeypatch.setenv('RANK', str(rank))
        return resume_or_restart(resume, str(tmp_path))

    return attempt


def test_an_earlier_run_in_the_folder_does_not_count(tmp_path, on_attempt):
    for epoch in (1, 2, 3):
        _save(tmp_path, epoch, epoch)
    assert on_attempt(0) is None
    assert on_attempt(1) is None and on_attempt(1, rank=1) is None
    own = _save(tmp_path, 1, 10)  # in place of one of the earlier run
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))  # killed before it was written anew
    assert on_attempt(2) == own and on_attempt(2, rank=1) == own
    assert on_attempt(3) == own
    assert on_attempt(0) is None and on_attempt(1) is None  # another start


def test_a_checkpoint_that_the_user_names_is_the_start_until_there_is_another(tmp_path, on_attempt):
    assert on_attempt(0, 'else/epoch_9.pth') == 'else/epoch_9.pth'
    assert on_attempt(1, 'else/epoch_9.pth') == 'else/epoch_9.pth'
    own = _save(tmp_path, 10, 1)
    assert on_attempt(2, 'else/epoch_9.pth') == own
    assert on_attempt(2, 'auto') == 'auto' and on_attempt(0, 'auto') == 'auto'


def test_the_record_of_another_start_does_not_count(tmp_path, on_attempt, monkeypatch):
    assert on_attempt(0) is None
    own = _save(tmp_path, 1, 1)
    assert on_attempt(1) == own
    with monkeypatch.context() as patch:
        patch.setattr(os, 'getppid', lambda: -1)  # its ranks have ended before the first one has recorded anything
        assert on_attempt(1) is None
        patch.setattr(restarts.socket, 'gethostname', lambda: 'another host')
        assert on_attempt(1) == own
    (tmp_path / 'earlier_checkpoints.json').write_text('{')
    assert on_attempt(1) is None


def test_without_torchrun_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv('TORCHELASTIC_RESTART_COUNT', raising=False)
    _save(tmp_path, 1, 1)
    assert resume_or_restart(None, str(tmp_path)) is None
    assert not (tmp_path / 'earlier_checkpoints.json').exists()
