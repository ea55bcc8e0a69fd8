"""MPCL's projectors over training: accuracies, weights, and the cosines and CKA between their embeddings."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from .curves import Curve

_COLUMNS = 6
# Name among the scalars, and title of the curves.
_BETWEEN = (('cosine', 'Mean cosine between two projectors'), ('cka', 'CKA between two projectors'))


def draw_projectors(curves: dict[str, Curve]) -> Figure:
    """Draw curves of every projector, and the M × M mean cosines and CKA at up to six times from first to last.

    A run that logged no CKA has a figure without it.

    Args:
        curves: Result of :func:`~lewel_plugins.visualization.curves.read_curves` for a run with ``MPCLReweightHook``.

    Raises:
        ValueError: If the curves contain no projectors.
    """
    num = sum(name.startswith('projector/accuracy_') for name in curves)
    if not num:
        raise ValueError('no projector/accuracy_1 among the scalars: did the run have an MPCLReweightHook?')
    between = [(name, title) for name, title in _BETWEEN if f'projector/{name}_1_2' in curves]
    height = 3.4 + 2.6 * len(between)
    figure = Figure(figsize=(13 if len(between) < 2 else 16, height), layout='constrained', dpi=120)
    parts = figure.subfigures(1 + len(between), 1, squeeze=False, height_ratios=[3.4] + [2.6] * len(between))[:, 0]
    axes = parts[0].subplots(1, 2 + len(between))
    _draw_curves(axes[0], 'Contrastive accuracy of an epoch', curves, [f'accuracy_{m + 1}' for m in range(num)])
    _draw_curves(axes[1], 'Weight for the next epoch', curves, [f'weight_{m + 1}' for m in range(num)])
    pairs = [f'{m + 1}_{other + 1}' for m in range(num) for other in range(m + 1, num)]
    for axis, part, (name, title) in zip(axes[2:], parts[1:], between):
        _draw_curves(axis, title, curves, [f'{name}_{pair}' for pair in pairs])
        steps = curves[f'projector/{name}_1_2'][0]
        shown = [steps[i] for i in dict.fromkeys(np.linspace(0, len(steps) - 1, _COLUMNS).round().astype(int))]
        _draw_matrices(part, name, [(step, pair_matrix(curves, name, num, step)) for step in shown])
    return figure


def pair_matrix(curves: dict[str, Curve], name: str, num: int, step: int) -> np.ndarray:
    """Return the values between ``num`` projectors at an iteration, (M, M), with ones on the diagonal.

    Args:
        curves: Result of :func:`~lewel_plugins.visualization.curves.read_curves`.
        name: ``cosine`` or ``cka``.
        num: Number of projectors M.
        step: The iteration.
    """
    matrix = np.eye(num)
    for scalar, (steps, values) in curves.items():
        match = re.fullmatch(rf'projector/{name}_(\d+)_(\d+)', scalar)
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


def _draw_matrices(figure: SubFigure, name: str, matrices: list[tuple[int, np.ndarray]]) -> None:
    axes = figure.subplots(1, _COLUMNS)
    off_diagonal = np.concatenate([m[~np.eye(len(m), dtype=bool)] for _, m in matrices])
    # Cosines are near 0, and CKA spans the whole range from independent to equal embeddings.
    limit = 1.0 if name == 'cka' else max(float(np.abs(off_diagonal).max()), 1e-3)
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
    figure.colorbar(image, ax=axes[: len(matrices)], shrink=0.8, label='CKA' if name == 'cka' else 'mean cosine')
