"""How a training is run on a machine: GPUs, ranks, precision, workers. Imports no torch."""

from lewel_plugins.errors import SetupError

from .facts import GPU
from .findings import gigabytes
from .settings import Setting

PER_RANK = 8  # least images of a rank
USABLE = 0.92  # share of the free memory of a GPU
FREE_SHARE = 0.8  # a GPU with less free memory is in use


def choose_gpus(gpus: tuple[GPU, ...], count: int | None) -> Setting:
    """Return the GPUs to train on: free ones of one model, because they wait for each other.

    Args:
        gpus: The visible ones.
        count: How many the user asks for; 0 for the CPU, None for all.

    Raises:
        SetupError: There are not that many, or none is free.
    """
    if count == 0 or not gpus:
        if count:
            raise SetupError(f'--gpus is {count}, but no GPU is visible')
        return Setting('gpus', (), 'as requested' if gpus else 'no GPU is visible')
    models: dict[str, list[GPU]] = {}
    for gpu in gpus:
        if gpu.free >= FREE_SHARE * gpu.total:
            models.setdefault(gpu.name, []).append(gpu)
    if not models:
        freest = max(gpus, key=lambda gpu: gpu.free)
        raise SetupError(
            f'no GPU is free: the freest, GPU {freest.index}, has {freest.free / 1e9:.1f} of '
            f'{gigabytes(freest.total)} free; wait, or use --gpus 0 for the CPU'
        )
    # The model with the most free memory in all.
    name, free = max(models.items(), key=lambda item: sum(gpu.free for gpu in item[1]))
    if count is not None:
        if count > len(free):
            raise SetupError(f'--gpus is {count}, but {len(free)} × {name} are free')
        free = free[:count]
    others = [gpu for gpu in gpus if gpu not in free]
    in_use = [f'GPU {gpu.index} is in use' for gpu in others if gpu.free < FREE_SHARE * gpu.total]
    reason = '; '.join([f'{len(free)} × {name}', *in_use])
    return Setting('gpus', tuple(free), reason)


def count_ranks(gpus: tuple[GPU, ...], batch: int, least: int = PER_RANK, images: int = 0) -> Setting:
    """Return the number of ranks that share a batch evenly.

    Args:
        gpus: The GPUs.
        batch: Images per step.
        least: Least images of a rank.
        images: All images, by which the batch was chosen; 0 if the user has chosen it.
    """
    if not gpus:
        return Setting('ranks', 1, 'on the CPU')
    most = max(1, min(len(gpus), batch // least))
    ranks = next(number for number in range(most, 0, -1) if batch % number == 0)
    if ranks == len(gpus):
        return Setting('ranks', ranks, f'{batch // ranks} images on each')
    reason = f'{ranks} of {len(gpus)} GPUs: a batch of {batch} is {batch // ranks} images on each'
    few = f'{images:,} images' if images else f'batches of {batch}'
    return Setting('ranks', ranks, reason, note=f'using {ranks} of {len(gpus)} GPUs: {few} do not fill more')


def precision(gpus: tuple[GPU, ...]) -> Setting:
    """Return the fastest precision that all GPUs support."""
    if not gpus:
        return Setting('precision', 'float32', 'on the CPU')
    capability = min(gpu.capability for gpu in gpus)
    if capability >= (8, 0):
        return Setting('precision', 'bfloat16', 'the GPU supports it')
    if capability >= (7, 0):
        return Setting('precision', 'float16', 'the GPU has no bfloat16; losses are scaled')
    return Setting('precision', 'float32', 'the GPU is fast in no lower one')


def workers(cores: int, count: int | None, ranks: int) -> Setting:
    """Return the number of workers per rank that load images.

    Args:
        cores: Cores that this process may use.
        count: How many the user asks for; None for the rule.
        ranks: Number of ranks, which share the cores.

    Raises:
        SetupError: The user asks for less than none.
    """
    most = max(1, cores // ranks - 1)
    if count is not None:
        if count < 0:
            raise SetupError(f'--workers must be at least 0, got {count}')
        warning = f'{count} workers on {cores} cores: more than cores gain nothing'
        return Setting('workers', count, 'as requested', warning if count > most + 1 else '')
    return Setting('workers', min(8, most), f'{cores} cores, {ranks} rank{"s" if ranks > 1 else ""}')
