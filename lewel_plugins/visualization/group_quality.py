"""Class entropy of groups of images, and sheets with images of some groups."""

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lewel_plugins.functional import group_entropy

_STYLES = ('-', ':', '-.')


def shuffled_entropy(assignment: Tensor, labels: Tensor, num_groups: int, seed: int = 0) -> Tensor:
    """Return the entropies (l,) of groups of the same sizes with random images, as a reference for their classes."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return group_entropy(assignment, labels[order], num_groups)


def pick_groups(entropy: Tensor, sizes: Tensor, count: int, min_size: int) -> tuple[list[int], list[int]]:
    """Pick the purest and the most mixed groups of at least ``min_size`` images, the larger ones first among equals.

    Args:
        entropy: Entropy of each group, (l,).
        sizes: Number of images per group, (l,) int64.
        count: Maximum number of groups of each kind. No group is of both kinds.
        min_size: Minimum number of images.

    Returns:
        The purest groups, starting with the purest, and the most mixed groups, starting with the most mixed.
    """
    entropies, images = entropy.tolist(), sizes.tolist()
    large = [k for k in range(len(images)) if images[k] >= max(1, min_size)]
    order = sorted(large, key=lambda k: (entropies[k], -images[k]))
    count = min(count, (len(order) + 1) // 2)
    return order[:count], order[count:][::-1][:count]


def density(values: np.ndarray, at: np.ndarray, top: float) -> np.ndarray:
    """Return a Gaussian density estimate on [0, top], reflected at both ends so that it integrates to one."""
    spread = min(values.std(), np.subtract(*np.percentile(values, [75, 25])) / 1.34) or values.std()
    width = max(0.9 * spread * len(values) ** -0.2, 0.01 * top)  # Silverman's rule
    copies = np.concatenate([values, -values, 2 * top - values])
    kernels = np.exp(-((at[:, None] - copies) ** 2) / (2 * width**2))
    return kernels.sum(1) / (len(values) * width * np.sqrt(2 * np.pi))


def draw_entropy_density(entropies: Mapping[str, Tensor], references: Mapping[str, Tensor], num_classes: int) -> Figure:
    """Draw the density of groups over their class entropy, with one color per set of groups. SMoG, Fig. 5.

    Args:
        entropies: Entropy of each group, (l,), by title. Empty groups have NaN and are left out.
        references: The same with shuffled labels, drawn thin and dashed. A narrow curve may exceed the axes, whose
            height depends on ``entropies`` only.
        num_classes: Number of classes C. The entropy is at most log C.
    """
    top = log(max(2, num_classes))
    at = np.linspace(0, top, 300)
    figure = Figure(figsize=(6.4, 4), layout='constrained', dpi=120)
    axis = figure.subplots()
    highest = 0.0
    for i, title in enumerate(entropies):
        values, shuffled = (each[title][~each[title].isnan()].numpy() for each in (entropies, references))
        curve = density(values, at, top)
        highest = max(highest, curve.max())
        label = f'{title}: mean {values.mean():.2f}, labels shuffled {shuffled.mean():.2f}'
        axis.plot(at, curve, _STYLES[i // 10 % len(_STYLES)], color=f'C{i % 10}', label=label)
        axis.plot(at, density(shuffled, at, top), '--', color=f'C{i % 10}', linewidth=0.8, label='_')
    axis.set_xlim(0, top)
    axis.set_ylim(0, 1.5 * highest)  # leaves room for the legend
    axis.set_xlabel(f'entropy of the classes in a group, nats (log {num_classes} = {top:.2f})')
    axis.set_ylabel('density of groups')
    axis.legend(frameon=False, title='solid: the groups; dashed: the same with shuffled labels', fontsize='small')
    return figure


def draw_contact_sheet(rows: Sequence[tuple[str, Tensor]], columns: int, title: str = '') -> Figure:
    """Draw images of groups, with one row per group.

    Args:
        rows: Text and images of each group, RGB in [0, 1], (n, 3, H, W) with n ≤ ``columns``.
        columns: Number of images per row.
        title: Title of the figure.
    """
    figure = Figure(figsize=(0.8 * columns + 2.6, 0.85 * len(rows) + 0.5), layout='constrained', dpi=120)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (text, images) in zip(axes, rows):
        for column, axis in enumerate(line):
            axis.set_axis_off()
            if column < len(images):
                axis.imshow(images[column].permute(1, 2, 0).numpy(), interpolation='nearest')
        line[0].text(-0.15, 0.5, text, transform=line[0].transAxes, ha='right', va='center', fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure
