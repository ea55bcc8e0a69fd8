"""LEWEL's alignment maps: which to show, how to draw them, and what share of their mass falls on an object."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor


def mass_on_object(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map's mass that falls on the object.

    The mask is averaged down to the grid of the maps, so that a cell counts by the share of it that the object covers.
    A uniform map therefore gives the object's share of the area (exactly if H divides H0 and W divides W0).

    Args:
        maps: Alignment maps, (N, d, H, W), non-negative. They need not sum to one.
        masks: Object masks, (N, H0, W0) in [0, 1] or bool, H0 ≥ H and W0 ≥ W.

    Returns:
        Shares, (N, d) in [0, 1].

    Raises:
        ValueError: If the shapes do not match.
    """
    if maps.ndim != 4 or masks.ndim != 3 or len(maps) != len(masks):
        raise ValueError(
            f'maps must be (N, d, H, W) and masks (N, H0, W0), got {tuple(maps.shape)} and {tuple(masks.shape)}'
        )
    if masks.shape[1] < maps.shape[2] or masks.shape[2] < maps.shape[3]:
        raise ValueError(f'masks {tuple(masks.shape[1:])} are coarser than the maps {tuple(maps.shape[2:])}')
    cells = F.adaptive_avg_pool2d(masks[:, None].to(maps.dtype), (maps.shape[2], maps.shape[3]))  # (N, 1, H, W)
    return (maps * cells).sum((2, 3)) / maps.sum((2, 3))


def held_out_best(shares: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the share of the best map, measured on images that did not select it.

    The images are split into two random halves. The map with the highest mean on one half is measured on the other,
    and vice versa.

    Args:
        shares: Result of :func:`mass_on_object`, (N, d) with N ≥ 2.
        seed: Seed of the split.

    Returns:
        The share of the selected map for every image, (N,), and the two selected maps, (2,) int64.

    Raises:
        ValueError: If there are fewer than two images.
    """
    if len(shares) < 2:
        raise ValueError(f'one half of the images selects a map and the other measures it, got {len(shares)} images')
    halves = torch.randperm(len(shares), generator=torch.Generator().manual_seed(seed)).tensor_split(2)
    measured, selected = shares.new_empty(len(shares)), []
    for half, other in (halves, halves[::-1]):
        best = shares[half].mean(0).argmax()
        measured[other] = shares[other, best]
        selected.append(best)
    return measured, torch.stack(selected)


def pick_maps(maps: Tensor, count: int, max_correlation: float = 0.8) -> list[int]:
    """Pick the maps that are most peaked over the images, leaving out those that look like one already picked.

    Args:
        maps: Alignment maps of the images shown, (N, d, H, W).
        count: Number of maps, at most d.
        max_correlation: Correlation over positions and images above which two maps look alike. If too few maps differ,
            those that look alike complete the list.

    Returns:
        Indices of the maps, the most peaked first.
    """
    flat = maps.flatten(2)
    flat = (flat - flat.mean(2, keepdim=True)).transpose(0, 1).flatten(1)  # (d, NL)
    order = flat.square().mean(1).argsort(descending=True).tolist()
    unit = F.normalize(flat, dim=1)
    picked: list[int] = []
    for candidate in order:
        if len(picked) < count and all(unit[candidate] @ unit[other] < max_correlation for other in picked):
            picked.append(candidate)
    return (picked + [i for i in order if i not in picked])[: min(count, len(order))]


def draw_alignment_maps(
    images: Tensor, maps: Tensor, indices: Sequence[int], masks: Tensor | None = None, title: str = ''
) -> Figure:
    """Draw maps over images, with one row per image and one column per map.

    The brightness is the weight relative to a uniform map, H·W·W_k. Every column has its own scale, whose limits are in
    the title of the column. A uniform map is 1.00 everywhere.

    Args:
        images: RGB in [0, 1], (N, 3, H0, W0).
        maps: Alignment maps, (N, d, H, W).
        indices: Which maps to draw, in the order of the columns.
        masks: Object masks, (N, H0, W0), drawn as outlines.
        title: Title of the figure.
    """
    size = images.shape[2:]
    weight = maps[:, list(indices)] * maps[0, 0].numel()
    heat = F.interpolate(weight, size=size, mode='bilinear', align_corners=False)
    rows, columns = len(images), 1 + len(indices)
    height = 1.45 * rows * size[0] / size[1] + 1.1
    figure = Figure(figsize=(1.45 * columns + 0.2, height), layout='constrained', dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, image in zip(axes[:, 0], images):
        axis.imshow(image.permute(1, 2, 0).numpy(), interpolation='nearest')
    axes[0, 0].set_title('image', fontsize=10)
    for column, index in enumerate(indices):
        low, high = _draw_heat(axes[:, 1 + column], images, heat[:, column])
        axes[0, 1 + column].set_title(f'map {index}\n{low:.2f} to {high:.2f}', fontsize=10)
    for line, mask in zip(axes, [None] * rows if masks is None else masks):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            if mask is not None:
                axis.contour(mask.float().numpy(), [0.5], colors='cyan', linewidths=0.8)
    figure.suptitle(f'{title}\nbrightness: weight over uniform'.strip(), fontsize=11)
    return figure


def _draw_heat(axes: Iterable[Axes], images: Tensor, heat: Tensor) -> tuple[float, float]:
    """Draw one map over gray images, and return the limits of its scale."""
    low, high = heat.amin().item(), heat.amax().item()
    # The scale spans at least 1 % of the weight, so that noise in a uniform map stays invisible.
    top = max(high, low + 0.01)
    for axis, image, values in zip(axes, images, heat):
        gray = image.permute(1, 2, 0).numpy().mean(2)
        axis.imshow(gray, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
        axis.imshow(values.numpy(), cmap='inferno', alpha=0.6, vmin=low, vmax=top)
    return low, high
