"""MPCL's projectors over training: accuracies, weights, and the cosines between their embeddings."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from .curves import Curve

_COLUMNS = 6


def draw_projectors(curves: dict[str, Curve]) -> Figure:
    """Draw curves of every projector, and the M × M mean cosines at up to six times from first to last.

    Args:
        curves: Result of :func:`~lewel_plugins.visualization.curves.read_curves` for a run with ``MPCLReweightHook``.

    Raises:
        ValueError: If the curves contain no projectors.
    """
    num = sum(name.startswith('projector/accuracy_') for name in curves)
    if not num:
        raise ValueError('no projector/accuracy_1 among the scalars: did the run have an MPCLReweightHook?')
    steps = curves['projector/accuracy_1'][0]
    shown = [steps[i] for i in dict.fromkeys(np.linspace(0, len(steps) - 1, _COLUMNS).round().astype(int))]
    figure = Figure(figsize=(13, 6.4 if num > 1 else 3.4), layout='constrained', dpi=120)
    parts = figure.subfigures(2 if num > 1 else 1, 1, squeeze=False, height_ratios=(3.4, 3) if num > 1 else None)
    axes = parts[0, 0].subplots(1, 3 if num > 1 else 2)
    _draw_curves(axes[0], 'Contrastive accuracy of an epoch', curves, [f'accuracy_{m + 1}' for m in range(num)])
    _draw_curves(axes[1], 'Weight for the next epoch', curves, [f'weight_{m + 1}' for m in range(num)])
    if num > 1:
        pairs = [f'cosine_{m + 1}_{other + 1}' for m in range(num) for other in range(m + 1, num)]
        _draw_curves(axes[2], 'Mean cosine between two projectors', curves, pairs)
        _draw_matrices(parts[1, 0], [(step, cosine_matrix(curves, num, step)) for step in shown])
    return figure


def cosine_matrix(curves: dict[str, Curve], num: int, step: int) -> np.ndarray:
    """Return the mean cosines between ``num`` projectors at an iteration, (M, M), with ones on the diagonal."""
    matrix = np.eye(num)
    for name, (steps, values) in curves.items():
        match = re.fullmatch(r'projector/cosine_(\d+)_(\d+)', name)
        if match:
            m, other = int(match[1]) - 1, int(match[2]) - 1
            matrix[m, other] = matrix[other, m] = values[steps.index(step)]
    return matrix


def _draw_curves(axis: Axes, title: str, curves: dict[str, Curve], names: list[str]) -> None:
    for name in names:
        steps, values = curves[f'projector/{name}']
        # The line of a single point, as after one epoch, is invisible without markers.
        marker = 'o' if len(steps) < 15 else ''
        label = name.partition('_')[2].replace('_', ', ')
        axis.plot(steps, values, marker=marker, markersize=3, linewidth=1.3, label=label)
    axis.set_title(title, fontsize=11)
    axis.set_xlabel('iteration', fontsize=9)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(alpha=0.3)
    if len(names) <= 8:
        axis.legend(fontsize=8, framealpha=0.7, ncols=2 if len(names) > 4 else 1)


def _draw_matrices(figure: SubFigure, matrices: list[tuple[int, np.ndarray]]) -> None:
    axes = figure.subplots(1, _COLUMNS)
    off_diagonal = np.concatenate([m[~np.eye(len(m), dtype=bool)] for _, m in matrices])
    limit = max(float(np.abs(off_diagonal).max()), 1e-3)
    for axis, (step, matrix) in zip(axes, matrices):
        num = len(matrix)
        # The diagonal is 1 by definition and would dominate the colors.
        image = axis.imshow(np.where(np.eye(num), np.nan, matrix), cmap='RdBu_r', vmin=-limit, vmax=limit)
        axis.set_title(f'iteration {step}', fontsize=9)
        axis.set_xticks(range(num), range(1, num + 1), fontsize=8)
        axis.set_yticks(range(num), range(1, num + 1), fontsize=8)
        for m in range(num):
            for other in range(num):
                if m != other and num <= 4:
                    dark = abs(matrix[m, other]) > 0.6 * limit
                    axis.text(
                        other, m, f'{matrix[m, other]:.2f}', ha='center', va='center', fontsize=7,
                        color='white' if dark else 'black',
                    )  # fmt: skip
    for axis in axes[len(matrices) :]:
        axis.remove()
    figure.colorbar(image, ax=axes[: len(matrices)], shrink=0.8, label='mean cosine')
