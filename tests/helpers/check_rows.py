"""Rows of ``tools/gpu_check.py`` that end in different ways."""

from __future__ import annotations

import os
import signal
import time


def succeed(device: str, **settings: object) -> dict:
    return dict(passed=1, failed=[], skipped=[], device=device, **settings)


def fail(device: str) -> dict:
    raise RuntimeError('CUDA error: an illegal memory access\nand more lines')


def die(device: str) -> dict:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def hang(device: str) -> dict:
    time.sleep(600)
    return {}
