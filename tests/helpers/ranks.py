"""A function run in several gloo processes, in which a rank that waits too long fails instead of hanging."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp

# All ranks of a test session are forked from one process, which has imported the modules that take seconds.
multiprocessing.set_forkserver_preload(
    [
        *('torch', 'matplotlib.pyplot', 'mmpretrain.apis', 'mmpretrain.datasets', 'mmpretrain.visualization'),
        *(f'lewel_plugins.{room}' for room in ('models', 'datasets', 'evaluation', 'hooks', 'running.setup')),
    ]
)

TIMEOUT = 60  # seconds, for one collective; twice that for all ranks together

# On a machine under load, gloo of torch 2.1 has lost a connection while the group formed ("Connection reset by peer",
# seen once). No rank has called its function by then, so all ranks start again.
_NOT_CONNECTED = 'Gloo connectFullMesh failed'
_ATTEMPTS = 3


def _rank(rank: int, world_size: int, port: int, folder: str, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    if world_size > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        torch_dist.init_process_group('gloo', timeout=timedelta(seconds=TIMEOUT))
    # The process ends without destroy_process_group, which in torch 2.1 sometimes waits forever for a thread of gloo
    # that itself waits for the interpreter.
    torch.save(function(rank, *args), Path(folder) / f'{rank}.pt')


def on_ranks(world_size: int, folder: Path, function: Callable, *args: object) -> list:
    """Return ``function(rank, *args)`` of every rank, in rank order; raise here what one of them raises.

    A single rank runs in a separate process without a process group.
    """
    for attempt in range(_ATTEMPTS):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        try:
            _start_and_join(world_size, _rank, (world_size, port, str(folder), function, args))
            break
        except mp.ProcessRaisedException as error:
            if _NOT_CONNECTED not in str(error) or attempt == _ATTEMPTS - 1:
                raise
    return [torch.load(folder / f'{rank}.pt', weights_only=False) for rank in range(world_size)]


def _start_and_join(world_size: int, function: Callable, args: tuple) -> None:
    context = mp.start_processes(function, args=args, nprocs=world_size, join=False, start_method='forkserver')
    deadline = time.monotonic() + 2 * TIMEOUT
    try:
        while not context.join(timeout=1):  # raises the exception of a rank
            if time.monotonic() > deadline:
                raise TimeoutError(f'{world_size} ranks did not end within {2 * TIMEOUT} s')
    finally:
        for process in context.processes:
            process.kill()
