"""What the device of this machine can do, and whether torch can use it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.device import get_device, utils

from lewel_plugins.errors import SetupError

_NVIDIA_GPUS = Path('/proc/driver/nvidia/gpus')  # one folder per GPU that the driver has
# CUDA of the torch wheel → oldest driver on Linux, from NVIDIA's table of minor version compatibility.
_DRIVERS = {11: '450.80.02', 12: '525.60.13', 13: '580.65.06'}
_ON_CPU = 'To train on the CPU, set CUDA_VISIBLE_DEVICES=-1.'


def has_accelerator() -> bool:
    """Return whether mmengine's AMP and distributed launchers work on this machine's device."""
    return get_device() not in ('cpu', 'mps')


def has_bfloat16() -> bool:
    """Return whether the GPU computes in bfloat16."""
    if not torch.cuda.is_available():
        return False
    # torch.cuda.is_bf16_supported() is also true for emulation, which is slower than float32.
    return torch.version.hip is not None or torch.cuda.get_device_capability() >= (8, 0)


@contextmanager
def computing_on(gpus: Sequence[int]) -> Iterator[None]:
    """Compute in this process on the first of some GPUs, or on the CPU if there are none.

    mmengine would take the first visible GPU. It looks for one when it is imported, and so heeds no later setting of
    ``CUDA_VISIBLE_DEVICES``.

    Args:
        gpus: Indices of the GPUs among the visible ones.
    """
    device = utils.DEVICE
    try:
        if gpus:
            with torch.cuda.device(gpus[0]):
                yield
        else:
            utils.DEVICE = 'cpu' if device == 'cuda' else device
            yield
    finally:
        utils.DEVICE = device


def check_gpus(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to train on the CPU, or to fail at the first kernel, if there are GPUs that this torch cannot use.

    Args:
        environment: Environment variables; Slurm and the user name the GPUs of a job there.

    Raises:
        SetupError: There are GPUs, but the driver is too old for torch or missing, torch has no CUDA, or torch has no
            kernels for them. States what torch needs.
    """
    if not has_accelerator():
        if _expects_gpus(environment):
            raise SetupError(
                f'this job has GPUs, but torch {torch.__version__} cannot use them: {_reason()}. {_ON_CPU}'
            )
        return
    if torch.cuda.is_available() and torch.version.hip is None and not _has_kernels():
        name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        raise SetupError(
            f'torch {torch.__version__} has no kernels for this GPU ({name}, sm_{major}{minor}), only for '
            f'{", ".join(torch.cuda.get_arch_list())}: install a torch that has them, see docs/install.md. {_ON_CPU}'
        )


def check_ops(scope: str) -> None:
    """Refuse detection and segmentation on a GPU with ops of mmcv that are for CPUs only.

    Args:
        scope: ``default_scope`` of the config.

    Raises:
        SetupError: There are GPUs, and the ops do not run on them. States how to build them.
    """
    if scope not in ('mmdet', 'mmseg') or not torch.cuda.is_available():
        return
    from mmcv.ops import get_compiling_cuda_version

    if get_compiling_cuda_version() == 'not available':
        raise SetupError(
            f"{scope} on a GPU needs mmcv's ops for GPUs, and those of this environment are for CPUs only: run "
            '`make ops` on a machine with a GPU or nvcc, see docs/install.md'
        )


def _expects_gpus(environment: Mapping[str, str]) -> bool:
    visible = environment.get('CUDA_VISIBLE_DEVICES')
    if visible is not None and visible.strip() in ('', '-1', 'NoDevFiles'):  # Slurm sets NoDevFiles
        return False
    has_driver = _NVIDIA_GPUS.is_dir() and any(_NVIDIA_GPUS.iterdir())
    return bool(visible or environment.get('SLURM_JOB_GPUS') or has_driver)


def _reason() -> str:
    if torch.version.cuda is None:
        return 'this is a build without CUDA; install one with CUDA, see docs/install.md'
    needs = _DRIVERS.get(int(torch.version.cuda.split('.')[0]))
    driver = f'an NVIDIA driver of version {needs} or newer' if needs else 'a newer NVIDIA driver'
    return (
        f'its CUDA {torch.version.cuda} needs {driver} (nvidia-smi prints the version); update the driver, or install '
        'a torch for it, see docs/install.md'
    )


def _has_kernels() -> bool:
    """Return whether torch has machine code for the GPU's architecture, or code that the driver can compile for it."""
    major, minor = torch.cuda.get_device_capability()
    for arch in torch.cuda.get_arch_list():
        kind, _, digits = arch.partition('_')
        built_major, built_minor = divmod(int(''.join(filter(str.isdigit, digits))), 10)
        if kind == 'sm' and built_major == major and built_minor <= minor:
            return True
        if kind == 'compute' and (built_major, built_minor) <= (major, minor):
            return True
    return False
