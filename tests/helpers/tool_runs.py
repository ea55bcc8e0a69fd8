"""Runs of the command-line tools on a toy config."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from helpers.toy_runner import toy_config

ROOT = Path(__file__).resolve().parents[2]
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


def run(*command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return the result, whose ``stdout`` has both streams."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(PYTHON=sys.executable, **more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )


def free_port() -> str:
    """Return a port that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])
