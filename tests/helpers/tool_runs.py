"""Runs of the command-line tools on a toy config."""

import atexit
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

import helpers.ranks  # noqa: F401  preloads the modules that take seconds
from helpers.toy_runner import toy_config

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 300  # seconds
TRAIN, TEST = str(ROOT / 'tools' / 'train.py'), str(ROOT / 'tools' / 'test.py')


def write_config(path: Path, **changes: Any) -> str:
    """Write the toy config with some entries changed and, like all configs, without a work_dir; return its path."""
    config = toy_config('', max_iters=2)
    config.merge_from_dict(changes)
    return _write(config, path)


def write_lewel_config(path: Path) -> str:
    """Write the toy config with LEWEL_B instead of BYOL; return its path."""
    config = toy_config('', max_iters=2)
    config.model = dict(
        type='lewel_plugins.LEWELB',
        data_preprocessor=config.model.data_preprocessor,
        backbone=config.model.backbone,
        neck=dict(type='lewel_plugins.LEWELNeck', in_channels=64, hid_channels=16, out_channels=8),
        head=dict(type='lewel_plugins.LEWELPredictHead', hid_channels=16),
    )
    config.default_hooks.momentum_update = dict(type='lewel_plugins.MomentumUpdateHook')
    # mmpretrain's tools/train.py turns on persistent workers, which a loader without workers cannot have.
    config.train_dataloader.persistent_workers = False
    config.val_dataloader.persistent_workers = False
    config.test_dataloader.persistent_workers = False
    return _write(config, path)


def _write(config: Config, path: Path) -> str:
    config.pop('work_dir')
    config.custom_imports = dict(imports=['helpers.toy_runner'])
    config.default_hooks.checkpoint.interval = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    config.dump(path)
    return str(path)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with the repository and the tests importable, and one thread per process."""
    paths = [str(ROOT), str(ROOT / 'tests'), os.environ.get('PYTHONPATH', '')]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)), 'OMP_NUM_THREADS': '1', **more}


def run(*command: object, cwd: Path, split: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command, with more variables in its environment, and return the result.

    Its ``stdout`` has both streams, unless they are to be ``split``.

    A script of this package is run in a process that is forked from one with all imports done, which saves the seconds
    that these take. It has arguments, environment, folder and streams of its own.
    """
    words = [str(word) for word in command]
    changes = environment(PYTHON=sys.executable, **more)
    if len(words) > 1 and words[0] == sys.executable and Path(words[1]).resolve().is_relative_to(ROOT / 'tools'):
        return _run_forked(words[1:], cwd, changes, split)
    errors = subprocess.PIPE if split else subprocess.STDOUT
    return subprocess.run(
        words, cwd=cwd, env=changes, text=True, stdout=subprocess.PIPE, stderr=errors, timeout=_TIMEOUT
    )


def _run_forked(words: list[str], cwd: Path, changes: dict[str, str], split: bool) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ('output', 'errors' if split else 'output')]
        context = multiprocessing.get_context('forkserver')
        process = context.Process(target=_script, args=(words, str(cwd), changes, [str(file) for file in files]))
        process.start()
        process.join(_TIMEOUT)
        output, errors = (file.read_text(errors='replace') if file.exists() else '' for file in files)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, _TIMEOUT, output)
        return subprocess.CompletedProcess(words, process.exitcode, output, errors if split else None)


def _script(words: list[str], cwd: str, changes: dict[str, str], files: list[str]) -> None:
    """Run a script as the interpreter does, and end the process with its status."""
    os.setsid()
    os.chdir(cwd)
    for stream, name in enumerate([os.devnull, *files]):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND if stream else os.O_RDONLY)
        os.dup2(file, stream)
        os.close(file)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, 'w', closefd=False)
    sys.stderr = os.fdopen(2, 'w', buffering=1, errors='backslashreplace', closefd=False)
    os.environ.clear()
    os.environ.update(changes)
    torch.set_num_threads(1)
    script = Path(words[0]).resolve()
    sys.argv = words
    sys.path[:0] = [str(script.parent), *changes['PYTHONPATH'].split(os.pathsep)]
    status = _status_of(script)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)


def _status_of(script: Path) -> int:
    try:
        runpy.run_path(str(script), run_name='__main__')
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def free_port() -> str:
    """Return a port that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])
