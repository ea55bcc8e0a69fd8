"""A GPU, or the CPU: most tests run on both, so that their code has been executed before there is a GPU.

``pytest -m gpu tests/gpu`` runs those on a GPU alone, and ``tools/gpu_check.py`` records their results.
"""

import os
from collections.abc import Iterator

import pytest
import torch
from helpers.gpus import ON_GPU
from torch import distributed

if torch.cuda.is_available():
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # read once, by the first product


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=ON_GPU)])
def device(request) -> str:
    """Return ``cpu`` and ``cuda``."""
    return request.param


@pytest.fixture(autouse=True)
def same_arithmetic() -> Iterator[None]:
    """Compute float32 in float32, with the same kernels in each call, and forget what a test has set."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    cudnn.allow_tf32, cudnn.benchmark = False, False
    yield
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def process_group(device, tmp_path) -> Iterator[None]:
    """Make this process the only rank of a group."""
    if device == 'cuda':
        torch.cuda.set_device(0)
    backend = 'nccl' if device == 'cuda' else 'gloo'
    distributed.init_process_group(backend, f'file://{tmp_path}/ranks', rank=0, world_size=1)
    yield
    distributed.destroy_process_group()
