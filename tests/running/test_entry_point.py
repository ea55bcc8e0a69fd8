"""How a command ends, alone and as a rank of a process group."""

import subprocess
import sys

import pytest
from helpers.tool_runs import environment, free_port

pytestmark = pytest.mark.core
PROGRAM = """
import atexit, sys, threading, time
from torch import distributed
from lewel_plugins.errors import SetupError
from lewel_plugins.running.entry_point import run_main

def main():
    if {grouped}:
        distributed.init_process_group('gloo')
    atexit.register(print, 'the end')
    threading.Thread(target=lambda: (time.sleep(0.2), print('a thread'))).start()
    {what}

run_main(main, FileNotFoundError)
"""


def call(what: str, grouped: bool) -> subprocess.CompletedProcess:
    program = PROGRAM.format(grouped=grouped, what=what)
    group = dict(RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    return subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, env=environment(**group), timeout=100
    )


@pytest.mark.sampled(4)
@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize(
    ('what', 'status', 'message'),
    [
        ('pass', 0, ''),
        ('return 3', 3, ''),
        ('sys.exit(2)', 2, ''),
        ('sys.exit("as text")', 1, 'as text'),
        ('raise SetupError("a wrong setting")', 1, 'error: a wrong setting'),
        ('raise FileNotFoundError("a missing file")', 1, 'error: a missing file'),
        ('raise OSError(28, "No space left", "/run/a.pth")', 1, "error: [Errno 28] No space left: '/run/a.pth'"),
        ('raise OSError(5, "a broken disk")', 1, 'OSError: [Errno 5] a broken disk'),
        ('sys.exit("")', 1, ''),
        ('sys.exit((1, 2))', 1, '(1, 2)'),
        ('raise ValueError("a bug")', 1, 'ValueError: a bug'),
        ('raise KeyboardInterrupt', None, 'KeyboardInterrupt'),
    ],
)
def test_status_message_and_what_else_has_to_end(what, status, message, grouped):
    result = call(what, grouped)
    if status is None:
        assert result.returncode not in (0, -6)
    else:
        assert result.returncode == status
    errors = [line for line in result.stderr.splitlines() if 'Warning' not in line]
    assert (errors[-1] if errors else '') == message
    assert ('Traceback' in result.stderr) == (message.startswith(('ValueError', 'OSError', 'Keyboard')))
    assert result.stdout.splitlines() == ['a thread', 'the end']
