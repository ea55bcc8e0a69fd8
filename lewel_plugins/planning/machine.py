"""What this machine offers to a training."""

from collections.abc import Callable

from lewel_plugins.running.resources import cores, memory

from .devices import choose_gpus
from .facts import GPU, Machine
from .findings import Finding


def machine_facts(count: int | None = None) -> Machine:
    """Return GPUs, cores and main memory of this process.

    Args:
        count: Number of GPUs that the user requests; with 0, none is looked for.

    Raises:
        SetupError: There are GPUs that torch cannot use. States what torch needs.
    """
    if count == 0:
        return Machine((), cores(), memory())
    from lewel_plugins.running.devices import check_gpus

    check_gpus()
    return Machine(visible_gpus(), cores(), memory())


def gpus_of_this_start(count: int | None, say: Callable[[str], object] | None = None) -> tuple[GPU, ...]:
    """Return the GPUs for a run that goes on, whatever those of its plan were.

    Args:
        count: How many the user asks for; 0 for the CPU, None for all.
        say: Is called with a warning if GPUs that the user asks for are in use.

    Raises:
        SetupError: There are not that many, none is free, or torch cannot use them.
    """
    if count == 0:
        return ()
    gpus = choose_gpus(machine_facts().gpus, count)
    if gpus.warning and say is not None:
        say(str(Finding('warning', 'gpus', gpus.warning)))
    return gpus.value


def visible_gpus() -> tuple[GPU, ...]:
    """Return the GPUs that torch sees, with the memory that is free now.

    The question for the free memory takes some hundred megabytes on each GPU until this process ends.
    """
    import torch

    if not torch.cuda.is_available():
        return ()
    torch.cuda.empty_cache()  # memory that this process keeps for itself is not free for the training
    return tuple(_gpu(index) for index in range(torch.cuda.device_count()))


def _gpu(index: int) -> GPU:
    import torch

    name = f'GPU {index}'
    try:
        name = torch.cuda.get_device_name(index)
        free, total = torch.cuda.mem_get_info(index)
        return GPU(index, name, total, free, torch.cuda.get_device_capability(index))
    except RuntimeError as error:  # broken, or in exclusive mode and in use
        line = next(iter(str(error).splitlines()), '') or type(error).__name__
        return GPU(index, name, 0, 0, (0, 0), problem=line)
