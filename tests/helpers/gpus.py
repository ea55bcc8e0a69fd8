"""Marks of tests that need GPUs, and a function on several ranks, one GPU each, or on processes without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

TIMEOUT = 120  # seconds, for one collective
ON_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')]
NEEDS_TWO = [pytest.mark.gpu, pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two GPUs')]


def _rank(rank: int, world_size: int, folder: str, function: Callable, kind: str) -> None:
    torch.set_num_threads(1)
    if kind == 'cuda':
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        'nccl' if kind == 'cuda' else 'gloo',
        f'file://{folder}/ranks',
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=TIMEOUT),
    )
    device = f'cuda:{rank}' if kind == 'cuda' else 'cpu'
    torch.save(function(rank, device), Path(folder) / f'{rank}.pt')
    distributed.barrier()
    distributed.destroy_process_group()


def on_gpus(world_size: int, folder: Path, function: Callable, kind: str) -> list:
    """Return ``function(rank, device)`` of each rank, in rank order; ``kind`` is ``cuda`` or ``cpu``."""
    arguments = (world_size, str(folder), function, kind)
    multiprocessing.start_processes(_rank, arguments, nprocs=world_size, start_method='spawn')
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(world_size)]
