"""Decoders that crash or hang take only one file with them."""

import os
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from lewel_plugins.image_files.inspect_files import inspect
from lewel_plugins.planning import decoding
from lewel_plugins.planning.decoding import inspect_files

pytestmark = pytest.mark.core


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f'a\n{i}.png') for i in range(6)]
    for path in paths[:5]:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    with open(paths[5], 'wb') as file:
        file.write(b'nothing')
    return paths


def program(monkeypatch, body: str) -> None:
    """Replace the program that inspects files."""
    head = (
        'import json, os, sys, time\nprint(0, flush=True)\nfor line in sys.stdin.buffer:\n    path = json.loads(line)'
    )
    code = f'{head}\n    {body}'
    popen = decoding.subprocess.Popen
    monkeypatch.setattr(
        decoding.subprocess, 'Popen', lambda command, **rest: popen([sys.executable, '-c', code], **rest)
    )


ANSWER = 'print(json.dumps(["", False, 0, len(path)]), flush=True)'


def test_processes_find_what_this_one_finds(files, monkeypatch):
    monkeypatch.setattr(decoding, '_FILES_PER_WORKER', 3)
    here = {path: inspect(path) for path in files}
    assert inspect_files(files, time.monotonic() + 100, 2) == here == inspect_files(files, time.monotonic() + 100, 0)
    assert list(inspect_files(files, time.monotonic() + 100, 2)) == files  # in order
    assert here[files[5]].reason == 'it is not a JPEG, PNG, WebP, BMP, TIFF or GIF' and not here[files[0]].reason


def test_a_crash_is_the_fault_of_one_file(files, monkeypatch):
    program(monkeypatch, f'os.abort() if "3.png" in path else {ANSWER}')
    results = inspect_files(files, time.monotonic() + 100, 1)
    assert [results[path].reason for path in files] == ['', '', '', 'the decoder crashes', '', '']


def test_a_decoder_that_hangs_is_ended(files, monkeypatch):
    monkeypatch.setattr(decoding, '_SECONDS_PER_FILE', 5)
    program(monkeypatch, f'time.sleep(1000) if "0.png" in path else {ANSWER}')
    results = inspect_files(files[:2], time.monotonic() + 100, 1)
    assert [results[path].reason for path in files[:2]] == ['it is not decoded within 5 s', '']


def test_the_end_of_the_time_is_no_fault_of_a_file(files, monkeypatch):
    program(monkeypatch, f'time.sleep(1000) if "1.png" in path else {ANSWER}')
    start = time.monotonic()
    results = inspect_files(files, start + 3, 1)
    assert set(results) <= {files[0]}
    assert inspect_files(files, start - 1, 1) == {}


def test_no_process_is_left(files, monkeypatch):
    processes = []
    popen = decoding.subprocess.Popen
    monkeypatch.setattr(
        decoding.subprocess, 'Popen', lambda *args, **rest: processes.append(popen(*args, **rest)) or processes[-1]
    )
    inspect_files(files, time.monotonic() + 100, 1)
    assert len(processes) == 1 and processes[0].returncode is not None and processes[0].stdout.closed


def test_a_program_that_does_not_start_is_no_fault_of_the_files(files, monkeypatch):
    monkeypatch.setattr(decoding, '_PROGRAM', 'lewel_plugins.missing')
    with pytest.raises(RuntimeError, match=r'the decoder does not start: python -m lewel_plugins\.missing prints'):
        inspect_files(files, time.monotonic() + 100, 1)


def test_an_interrupt_ends_all_processes(files, monkeypatch):
    program(monkeypatch, 'time.sleep(1000)')
    processes = []
    start, ask, both = decoding._start, decoding._ask, threading.Barrier(2)
    monkeypatch.setattr(decoding, '_start', lambda: processes.append(start()) or processes[-1])
    monkeypatch.setattr(decoding, '_FILES_PER_WORKER', 3)

    def interrupted(*arguments):
        if both.wait() == 0:
            raise KeyboardInterrupt
        return ask(*arguments)

    monkeypatch.setattr(decoding, '_ask', interrupted)
    monkeypatch.setattr(decoding, '_SECONDS_PER_FILE', 1000)  # the time for which a lost interrupt would wait
    with pytest.raises(KeyboardInterrupt):
        inspect_files(files, time.monotonic() + 1000, 2)
    assert len(processes) == 2 and all(process.returncode is not None for process in processes)


def test_memory_that_is_missing_is_named(files, monkeypatch):
    def decode(data):
        raise MemoryError

    monkeypatch.setattr('lewel_plugins.image_files.inspect_files._decode', decode)
    assert inspect(files[0]).reason == 'decoding it needs more memory than there is'


def test_a_file_that_vanishes_is_broken(files):
    os.unlink(files[0])
    assert inspect(files[0]).reason == 'cannot be read (No such file or directory)'
