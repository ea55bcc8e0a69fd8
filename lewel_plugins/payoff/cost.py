"""How long an experiment takes, by arm and stage, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lewel_plugins.errors import SetupError

from .design import FROZEN, LINEAR, PRETRAINED, TRAINED, Design
from .finetuning_length import LENGTHS, steps_of
from .rates import SEARCH_SHARE, num_searched
from .verdicts import duration


@dataclass(frozen=True)
class Seconds:
    """Times by measurement.

    Args:
        pretrain_step: One step of pretraining, with its images.
        finetune_image: One image of fine-tuning, with its loading.
        feature_image: The features of one image, or what is predicted for it, with its loading.
        linear_step: One step of a linear classifier on features.
    """

    pretrain_step: float
    finetune_image: float
    feature_image: float
    linear_step: float


@dataclass(frozen=True)
class Sizes:
    """What the times refer to.

    Args:
        labeled: Labeled images, of training and test together.
        test: Test images.
        subsets: Training images of each subset of the design.
        steps: Steps of pretraining by arm, without arms whose one network is pretrained already.
        linear_steps: Steps of a linear classifier.
        images: Images of all steps of a training at length 1, by subset; as of a classifier by default.
    """

    labeled: int
    test: int
    subsets: Sequence[int]
    steps: dict[str, int]
    linear_steps: int = 500
    images: Sequence[int] | None = None


class Part(NamedTuple):
    """The time of a stage of an arm."""

    arm: str
    stage: str
    seconds: float


def cost(design: Design, sizes: Sizes, seconds: Seconds, finetune_epochs: int | None = None) -> list[Part]:
    """Return the time of each stage of each arm.

    Args:
        design: What is measured.
        sizes: Numbers of images and steps, of the design's subsets.
        seconds: Times by measurement.
        finetune_epochs: Length of fine-tuning that the user has set.
    """
    parts = []
    for arm in design.arms:
        is_one = arm == 'B' or (arm in PRETRAINED and arm not in sizes.steps)
        networks = 1 if is_one else design.seeds
        if arm in PRETRAINED and not is_one:
            parts.append(Part(arm, 'pretraining', networks * sizes.steps[arm] * seconds.pretrain_step))
        if set(FROZEN) & set(design.tasks):
            parts.append(Part(arm, 'features', networks * sizes.labeled * seconds.feature_image))
        if LINEAR in design.tasks:
            cells = design.seeds * len(sizes.subsets)
            parts.append(Part(arm, 'linear', (cells + 2) * sizes.linear_steps * seconds.linear_step))
        if set(TRAINED) & set(design.tasks):
            parts.append(Part(arm, 'fine-tuning', _finetuning(design, sizes, seconds, finetune_epochs)))
    return parts


def _finetuning(design: Design, sizes: Sizes, seconds: Seconds, epochs: int | None) -> float:
    """Return the time of all fine-tuning of an arm at the longer length, with the search for its rate and length."""
    images = sizes.images or [steps_of(size, epochs).images for size in sizes.subsets]
    whole = images[-1] * seconds.finetune_image * (1 - SEARCH_SHARE)
    search = whole * (num_searched() * 0.5 + sum(LENGTHS))
    cells = design.seeds * max(LENGTHS) * sum(images) * seconds.finetune_image
    tests = (design.seeds * len(sizes.subsets)) * sizes.test * seconds.feature_image
    return search + cells + tests


def total(parts: Sequence[Part]) -> float:
    """Return the time of all parts."""
    return sum(part.seconds for part in parts)


def describe(parts: Sequence[Part]) -> list[str]:
    """Return lines with the time of each arm and stage, and the total."""
    lines = [f'  {part.arm}  {part.stage:<12} {duration(part.seconds)}' for part in parts]
    return [*lines, f'  in all          {duration(total(parts))}']


class Choice(NamedTuple):
    """The largest design that the time allows.

    Attributes:
        design: The design.
        parts: Its cost.
        dropped: What was left out, in words.
    """

    design: Design
    parts: list[Part]
    dropped: list[str]


def within_hours(choices: Sequence[Choice], hours: float | None) -> Choice:
    """Return the first choice that the time allows.

    Args:
        choices: The designs from the largest to the smallest.
        hours: Time to take at most; None for no limit.

    Raises:
        SetupError: Not even the smallest one does.
    """
    if hours is None:
        return choices[0]
    if hours <= 0:
        raise SetupError(f'--hours must be positive, got {hours:g}')
    for choice in choices:
        if total(choice.parts) <= 3600 * hours:
            return choice
    least = duration(total(choices[-1].parts))
    what = f' without {" and ".join(choices[-1].dropped)}' if choices[-1].dropped else ''
    raise SetupError(f'--hours is {hours:g}, but{what} an answer takes about {least}')
