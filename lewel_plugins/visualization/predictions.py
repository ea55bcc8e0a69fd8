"""Predictions of a detector or a segmenter beside the ground truth, as a figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def draw_predictions(samples: Sequence[dict[str, Any]], classes: Sequence[str]) -> Figure:
    """Draw images in columns, with the truth above and the prediction below.

    Args:
        samples: One dict per image, with ``image``, (H, W, 3) uint8 RGB, ``truth`` and ``prediction``. The last two are
            a map of classes (H, W), or a dict with ``boxes`` (n, 4) as x1, y1, x2, y2 in pixels, ``labels`` (n,), and
            optionally ``scores`` (n,) and ``masks`` (n, H, W).
        classes: Names of the classes, in the order of the labels.

    Raises:
        ValueError: If there are no samples.
    """
    if not samples:
        raise ValueError('draw_predictions needs at least one sample')
    colors = colormaps['tab20'](np.arange(len(classes)) % 20)[:, :3]
    figure = Figure(figsize=(2.2 * len(samples), 4.9), layout='constrained', dpi=110)
    axes = figure.subplots(2, len(samples), squeeze=False)
    for line, name in zip(axes, ('truth', 'prediction')):
        for axis, sample in zip(line, samples):
            _draw_sample(axis, sample['image'], sample[name], classes, colors)
        line[0].set_ylabel(name)
    if not isinstance(samples[0]['truth'], dict):
        handles = [Rectangle((0, 0), 1, 1, color=color, label=name) for name, color in zip(classes, colors)]
        figure.legend(handles=handles, loc='outside lower center', ncols=6, frameon=False, fontsize='small')
    return figure


def _draw_sample(
    axis: Axes, image: np.ndarray, objects: np.ndarray | dict[str, Any], classes: Sequence[str], colors: np.ndarray
) -> None:
    if isinstance(objects, dict):
        axis.imshow(image, interpolation='nearest')
        _draw_instances(axis, objects, classes, colors)
    else:  # the image is gray, so that the colors are those of the classes
        axis.imshow(image.mean(-1), cmap='gray', vmin=0, vmax=255, interpolation='nearest')
        _draw_map(axis, objects, colors)
    axis.set(xticks=[], yticks=[])


def _draw_map(axis: Axes, labels: np.ndarray, colors: np.ndarray) -> None:
    known = labels < len(colors)  # 255 means unlabeled
    overlay = np.zeros((*labels.shape, 4))
    overlay[known, :3] = colors[labels[known]]
    overlay[..., 3] = 0.65 * (known & (labels > 0))
    axis.imshow(overlay, interpolation='nearest')


def _draw_instances(axis: Axes, instances: dict[str, Any], classes: Sequence[str], colors: np.ndarray) -> None:
    for i, ((x1, y1, x2, y2), label) in enumerate(zip(instances['boxes'], instances['labels'])):
        color = colors[label]
        if 'masks' in instances:
            overlay = np.zeros((*instances['masks'][i].shape, 4))
            overlay[instances['masks'][i].astype(bool)] = (*color, 0.5)
            axis.imshow(overlay, interpolation='nearest')
        axis.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, color=color, linewidth=1.5))
        score = f' {instances["scores"][i]:.2f}' if 'scores' in instances else ''
        box = dict(facecolor=color, edgecolor='none', pad=1)
        axis.text(x1, y1, f'{classes[label]}{score}', fontsize=6, color='white', bbox=box, va='bottom', clip_on=True)
