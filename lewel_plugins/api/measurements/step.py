"""Real steps of a training, before it starts."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lewel_plugins.api.preparation import Preparation
from lewel_plugins.planning import GPU
from lewel_plugins.planning.devices import visible_only
from lewel_plugins.planning.findings import Finding
from lewel_plugins.planning.plan import CHECKS

from .apart import Unmeasured, started

COPY_SIZE = 512  # shorter side of the smaller copies that are offered, in pixels


@dataclass(frozen=True)
class StepMeasurement:
    """Some steps of the training on one device.

    Args:
        seconds_per_step: Seconds per step of the optimizer, with the wait for images.
        steps: Number of steps that were timed.
        batch: Images per step that they were timed with: fewer than in the plan where a step of all takes too long.
        wait: Share of the time in which the device waited for images.
        finite: Whether all losses were finite.
        still: Parameters that no step has changed; None if the time was too short for a step of the optimizer.
        spread: Standard deviation of the unit embeddings times √d, 1 if they are spread evenly.
        memory: Peak in bytes: of the GPU, or of the process on a CPU, where it is a lower bound if only a small part
            of the batch was timed.
        startup: Seconds from the start of the process to the first step.
        validation: Seconds of a validation, those of a part of the images in proportion.
        decoding: Share of decoding in the time of a worker; None if unknown.
        speedup: How many times faster a worker is with copies of :data:`COPY_SIZE` pixels.
    """

    seconds_per_step: float
    steps: int
    batch: int
    wait: float
    finite: bool
    still: tuple[str, ...] | None
    spread: float | None
    memory: int
    startup: float
    validation: float
    decoding: float | None = None
    speedup: float = 1.0

    @property
    def moves(self) -> bool:
        """Whether every parameter has moved, as far as is known."""
        return not self.still

    def facts(self) -> dict[str, float]:
        """Return what a plan takes of it, see :class:`lewel_plugins.planning.Facts`."""
        return dict(step_seconds=self.seconds_per_step, other_seconds=self.startup + (CHECKS + 1) * self.validation)


def measure_step(preparation: Preparation, seconds: float) -> StepMeasurement:
    """Take two steps to warm up and at least five to time, with optimizer, teacher and monitor, on the first device.

    Args:
        preparation: The training.
        seconds: Time for all of it, with the start of a process.

    Raises:
        Unmeasured: The training raises an error, or no step ends in time.
    """
    gpus = preparation.plan['gpus']
    (step,) = measure_steps(preparation, seconds, [gpus[0] if gpus else None])
    if isinstance(step, Unmeasured):
        raise step
    return step


def measure_steps(
    preparation: Preparation, seconds: float, gpus: Sequence[GPU | None]
) -> list[StepMeasurement | Unmeasured]:
    """Take such steps on several devices at the same time, where their workers share the cores as in the training.

    Args:
        preparation: The training.
        seconds: Time for all of it, with the start of processes.
        gpus: The GPUs; None for the CPU.

    Returns:
        For each device its steps, or why there are none.
    """
    with ExitStack() as stack:
        results = [stack.enter_context(started('step', preparation, seconds, device_environment(gpu))) for gpu in gpus]
        return [_measured(preparation, result) for result in results]


def _measured(preparation: Preparation, result: Callable[[], dict[str, Any]]) -> StepMeasurement | Unmeasured:
    try:
        values = result()
    except Unmeasured as error:
        return error
    still = values.pop('still')
    seconds_per_step = values.pop('seconds_per_iteration') * preparation.plan['accumulation']
    monitored = len(preparation.parts()[2])
    validation = values.pop('validation_start') + monitored * values.pop('validation_per_image')
    return StepMeasurement(
        seconds_per_step=seconds_per_step,
        still=None if still is None else tuple(still),
        validation=validation,
        **values,
    )


def device_environment(gpu: GPU | None) -> dict[str, str]:
    """Return the environment in which a GPU is the only one; none is visible without one."""
    return visible_only([] if gpu is None else [gpu])


def step_findings(step: StepMeasurement, device: str) -> list[Finding]:
    """Describe what is wrong with the steps.

    Args:
        step: The steps.
        device: What they ran on, such as ``GPU 0``.
    """
    if not step.finite:
        text = f'the loss is not finite on {device} within the first {step.steps} steps; lower the rate'
        return [Finding('error', 'step', text)]
    findings = []
    if step.still:
        more = f' and {len(step.still) - 3} more' if len(step.still) > 3 else ''
        names = f'{", ".join(step.still[:3])}{more}'
        findings.append(Finding('error', 'step', f'no step changes these parameters on {device}: {names}'))
    if step.spread is not None and not step.spread > 0:
        findings.append(Finding('error', 'step', f'all embeddings are equal on {device}: the spread is 0'))
    return findings


def decoding_findings(step: StepMeasurement, title: str) -> list[Finding]:
    """Offer smaller copies of the images if they would be loaded much faster.

    Args:
        step: The steps.
        title: The folder.
    """
    if step.decoding is None or step.decoding < 0.5 or step.speedup < 2:
        return []
    source, target = shlex.quote(title), shlex.quote(f'{title}-{COPY_SIZE}')
    command = f'python tools/data/resize_images.py {source} {target} --size {COPY_SIZE}'
    times = f'about {step.speedup:.0f} times faster'
    text = f'decoding takes {step.decoding:.0%} of loading time; {command} makes loading {times}'
    return [Finding('warning', 'decoding', text)]


def failed_step(error: Unmeasured, device: str) -> Finding:
    """Describe a measurement without a result: an error of the training is one of the check, too little time is not."""
    if error.kind:
        return Finding('error', 'step', f'a step fails on {device}: {error}')
    return Finding('note', 'step', f'no step was timed on {device}: {error}')
