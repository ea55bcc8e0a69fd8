"""Confusion matrix of a classifier, as numbers and as a figure."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

_MAX_NAMED = 40


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Count the images of each class (rows) by predicted class (columns), (C, C) int64.

    Args:
        labels: True classes, (N,) int64.
        predictions: Predicted classes, (N,) int64.
        num_classes: Number of classes C.
    """
    return (labels * num_classes + predictions).bincount(minlength=num_classes**2).view(num_classes, num_classes)


def draw_confusion_matrix(counts: Tensor, classes: Sequence[str], title: str = '') -> Figure:
    """Draw the share of each class by predicted class, with numbers and names for up to 40 classes.

    Args:
        counts: Result of :func:`confusion_matrix`, (C, C).
        classes: Names of the classes, C of them.
        title: Title of the figure.
    """
    percent = 100 * counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
    size = max(5.0, min(16.0, 1.5 + 0.55 * len(classes)))
    figure = Figure(figsize=(size + 0.8, size), layout='constrained', dpi=120)
    axis = figure.subplots()
    image = axis.imshow(percent.numpy(), cmap='Blues', vmin=0, vmax=100)
    figure.colorbar(image, ax=axis, label='share of the class, %', shrink=0.8)
    axis.set_xlabel('predicted')
    axis.set_ylabel('true')
    if len(classes) <= _MAX_NAMED:
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha='right', fontsize=9)
        axis.set_yticks(range(len(classes)), classes, fontsize=9)
        for row, column in torch.nonzero(percent >= 0.5).tolist():
            value = percent[row, column].item()
            color = 'white' if value > 55 else 'black'
            axis.text(column, row, f'{value:.0f}', ha='center', va='center', color=color, fontsize=8)
    axis.set_title(title, fontsize=11)
    return figure
