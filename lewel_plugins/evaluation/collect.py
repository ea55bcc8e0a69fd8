"""Values of all images of a loader, batch by batch."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from .feature_loop import labels_and_indices


class ImageValues(NamedTuple):
    """Values of the images of a loader.

    Attributes:
        values: One row per image, (N, …).
        labels: Class of each image, (N,) int64, −1 where there is none.
        indices: Index of each image in the dataset, (N,) int64, −1 where it is unknown.
    """

    values: Tensor
    labels: Tensor
    indices: Tensor


@torch.no_grad()
def collect(loader: DataLoader, function: Callable[[dict], Tensor], title: str) -> ImageValues:
    """Apply a function to every batch of a loader, and gather the rows that it returns.

    Args:
        loader: Batches of images with data samples.
        function: Maps a batch of N images to (N, …).
        title: Text beside the progress bar.

    Returns:
        All rows, on the device of the function's results. Labels and indices are on the CPU.

    Raises:
        ValueError: If an image has several labels.
    """
    rows, labels, indices = [], list[int](), list[int]()
    for batch in track(loader, title, total=len(loader)):
        batch_labels, batch_indices = labels_and_indices(batch['data_samples'])
        rows.append(function(batch))
        labels += batch_labels
        indices += batch_indices
    return ImageValues(torch.cat(rows), torch.tensor(labels), torch.tensor(indices))
