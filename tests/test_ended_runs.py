"""A run of the tests that is ended names those at work, and one without time counts those it skips."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name('conftest.py')


@pytest.fixture
def start(tmp_path):
    """Return a function that starts pytest on a test that takes too long, and two short ones."""
    (tmp_path / 'conftest.py').write_text(CONFTEST.read_text())
    (tmp_path / 'test_it.py').write_text(
        'import time\n'
        'def test_first(): pass\n'
        'def test_long():\n'
        '    print("at work", flush=True)\n'
        '    time.sleep(100)\n'
        'def test_last(): pass\n'
    )
    processes = []

    def start(*options: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', *options, str(tmp_path)]
        variables = {name: value for name, value in os.environ.items() if not name.startswith(('PYTEST_', 'TEST_'))}
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=variables | environment)
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_sigterm_names_the_tests_at_work(start):
    process = start('-s')
    for line in process.stdout:
        if 'at work' in line:
            break
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert 's: test_it.py::test_long\n' in output and '1 passed' in output


def test_tests_without_time_are_skipped_and_counted(start):
    output, _ = start(TEST_DEADLINE='1000').communicate(timeout=60)
    assert '3 tests were skipped: no time left' in output and '3 skipped' in output
