"""Whether images arrive as fast as the device takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lewel_plugins.api.preparation import Preparation
from lewel_plugins.planning.findings import Finding, percent, plural

from .apart import run_apart
from .step import device_environment

MARGIN = 1.25  # supply over demand from which workers are enough
LEAST_WAIT = 0.1  # share of the time from which a wait is worth a warning


@dataclass(frozen=True)
class InputMeasurement:
    """Views per second of the loader alone.

    Args:
        workers: Numbers of workers, growing.
        cold: Views per second from files that are not in memory.
        warm: The same from files that are.
    """

    workers: tuple[int, ...]
    cold: tuple[float, ...]
    warm: tuple[float, ...]

    def describe(self) -> str:
        """Return the numbers as text."""
        rows = zip(self.workers, self.cold, self.warm)
        parts = [f'{cold:,.0f} to {warm:,.0f} with {count}' for count, cold, warm in rows]
        return f'views/s by workers, first and again: {", ".join(parts)}'

    def supply(self, workers: int) -> float:
        """Return the views per second of files in memory, in proportion beyond what was measured."""
        known = dict(zip(self.workers, self.warm))
        if workers in known:
            return known[workers]
        nearest = min(self.workers, key=lambda count: (abs(count - workers), count))
        return known[nearest] * workers / nearest


def measure_input(preparation: Preparation, seconds: float) -> InputMeasurement:
    """Read the images with 1, 2, 4 … workers, 3 s each.

    Args:
        preparation: The training.
        seconds: Time for all of it, with the start of a process; shorter, with fewer workers.

    Raises:
        Unmeasured: The loader raises an error, or not even one worker is measured in time.
    """
    most = most_workers(preparation)
    counts = sorted({2**i for i in range(most.bit_length())} | {most})
    rows = run_apart('loader', preparation, seconds, device_environment(None), workers=counts)['rows']
    columns = ([row[name] for row in rows] for name in ('workers', 'cold', 'warm'))
    workers, cold, warm = (tuple(column) for column in columns)
    return InputMeasurement(workers, cold, warm)


def most_workers(preparation: Preparation) -> int:
    """Return the number of workers of a rank that the cores allow."""
    return max(1, preparation.facts.machine.cores // preparation.plan['ranks'] - 1)


def waiting(supply: float, demand: float) -> float:
    """Return the share of the time that a device waits: for views per second that are made, and that it could take."""
    return max(0.0, 1 - supply / demand)


def fewest_workers(supply: Sequence[float], demand: float) -> int | None:
    """Return the fewest workers that make enough views; None if none of these numbers does.

    Args:
        supply: Views per second of 1, 2, 3 … workers.
        demand: Views per second that the device takes.
    """
    return next((i for i, views in enumerate(supply, 1) if views >= MARGIN * demand), None)


def input_findings(measurement: InputMeasurement, demand: float, workers: int, most: int) -> list[Finding]:
    """Describe a wait for images, or workers that are not needed.

    Args:
        measurement: The loader alone.
        demand: Views per second that a GPU takes.
        workers: Workers of a rank in the plan.
        most: Workers that the cores allow.
    """
    wait = waiting(measurement.supply(workers) if workers else 0.0, demand)
    enough = fewest_workers([measurement.supply(count) for count in range(1, most + 1)], demand)
    if wait < LEAST_WAIT:
        if enough is None or enough >= workers:
            return []
        rates = f'the GPU takes {demand:,.0f} views/s, {plural(enough, "worker")} of {workers} in the plan'
        verb = 'makes' if enough == 1 else 'make'
        text = f'{rates} {verb} {measurement.supply(enough):,.0f}: --workers {enough} is enough'
        return [Finding('note', 'input', text)]
    text = f'the GPU would wait {percent(wait)} of the time'
    if enough is not None and enough > workers:
        return [Finding('warning', 'input', f'{text}: use {plural(enough, "worker")}')]
    return [Finding('warning', 'input', f'{text}, and more workers than cores gain nothing')]
