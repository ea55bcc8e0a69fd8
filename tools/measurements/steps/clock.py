"""Time of functions that alternate."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import distributed

Function = Callable[[], object]


def seconds(function: Function, device: str) -> float:
    """Return seconds on the wall on a GPU, and processor seconds of all threads on a CPU, which others may use too."""
    if device == 'cpu':
        start = time.process_time()
        function()
        return time.process_time() - start
    return wall_seconds(function, device)


def wall_seconds(function: Function, device: str) -> float:
    """Return seconds on the wall, from the moment at which all ranks are ready."""
    if distributed.is_initialized():
        distributed.barrier()
    _synchronize(device)
    start = time.perf_counter()
    function()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: str) -> None:
    if device != 'cpu':
        torch.cuda.synchronize()


def alternate(
    functions: Mapping[str, Function],
    device: str,
    repeats: int,
    warm_up: int = 1,
    clock: Callable[[Function, str], float] = seconds,
    calls: int = 1,
) -> dict[str, list[float]]:
    """Run functions in turn.

    Args:
        functions: Functions by name.
        device: ``cpu`` or a GPU.
        repeats: How often to measure each.
        warm_up: How often to run each before.
        clock: What returns a function's seconds on a device.
        calls: Number of calls per repetition; on a GPU, the host prepares a call while another one runs.

    Returns:
        The seconds per call of each repetition by name.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(warm_up + repeats):
        for name, function in functions.items():
            times[name].append(clock(_repeated(function, calls), device) / calls)
    return {name: values[warm_up:] for name, values in times.items()}


def _repeated(function: Function, calls: int) -> Function:
    def run() -> None:
        for _ in range(calls):
            function()

    return run


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the paired ratios."""
    return median(a / b for a, b in zip(above, below, strict=True))
