"""Start and stop of a training's process."""

import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from lewel_plugins.api import training
from lewel_plugins.api.display import Display
from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.api.training import TrainingError, _run, announced_interrupt, count_gpus, last_error, train
from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json, write_text
from lewel_plugins.planning import GPU
from lewel_plugins.running.commands import python_command

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


# The ranks of torchrun, to which no signal is sent: it stops at the end of its input.
STOPS_AT_EOF = "import sys; print('ready', flush=True); sys.stdin.read(); sys.exit(75)"
PRINTS_DEVICES = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"


def run(tmp_path: Path, code: str, *signals: int, ranks: int = 1) -> tuple[int, bool]:
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
            return _run([sys.executable, '-c', code], file, lock, Display(tmp_path, '', 0), lambda: None, {}, ranks)
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


@pytest.fixture
def interruptible():
    """Take Ctrl-C as in a terminal: a shell starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('interruptible')
def test_ctrl_c_lets_it_save_and_a_second_one_ends_it(tmp_path):
    assert run(tmp_path, STOPS, signal.SIGINT) == (75, True)
    (tmp_path / 'log').unlink()
    assert run(tmp_path, IGNORES, signal.SIGINT, signal.SIGINT) == (-signal.SIGKILL, True)


def test_sigterm_is_passed_on_and_its_handler_restored(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    assert run(tmp_path, STOPS, signal.SIGTERM) == (75, False)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures('interruptible')
def test_the_first_ctrl_c_is_announced_where_the_display_is_hidden(tmp_path):
    lines = []
    with announced_interrupt(lines.append):
        assert run(tmp_path, STOPS, signal.SIGINT) == (75, True)
        assert lines == ['stopping after this step; Ctrl-C again ends it at once']
        (tmp_path / 'log').unlink()
        assert run(tmp_path, IGNORES, signal.SIGINT, signal.SIGINT) == (-signal.SIGKILL, True)
    assert len(lines) == 1 and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ('status', 'outcome'),
    [(0, 'interrupted'), (75, 'interrupted'), (-15, 'interrupted'), (-9, 'interrupted'), (1, None)],
)
def test_ctrl_c_does_not_hide_that_the_training_could_not_save(tmp_path, monkeypatch, status, outcome):
    def end(command, log, *_):
        log.write(b'error: [Errno 28] No space left on device\n')
        return status, True

    monkeypatch.setattr(training, '_run', end)
    folder = write_run(tmp_path, 1)
    with folder.locked() as lock:
        if outcome is not None:
            assert train(folder, lock, lambda line: None).status == outcome
            return
        with pytest.raises(TrainingError, match='the training failed: .* No space left on device; log: '):
            train(folder, lock, lambda line: None)


@pytest.mark.usefixtures('interruptible')
def test_several_ranks_stop_at_the_end_of_their_input(tmp_path):
    assert run(tmp_path, STOPS_AT_EOF, signal.SIGTERM, ranks=2) == (75, False)
    (tmp_path / 'log').unlink()
    assert run(tmp_path, STOPS_AT_EOF, signal.SIGINT, ranks=2) == (75, True)


def gpus(*indices: int) -> list[GPU]:
    return [GPU(index, 'RTX 4090', 24, 23, (8, 9)) for index in indices]


def write_run(folder: Path, ranks: int, batch: int = 4) -> RunFolder:
    write_json(folder / 'plan.json', dict(request={}, plan=dict(ranks=dict(value=ranks))))
    write_text(folder / 'config.py', f'train_dataloader = dict(batch_size={batch})')
    return RunFolder(folder)


@pytest.mark.parametrize(
    ('visible', 'chosen', 'expected'),
    [
        (None, (1, 3), '1,3'),
        (None, (), '-1'),
        ('2,3,5,7', (1, 3), '3,7'),
        ('GPU-a, GPU-b,MIG-c', (0, 2), 'GPU-a,MIG-c'),
        ('0,1', (), '-1'),
    ],
)
def test_the_training_sees_the_gpus_of_the_plan(tmp_path, monkeypatch, visible, chosen, expected):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    monkeypatch.setattr(training, '_command', lambda folder, ranks, workers: [sys.executable, '-c', PRINTS_DEVICES])
    folder = write_run(tmp_path, max(1, len(chosen)))
    with folder.locked() as lock:
        assert train(folder, lock, lambda line: None, gpus=gpus(*chosen)).status == 'finished'
    assert (tmp_path / 'train.log').read_text() == f'{expected}\n'
    (session,) = read_json(tmp_path / 'sessions.json')
    assert (session['gpus'], session['ranks']) == (['RTX 4090'] * len(chosen), max(1, len(chosen)))


@pytest.mark.parametrize(
    ('planned', 'present', 'ranks', 'batch'),
    [(2, 2, 2, None), (2, 4, 2, None), (4, 3, 2, 8), (4, 1, 1, 16), (2, 0, 2, None), (1, 0, 1, None)],
)
def test_a_run_goes_on_on_the_devices_of_another_machine(tmp_path, monkeypatch, planned, present, ranks, batch):
    commands = []
    monkeypatch.setattr(training, '_run', lambda command, *_: commands.append(command) or (0, False))
    folder = write_run(tmp_path, planned)
    with folder.locked() as lock:
        train(folder, lock, lambda line: None, gpus=gpus(*range(present)))
    (words,) = map(' '.join, commands)
    assert (f'--nproc_per_node={ranks}' in words) == (ranks > 1) and '--stop-at-eof' in words
    assert (f'train_dataloader.batch_size={batch}' in words) if batch else '--cfg-options' not in words
    assert read_json(tmp_path / 'sessions.json')[0]['ranks'] == ranks


def test_the_training_does_not_wait_for_the_lock_that_this_process_holds(tmp_path, monkeypatch):
    code = 'import sys; from lewel_plugins.running.work_dir_lock import lock_work_dir as lock; '
    code += 'print(lock(sys.argv[1], patience=0.0))'
    monkeypatch.setattr(training, '_command', lambda *arguments: [sys.executable, '-c', code, str(tmp_path)])
    folder = write_run(tmp_path, 1)
    with folder.locked() as lock:
        assert train(folder, lock, lambda line: None).status == 'finished'
    assert (tmp_path / 'train.log').read_text() == 'None\n'


@pytest.mark.parametrize('workers', [0, 3])
def test_a_run_goes_on_with_other_workers(tmp_path, monkeypatch, workers):
    commands = []
    monkeypatch.setattr(training, '_run', lambda command, *_: commands.append(command) or (0, False))
    folder = write_run(tmp_path, 2)
    with folder.locked() as lock:
        train(folder, lock, lambda line: None, gpus=gpus(0), workers=workers)
    options = [word for word in commands[0] if word.startswith('train_dataloader.')]
    assert options == [f'train_dataloader.{name}' for name in
                       ('batch_size=8', f'num_workers={workers}', f'persistent_workers={workers > 0}')]  # fmt: skip


def test_a_training_that_is_killed_is_no_riddle(tmp_path, monkeypatch):
    monkeypatch.setattr(training, '_run', lambda *_: (-signal.SIGKILL, False))
    folder = write_run(tmp_path, 1)
    with folder.locked() as lock, pytest.raises(TrainingError, match='was killed by SIGKILL, .* use fewer --workers'):
        train(folder, lock, lambda line: None)


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


def start(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, *command: str) -> str:
    """Start a command as the training, and return the error that it ends with."""
    monkeypatch.setattr(training, '_command', lambda *arguments: [sys.executable, *command])
    with folder.locked() as lock, pytest.raises(TrainingError) as caught:
        train(folder, lock, lambda line: None)
    return str(caught.value).removeprefix('the training failed: ').removesuffix(f'; log: {folder.path}/train.log')


def test_the_error_is_that_of_this_start(tmp_path, monkeypatch):
    folder = write_run(tmp_path, 1)
    for code, error in (
        ("import sys; sys.exit('error: photos/a.jpg is missing')", 'photos/a.jpg is missing'),
        ('import os; os.kill(os.getpid(), 11)', '(no output)'),
        ("raise ImportError('libGL.so.1 is missing')", 'ImportError: libGL.so.1 is missing'),
    ):
        assert start(folder, monkeypatch, '-c', code) == error


@pytest.mark.parametrize(
    ('rank_0', 'error'),
    [
        ("sys.exit('error: photos/a.jpg is missing')", 'photos/a.jpg is missing'),
        ('os.kill(os.getpid(), 11)', 'rank 0 was killed by SIGSEGV'),
    ],
)
def test_the_error_of_one_of_several_ranks(tmp_path, monkeypatch, rank_0, error):
    script = tmp_path / 'training.py'
    # The other rank ends later, with a long traceback.
    rank_1 = "print(40 * 'at x\\n', 'RuntimeError: lost'); sys.exit(1)"
    script.write_text(
        'import os, signal, sys, time\n'
        f"if os.environ['RANK'] == '0': time.sleep(1); {rank_0}\n"
        f'def end(*_): {rank_1}\n'
        'signal.signal(signal.SIGTERM, end)\n'
        'time.sleep(60)\n'
    )
    command = python_command([str(script)], 2)[1:-2]  # without --launcher
    assert start(write_run(tmp_path, 2), monkeypatch, *command) == error


def test_a_training_whose_folder_was_deleted(tmp_path):
    error = training._failure(RunFolder(tmp_path / 'gone'), 0, 1)
    assert error == f'the training failed, and its log {tmp_path}/gone/train.log is gone'


def test_a_full_disk_does_not_end_a_training_for_its_sessions(tmp_path, monkeypatch):
    folder, is_full = RunFolder(tmp_path), [True]

    def write(path, content):
        if is_full[0]:
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        write_json(path, content)

    monkeypatch.setattr(training, 'write_json', write)
    write_json(tmp_path / 'sessions.json', [dict(seconds=1.0)])
    with training._session(folder, dict(ranks=1)) as record:
        record()
        assert read_json(tmp_path / 'sessions.json') == [dict(seconds=1.0)]
        is_full[0] = False
        record()
        first, second = read_json(tmp_path / 'sessions.json')
        assert first == dict(seconds=1.0) and second['ranks'] == 1
        is_full[0] = True
    assert len(read_json(tmp_path / 'sessions.json')) == 2
