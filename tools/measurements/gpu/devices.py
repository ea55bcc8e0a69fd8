"""The device that is measured."""

import subprocess
from typing import Any

import torch

from lewel_plugins.errors import SetupError
from lewel_plugins.running.devices import check_gpus, has_bfloat16


def check_device(device: str) -> None:
    """Check that torch can use a device as trainings do.

    Raises:
        SetupError: It cannot.
    """
    if device == 'cpu':
        return
    check_gpus()
    if not torch.cuda.is_available():
        raise SetupError('there is no GPU; --device cpu tries the check itself')
    if not has_bfloat16():
        raise SetupError(f'{torch.cuda.get_device_name()} has no bfloat16, in which the recipes train')


def touch(device: str) -> dict[str, Any]:
    """Use a device, and return its name with the versions of what computes on it."""
    if device == 'cpu':
        return dict(device='cpu', driver='–', torch=torch.__version__, cuda='–')
    torch.ones(8, device=device).sum().item()
    properties = torch.cuda.get_device_properties(0)
    return dict(
        device=properties.name,
        count=torch.cuda.device_count(),
        driver=_driver(),
        torch=torch.__version__,
        cuda=str(torch.version.cuda),
        cudnn=str(torch.backends.cudnn.version()),
        gib=round(properties.total_memory / 2**30, 1),
    )


def _driver() -> str:
    """Return the version of NVIDIA's driver, as ``nvidia-smi`` prints it."""
    command = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return 'unknown'
    return result.stdout.strip().split('\n')[0] if result.returncode == 0 else 'unknown'


def use(device: str) -> None:
    """Set what trainings set: the registry's scope, a search for the fastest convolutions, one thread on a CPU."""
    from ..steps.recipes import prepare

    prepare(1 if device == 'cpu' else None)
    torch.backends.cudnn.benchmark = True
