"""What SMoG's groups separate, measured on the features that they were clustered from."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF

QUARTERS = 4
MOST_INFORMATION = math.log(QUARTERS)  # nats
_SIMILARITIES = 1 << 25  # number in memory at once: 128 MiB of float32


class GroupDiagnosis(NamedTuple):
    """Measures of groups and of the features that they were clustered from, the same on every rank.

    Args:
        quarter_information: Mutual information, in nats, of a feature's group and the quarter of the window in which
            the feature was cached, in [0, log 4 = 1.39]. Groups that separate images have that of shuffled times.
            Groups that separate times, because the network has changed within the window, have more.
        quarter_information_shuffled: The same with the times shuffled. It is not 0, and it is large where a group has
            few features.
        participation_ratio: See :func:`participation_ratio`, of the unit features, in [1, d].
    """

    quarter_information: float
    quarter_information_shuffled: float
    participation_ratio: float


@torch.no_grad()
def diagnose_groups(features: Tensor, positions: Tensor, groups: Tensor, seed: int) -> GroupDiagnosis:
    """Measure whether groups separate images or times, and how many dimensions their features have.

    Args:
        features: This rank's unit features, (n, d).
        positions: Their positions among the T features of all ranks, in the order of time, (n,) int64.
        groups: Unit group features, (l, d), the same on every rank.
        seed: Seed of the shuffle, the same on every rank.
    """
    total = int(dist.all_reduce_sum(torch.tensor([len(features)], device=features.device)))
    by_time, shuffled = _group_counts(features, positions, groups, total, seed)
    values = LF.mutual_information(by_time), LF.mutual_information(shuffled), _participation_ratio(features, total)
    return GroupDiagnosis(*torch.stack([value.float() for value in values]).tolist())  # waits for the device once


def _group_counts(features: Tensor, positions: Tensor, groups: Tensor, total: int, seed: int) -> Tensor:
    """Count the features of all ranks per group and quarter of the window, by time and with shuffled times.

    Returns:
        Counts, (2, l, 4) int64.
    """
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).to(positions.device)
    cells = len(groups) * QUARTERS
    counts = torch.zeros(2, cells, dtype=torch.long, device=features.device)
    size = max(1, _SIMILARITIES // len(groups))
    for rows, time in zip(features.split(size), positions.split(size)):
        assignment = LF.assign_groups(rows.to(groups.dtype), groups, unit_groups=True)
        for row, times in zip(counts, (time, order[time])):
            row += torch.bincount(assignment * QUARTERS + times * QUARTERS // total, minlength=cells)
    return dist.all_reduce_sum(counts).view(2, len(groups), QUARTERS)


def _participation_ratio(features: Tensor, total: int) -> Tensor:
    """Return the participation ratio of the unit features of all ranks, ()."""
    d = features.shape[1]
    wide = torch.promote_types(features.dtype, torch.float32)
    mean, scatter = features.new_zeros(d, dtype=wide), features.new_zeros(d, d, dtype=wide)
    size = max(1, _SIMILARITIES // d)
    for rows in features.split(size):
        mean += F.normalize(rows.to(wide), dim=1).sum(0)
    mean = dist.all_reduce_sum(mean) / total
    for rows in features.split(size):  # centered first, because unit features have a large mean in an early training
        centered = F.normalize(rows.to(wide), dim=1) - mean
        scatter += centered.T @ centered
    return LF.participation_ratio(dist.all_reduce_sum(scatter))
