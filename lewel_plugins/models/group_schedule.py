"""SMoG's settings for a data set, a batch and a length of training, by the ratios between those of the paper."""

import math
from typing import NamedTuple

WINDOW_SHARE = 0.01  # interval / steps of the training
TEACHER_MOVE = 0.3  # interval * (1 - alpha)
IMAGES_PER_GROUP = 1.4  # batch size / groups
REPLACED_AT_THE_END = 0.89  # 1 - beta^hits: share of a group that its images replace between two resets
FEATURES_PER_GROUP = 10  # least number of features per group for K-means


class GroupSchedule(NamedTuple):
    """Settings of SMoG that depend on the length of training and on the batch.

    Args:
        interval: Optimizer steps between resets, of ``SMoGResetHook``.
        momentum: 1 − α of the teacher, of ``SMoG``.
        num_groups: Number of groups l, of ``SMoGHead``.
        end_beta: β at the end, of ``SMoGHead``; None if it stays as it starts.
    """

    interval: int
    momentum: float
    num_groups: int
    end_beta: float | None


def group_schedule(images: int, batch_size: int, epochs: float, iterations: int = 1) -> GroupSchedule:
    """Return SMoG's settings for a training, by the ratios between the paper's settings (SMoG, Sec. 3.4).

    The paper's numbers belong to 31,250 (100 epochs) and more steps of 4096 images. A shorter training keeps what they
    mean:

    - an interval of 1 % of the steps, 300 of 31,250. After a larger share the network has changed so much that groups
      separate times instead of images (``groups_quarter_information`` of ``SMoGResetHook``);
    - interval · (1 − α) = 0.3, 300 · 0.001: the teacher makes a quarter of the way, 1 − α^interval, to an online
      network that stands still;
    - 1.4 images per group and step, 4096 / 3000;
    - 1 − β^hits = 0.89 at the end of training: the share of a group that its images replace between two resets. A group
      is hit by n images with probability 1 − (1 − 1/l)^n if images fall into l groups evenly and independently, and it
      moves in each of the A iterations of a step of N images that hits it. Hence hits =
      interval · A · (1 − (1 − 1/l)^(N/A)), 223 for the paper with A = 1, where 1 − 0.99^223 = 0.89.

    The interval is longer than 1 % where K-means would get fewer than 10 features per group, in a training of less than
    800 steps. All settings have two significant digits (of 1 − β for β), and later ones follow from the rounded earlier
    ones. The paper's own settings come out as 310, 0.00097, 2900 and 0.9906.

    Args:
        images: Number of images of the data set.
        batch_size: Images N per optimizer step, on all ranks and over all accumulated iterations.
        epochs: Length of the training.
        iterations: Iterations A per optimizer step, which is 1 without gradient accumulation.

    Raises:
        ValueError: The data set has less than a batch, or the training has less than two intervals.
    """
    if not 2 <= batch_size <= images:
        raise ValueError(f'batch_size must be in 2 … images = {images}, got {batch_size}')
    steps = int(epochs * (images // batch_size))
    num_groups = max(2, int(_two_digits(batch_size / IMAGES_PER_GROUP)))
    shortest = math.ceil(FEATURES_PER_GROUP * num_groups / batch_size)
    interval = max(shortest, int(_two_digits(WINDOW_SHARE * steps)))
    if steps < 2 * interval:
        raise ValueError(
            f'{epochs} epochs of {images} images are {steps} steps of {batch_size} images, fewer than 2 resets of '
            f'{num_groups} groups, which need {interval} steps each: train longer or with a smaller batch'
        )
    beta = (1 - REPLACED_AT_THE_END) ** (1 / _hits(interval, num_groups, batch_size, iterations))
    return GroupSchedule(interval, _two_digits(TEACHER_MOVE / interval), num_groups, _round_beta(beta))


def scale_to_batch(
    schedule: GroupSchedule, base_batch_size: int, batch_size: int, iterations: int = 1
) -> GroupSchedule:
    """Return the settings with which a training of as many epochs keeps its ratios at another batch size.

    The ratios are those of ``schedule``, which need not be the ratios of the paper: the interval's share of training,
    interval · (1 − α), images per group and step, and the share 1 − β^hits of a group that is replaced between two
    resets; see :func:`group_schedule`. Rounding and the least interval are the same, so the result for a ``schedule``
    of that function is what the function returns, up to rounding.

    Args:
        schedule: Settings at ``base_batch_size``, without gradient accumulation.
        base_batch_size: Images per optimizer step that the settings belong to.
        batch_size: Images per optimizer step, over all accumulated iterations.
        iterations: Iterations per optimizer step. On them only β depends.
    """
    interval, momentum, num_groups, end_beta = schedule
    if batch_size != base_batch_size:
        ratio = batch_size / base_batch_size
        num_groups = max(2, int(_two_digits(schedule.num_groups * ratio)))
        shortest = math.ceil(FEATURES_PER_GROUP * num_groups / batch_size)
        interval = max(shortest, int(_two_digits(schedule.interval / ratio)))
        momentum = min(1.0, _two_digits(schedule.momentum * schedule.interval / interval))
    if end_beta is not None:
        before = _hits(schedule.interval, schedule.num_groups, base_batch_size, 1)
        end_beta = _round_beta(end_beta ** (before / _hits(interval, num_groups, batch_size, iterations)))
    return GroupSchedule(interval, momentum, num_groups, end_beta)


def _hits(interval: int, num_groups: int, batch_size: int, iterations: int) -> float:
    """Return the expected number of iterations of an interval that hit, and so move, a group."""
    return interval * iterations * (1 - (1 - 1 / num_groups) ** (batch_size / iterations))


def _round_beta(beta: float) -> float:
    return round(1 - _two_digits(1 - beta), 10)


def _two_digits(number: float) -> float:
    return float(f'{number:.1e}')
