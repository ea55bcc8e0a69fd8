"""How a training is run on a machine: GPUs, ranks, precision, workers. Imports no torch."""

import os
from collections.abc import Mapping, Sequence

from lewel_plugins.errors import SetupError

from .facts import GPU
from .findings import gigabytes
from .settings import Setting

PER_RANK = 8  # least images of a rank
USABLE = 0.92  # share of the free memory of a GPU
FREE_SHARE = 0.8  # a GPU with less free memory is in use


def choose_gpus(gpus: tuple[GPU, ...], count: int | None) -> Setting:
    """Return the GPUs to train on, of one model, because they wait for each other.

    Args:
        gpus: The visible ones.
        count: How many the user asks for, free ones first; 0 for the CPU, None for all that are free.

    Raises:
        SetupError: There are not that many, or none is free and no number is given.
    """
    if count == 0 or not gpus:
        if count:
            raise SetupError(f'--gpus is {count}, but no GPU is visible')
        return Setting('gpus', (), 'no GPU is visible' if count is None else 'as requested')
    usable = [gpu for gpu in gpus if not gpu.problem]
    if not usable:
        raise SetupError(f'no GPU can be used: {"; ".join(map(_problem, gpus))}; use --gpus 0 for the CPU')
    chosen = _free_gpus(usable) if count is None else _freest_gpus(usable, count)
    others = [gpu for gpu in gpus if gpu not in chosen]
    left_out = [_problem(gpu) if gpu.problem else f'GPU {gpu.index} is in use' for gpu in others if not _is_free(gpu)]
    warning = ''
    in_use = [gpu for gpu in chosen if not _is_free(gpu)]
    if in_use:
        free = ', '.join(f'GPU {gpu.index} with {_free_memory(gpu)} free' for gpu in in_use)
        warning = f'in use, but taken because --gpus is {count}: {free}'
    return Setting('gpus', tuple(chosen), '; '.join([f'{len(chosen)} × {chosen[0].name}', *left_out]), warning)


def _free_gpus(gpus: Sequence[GPU]) -> list[GPU]:
    """Return the free GPUs of the model with the most free memory in all."""
    models = _by_model([gpu for gpu in gpus if _is_free(gpu)])
    if not models:
        freest = max(gpus, key=lambda gpu: gpu.free)
        raise SetupError(
            f'no GPU is free: the freest, GPU {freest.index}, has {_free_memory(freest)} free; wait, take the freest '
            'anyway with --gpus N, or use --gpus 0 for the CPU'
        )
    return max(models, key=_sum_free)


def _freest_gpus(gpus: Sequence[GPU], count: int) -> list[GPU]:
    """Return a number of GPUs of one model, with as many free ones as there are."""
    models = _by_model(gpus)
    enough = [
        sorted(model, key=lambda gpu: (0, gpu.index) if _is_free(gpu) else (1, -gpu.free))[:count]
        for model in models
        if len(model) >= count
    ]
    if not enough:
        most = max(models, key=len)
        raise SetupError(f'--gpus is {count}, but only {len(most)} × {most[0].name} can be used')
    chosen = max(enough, key=lambda some: (sum(map(_is_free, some)), _sum_free(some)))
    return sorted(chosen, key=lambda gpu: gpu.index)


def _by_model(gpus: Sequence[GPU]) -> list[list[GPU]]:
    models: dict[str, list[GPU]] = {}
    for gpu in gpus:
        models.setdefault(gpu.name, []).append(gpu)
    return list(models.values())


def _sum_free(gpus: Sequence[GPU]) -> int:
    return sum(gpu.free for gpu in gpus)


def _is_free(gpu: GPU) -> bool:
    return not gpu.problem and gpu.free >= FREE_SHARE * gpu.total


def _free_memory(gpu: GPU) -> str:
    return f'{gpu.free / 1e9:.1f} of {gigabytes(gpu.total)}'


def _problem(gpu: GPU) -> str:
    return f'GPU {gpu.index} cannot be used: {gpu.problem}'


def visible_only(gpus: Sequence[GPU], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables of a process that sees these GPUs alone, and none if there are none.

    Args:
        gpus: The GPUs, by their indices among those that this process sees.
        environment: Environment variables of this process. They may name the GPUs by numbers or by UUIDs.
    """
    if not gpus:
        return dict(CUDA_VISIBLE_DEVICES='-1')
    visible = environment.get('CUDA_VISIBLE_DEVICES')
    names = [name.strip() for name in visible.split(',')] if visible else []
    chosen = [names[gpu.index] if names else str(gpu.index) for gpu in gpus]
    return dict(CUDA_VISIBLE_DEVICES=','.join(chosen))


def ranks_on(gpus: Sequence[GPU], planned: int) -> int:
    """Return the number of ranks of a run that goes on, maybe on another machine.

    Args:
        gpus: The GPUs of this start; none for the CPU, on which there may be several ranks.
        planned: Ranks of the plan, by which the batch of each was set.

    Returns:
        The largest divisor of ``planned`` with a GPU for each rank, so that batches of ranks remain whole.
    """
    return max(count for count in range(1, planned + 1) if planned % count == 0 and (not gpus or count <= len(gpus)))


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
