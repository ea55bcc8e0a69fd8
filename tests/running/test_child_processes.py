"""Processes that are started: what they import, and signals that reach no other process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lewel_plugins.running import child_processes
from lewel_plugins.running.child_processes import has_ended, python_path, signal_group, wait_for_end

pytestmark = pytest.mark.core

# Leaves a process of its group behind, and ends once that has started.
LEAVES_ONE = """
import os, sys, time
pid = os.fork()
if not pid:
    os.close(1)
    time.sleep(60)
print(pid, flush=True)
"""


def is_running(pid: int) -> bool:
    try:
        return 'State:\tZ' not in Path(f'/proc/{pid}/status').read_text()
    except FileNotFoundError:
        return False


def test_a_group_outlives_its_leader_and_is_ended_before_the_number_is_free(monkeypatch):
    with subprocess.Popen([sys.executable, '-c', LEAVES_ONE], stdout=subprocess.PIPE, start_new_session=True) as child:
        left = int(child.stdout.readline())
        assert wait_for_end(child, 20) and has_ended(child) and child.returncode is None
        assert is_running(left)
        signal_group(child, signal.SIGKILL)
        assert child.wait() == 0
    for _ in range(200):
        if not is_running(left):
            break
        signal.sigtimedwait([], 0.01)
    assert not is_running(left)
    # The number may belong to others now.
    sent = []
    monkeypatch.setattr(os, 'killpg', lambda *arguments: sent.append(arguments))
    signal_group(child, signal.SIGKILL)
    assert has_ended(child) and not sent


def test_a_process_that_runs_has_not_ended():
    with subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE, start_new_session=True) as child:
        assert not has_ended(child) and not wait_for_end(child, 0.1)
        signal_group(child, signal.SIGKILL)
        assert wait_for_end(child, 20) and child.wait() == -signal.SIGKILL


@pytest.fixture
def folders(tmp_path) -> dict[str, str]:
    """Return folders with this package, with another copy of it, and without one."""
    for name in ('own', 'copy'):
        (tmp_path / name / 'lewel_plugins').mkdir(parents=True)
        (tmp_path / name / 'lewel_plugins' / '__init__.py').touch()
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    return {name: str(tmp_path / name) for name in ('own', 'copy', 'a', 'b')}


@pytest.mark.parametrize(
    ('entries', 'expected'),
    [
        (None, 'own'),
        ('a b', 'a b own'),
        ('a own b', 'a own b'),
        ('a copy b', 'a own copy b'),
        ('own copy', 'own copy'),
    ],
)
def test_entries_of_the_user_keep_their_order(folders, monkeypatch, entries, expected):
    monkeypatch.delenv('PYTHONPATH', raising=False)
    if entries is not None:
        monkeypatch.setenv('PYTHONPATH', os.pathsep.join(folders[name] for name in entries.split()))
    path = python_path(Path(folders['own']))
    assert path == os.pathsep.join(folders[name] for name in expected.split())


@pytest.mark.parametrize('entries', [None, 'a b'])
def test_an_installed_package_adds_no_entry(folders, monkeypatch, entries):
    # Entries are searched before the standard library, which a module of site-packages may not replace.
    monkeypatch.setattr(child_processes, '_site_folders', lambda: {Path(folders['own'])})
    monkeypatch.delenv('PYTHONPATH', raising=False)
    if entries is not None:
        monkeypatch.setenv('PYTHONPATH', os.pathsep.join(folders[name] for name in entries.split()))
    environment = child_processes.python_environment
    assert python_path(Path(folders['own'])) == os.environ.get('PYTHONPATH', '')
    monkeypatch.setattr(child_processes, 'python_path', lambda: '')
    assert 'PYTHONPATH' not in environment()


def test_the_folders_that_python_searches_are_known():
    installed = Path(pytest.__file__).resolve().parents[1]
    assert installed in child_processes._site_folders()
