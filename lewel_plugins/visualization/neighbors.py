"""Images with their nearest neighbors, as a figure."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

_RIGHT, _WRONG = '#2a7f3f', '#c03028'


class Neighbors(NamedTuple):
    """An image and its nearest neighbors, nearest first.

    Attributes:
        image: RGB in [0, 1], (3, H, W).
        label: Class of the image.
        images: Neighbors, (k, 3, H, W).
        labels: Classes of the neighbors, k of them.
        similarity: Cosines of the neighbors with the image, k of them.
    """

    image: Tensor
    label: str
    images: Tensor
    labels: Sequence[str]
    similarity: Sequence[float]


def draw_neighbors(rows: Sequence[Neighbors], title: str = '') -> Figure:
    """Draw one row per image: the image, then its neighbors, framed green if they share its class and red if not."""
    columns = 1 + max(len(row.images) for row in rows)
    figure = Figure(figsize=(1.05 * columns, 1.25 * len(rows) + 0.5), layout='constrained', dpi=120)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows):
        _show(line[0], row.image, row.label, 'black')
        for axis in line[1:]:
            axis.set_axis_off()
        for axis, image, label, cosine in zip(line[1:], row.images, row.labels, row.similarity):
            axis.set_axis_on()
            _show(axis, image, f'{label} {cosine:.2f}', _RIGHT if label == row.label else _WRONG)
    figure.suptitle(title, fontsize=11)
    return figure


def _show(axis: Axes, image: Tensor, text: str, color: str) -> None:
    axis.imshow(image.permute(1, 2, 0).numpy(), interpolation='nearest')
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(text, fontsize=7, color=color, pad=2)
    for spine in axis.spines.values():
        spine.set(color=color, linewidth=2)
