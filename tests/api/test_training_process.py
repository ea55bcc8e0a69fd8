"""Start and stop of a training's process."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from lewel_plugins.api.display import Display
from lewel_plugins.api.training import _run, count_gpus, last_error
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core

# Stands in for tools/train.py: it stops with 75 at a SIGTERM, as PreemptionHook does.
STOPS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *args: sys.exit(75))
print('ready', flush=True)
while True:  # in one long sleep, a signal that arrives just before it would be handled after it
    time.sleep(0.05)
"""
IGNORES = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def run(tmp_path: Path, code: str, *signals: int) -> tuple[int, bool]:
    """Run code as the training, and send this process signals once it is ready."""
    log = tmp_path / 'log'

    def send() -> None:
        while not log.is_file() or 'ready' not in log.read_text():
            time.sleep(0.01)
        for number in signals:
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    sender = threading.Thread(target=send)
    if signals:
        sender.start()
    lock = os.open(tmp_path / 'lock', os.O_CREAT | os.O_RDWR)
    try:
        with log.open('ab') as file:
            return _run([sys.executable, '-c', code], file, lock, Display(tmp_path, '', 0), lambda: None)
    finally:
        os.close(lock)
        if signals:
            sender.join()


def test_ends_with_the_status_of_the_training_and_keeps_its_output(tmp_path):
    assert run(tmp_path, 'print("it was the disk\\n"); raise SystemExit(3)') == (3, False)
    assert last_error(tmp_path / 'log') == 'it was the disk'


def test_the_log_has_no_colors(tmp_path, monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    code = "from termcolor import colored; print(colored('plain', 'red', force_color=None), 'end')"
    assert run(tmp_path, code) == (0, False)
    assert (tmp_path / 'log').read_text() == 'plain end\n'


def test_ctrl_c_lets_it_save_and_a_second_one_ends_it(tmp_path):
    assert run(tmp_path, STOPS, signal.SIGINT) == (75, True)
    (tmp_path / 'log').unlink()
    assert run(tmp_path, IGNORES, signal.SIGINT, signal.SIGINT) == (-signal.SIGKILL, True)


def test_sigterm_is_passed_on_and_its_handler_restored(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    assert run(tmp_path, STOPS, signal.SIGTERM) == (75, False)
    assert signal.getsignal(signal.SIGTERM) is before


def test_gpus_of_the_user():
    assert (count_gpus('all'), count_gpus(0), count_gpus(2)) == (None, 0, 2)
    with pytest.raises(SetupError, match="gpus must be a number or 'all', got 'two'"):
        count_gpus('two')


@pytest.mark.parametrize(
    ('log', 'error'),
    [
        ('it was the disk\n\n', 'it was the disk'),
        ('Traceback (most recent call last):\n  File "x"\nValueError: a: b\nfurther\n', 'ValueError: a: b'),
        ('x\nerror: the folder is empty\nlater\n', 'the folder is empty'),
        ('', '(no output)'),
    ],
)
def test_the_error_of_a_log(tmp_path, log, error):
    (tmp_path / 'log').write_text(log)
    assert last_error(tmp_path / 'log') == error
