"""The environment variables by which the ranks of a launcher find each other and their GPUs."""

import math
import os
import subprocess

import torch

from lewel_plugins.errors import SetupError

# Names that torch reads, which torchrun sets itself → names that the launcher sets.
_NAMES = {
    'slurm': dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    'mpi': dict(
        RANK='OMPI_COMM_WORLD_RANK', WORLD_SIZE='OMPI_COMM_WORLD_SIZE', LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK'
    ),
}


_TORCHRUN = dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK')


def check_variables(launcher: str) -> None:
    """Check the numbers that a launcher has set, as far as it has; torch and mmengine only convert them.

    Raises:
        SetupError: One is no number, or out of range.
    """
    names = _TORCHRUN if launcher == 'pytorch' else _NAMES.get(launcher)
    if names is None:
        return
    numbers = {}
    for source in (*names.values(), 'MASTER_PORT'):
        value = os.environ.get(source)
        if value is None:
            continue
        if not value.isdecimal():
            raise SetupError(f'{source} must be a whole number for --launcher {launcher}, got {value!r}')
        numbers[source] = int(value)
    rank, size = numbers.get(names['RANK'], 0), numbers.get(names['WORLD_SIZE'], math.inf)
    if rank >= size:
        raise SetupError(f'{names["RANK"]} must be below {names["WORLD_SIZE"]} = {size}, got {rank}')


def set_slurm_port() -> None:
    """Choose a port by the number of the job, so that jobs on one node do not collide; mmengine has 29500 for all."""
    if job := os.environ.get('SLURM_JOB_ID'):
        os.environ.setdefault('MASTER_PORT', str(20000 + int(job) % 10000))


def set_slurm_master() -> None:
    """Set the address of the first node of the job, unless there is one."""
    if 'MASTER_ADDR' not in os.environ:
        hosts = subprocess.run(
            ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']], capture_output=True, text=True, check=True
        )
        os.environ['MASTER_ADDR'] = hosts.stdout.split()[0]


def set_device(launcher: str) -> None:
    """Set the variables by which mmengine chooses the GPU of a rank that Slurm or Open MPI has started.

    mmengine computes on the GPU with the number of the launcher's local rank, and DDP on that of ``LOCAL_RANK``, which
    mmengine does not set for Open MPI. Where the launcher shows each rank only its own GPU (``--gpus-per-task=1``), the
    number of that GPU is 0 in all of them.
    """
    source = _NAMES.get(launcher, {}).get('LOCAL_RANK', '')
    if source not in os.environ:
        return
    if torch.cuda.device_count() == 1:
        os.environ[source] = '0'
    os.environ['LOCAL_RANK'] = os.environ[source]


def set_rendezvous(launcher: str) -> None:
    """Set the variables of ``init_process_group`` from those of Slurm or Open MPI; torchrun sets them itself.

    Raises:
        SetupError: The launcher has not set its variables.
    """
    for name, source in _NAMES.get(launcher, {}).items():
        if source not in os.environ:
            raise SetupError(f'--launcher {launcher} needs {source}, which {launcher} sets: start the ranks with it')
        os.environ[name] = os.environ[source]
    if launcher == 'slurm':
        set_slurm_master()
    os.environ.setdefault('MASTER_PORT', '29500')
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR') if name not in os.environ]
    if missing:
        raise SetupError(
            f'--launcher {launcher} needs {", ".join(missing)} in the environment; see tools/dist_train.sh'
        )
