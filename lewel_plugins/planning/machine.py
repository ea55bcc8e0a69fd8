"""What this machine offers to a training."""

from lewel_plugins.running.resources import cores, memory

from .facts import GPU, Machine


def machine_facts() -> Machine:
    """Return GPUs, cores and main memory of this process.

    Raises:
        SetupError: There are GPUs that torch cannot use. States what torch needs.
    """
    from lewel_plugins.running.devices import check_gpus

    check_gpus()
    return Machine(visible_gpus(), cores(), memory())


def visible_gpus() -> tuple[GPU, ...]:
    """Return the GPUs that torch sees, with the memory that is free now.

    The question for the free memory takes some hundred megabytes on each GPU until this process ends.
    """
    import torch

    if not torch.cuda.is_available():
        return ()
    gpus = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name, capability = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
        gpus.append(GPU(index, name, total, free, capability))
    return tuple(gpus)
