"""A training ends with the program that holds the other end of its input: killed, alone and under torchrun."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tool_runs import environment

pytestmark = pytest.mark.core

# Stands in for a training: it saves on SIGTERM. Each line is one write: unbuffered, print() makes two of a line, which
# mix with those of the other rank.
TRAINING = """
import os, signal, sys, time
from lewel_plugins.running.standard_input import stop_at_end_of_input

def save(*_):
    os.write(1, b'saved\\n')
    sys.exit(75)

signal.signal(signal.SIGTERM, save)
stop_at_end_of_input()
os.write(1, b'ready\\n')
while True:
    time.sleep(0.05)
"""
NEVER_STOPS = TRAINING.replace('    sys.exit(75)\n', '')
# Stands in for `lewel`: it starts the training, and is killed.
STARTER = """
import os, signal, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
print(process.stdout.readline().decode(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_saves_and_stops_when_its_starter_is_killed(tmp_path):
    script = tmp_path / 'training.py'
    script.write_text(TRAINING.replace("os.write(1, b'saved\\n')", f"open({str(tmp_path / 'saved')!r}, 'w').close()"))
    command = [sys.executable, '-c', STARTER, sys.executable, script]
    # The training holds this pipe too, so that the call returns when both have ended.
    result = subprocess.run(command, capture_output=True, env=environment(), timeout=60)
    assert result.returncode == -9 and b'ready' in result.stdout
    assert (tmp_path / 'saved').is_file()


def launched(tmp_path: Path, training: str) -> subprocess.Popen:
    """Start two ranks, and wait until both are ready."""
    script = tmp_path / 'training.py'
    script.write_text(training)
    words = ['-m', 'lewel_plugins.running.launch', '--standalone', '--local-addr=127.0.0.1', '--nproc_per_node=2']
    process = subprocess.Popen(
        [sys.executable, *words, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
    )
    ready = 0
    while ready < 2:
        line = process.stdout.readline()
        assert line, process.wait()
        ready += line == b'ready\n'
    return process


def test_all_ranks_stop_and_torchrun_has_their_status(tmp_path):
    with launched(tmp_path, TRAINING) as process:
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert rest.count(b'saved') == 2


def test_ranks_that_were_to_stop_end_at_once_with_torchrun(tmp_path):
    with launched(tmp_path, NEVER_STOPS) as process:
        process.stdin.close()
        saved = 0
        while saved < 2:
            line = process.stdout.readline()
            assert line, process.wait()
            saved += line == b'saved\n'
        process.kill()
        process.stdout.read()  # until the last rank has ended


def test_ranks_without_torchrun_stop(tmp_path):
    with launched(tmp_path, TRAINING) as process:
        process.kill()
        assert process.stdout.read().count(b'saved') == 2


@pytest.mark.parametrize(
    ('end', 'status'), [('sys.exit(75 if rank else 1)', 1), ('os.kill(os.getpid(), 15)', -15), ('sys.exit(1)', 1)]
)
def test_the_status_of_failed_ranks(tmp_path, end, status):
    code = f"import os, sys; rank = int(os.environ['RANK']); os.write(1, b'ready\\n'); sys.stdin.read(); {end}"
    with launched(tmp_path, code) as process:
        process.communicate(timeout=60)
    assert process.returncode == status
