"""LEWEL's alignment maps: which to show, how to draw them, and how much of them falls on an object."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor


def mass_on_object(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of each map's mass that falls on the object.

    The mask is averaged down to the maps' grid, so a cell counts by the share of it that the object covers: a
    uniform map gives the object's share of the area (exactly where H divides H0 and W divides W0).

    Args:
        maps: Alignment maps, (N, d, H, W), non-negative; need not sum to one.
        masks: Object masks, (N, H0, W0) in [0, 1] or bool, H0 ≥ H and W0 ≥ W.

    Returns:
        Shares, (N, d) in [0, 1].

    Raises:
        ValueError: The shapes do not go together.
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
    """The best map's share, on images that had no say in which map is best.

    The images are split in two random halves. The map with the highest mean on one half is read on the other,
    and the other way round.

    Args:
        shares: (N, d) from :func:`mass_on_object`, N ≥ 2.
        seed: Seed of the split.

    Returns:
        The share of the chosen map for every image, (N,); and the two chosen maps, (2,) int64.
    """
    if len(shares) < 2:
        raise ValueError(f'the best map is chosen on one half of the images and read on the other, got {len(shares)}')
    halves = torch.randperm(len(shares), generator=torch.Generator().manual_seed(seed)).tensor_split(2)
    read, chosen = shares.new_empty(len(shares)), []
    for choose_on, read_on in (halves, halves[::-1]):
        best = shares[choose_on].mean(0).argmax()
        read[read_on] = shares[read_on, best]
        chosen.append(best)
    return read, torch.stack(chosen)


def pick_maps(maps: Tensor, count: int, max_correlation: float = 0.8) -> list[int]:
    """Maps worth looking at: the most peaked over the images, leaving out those that look like one already picked.

    Args:
        maps: Alignment maps of the images shown, (N, d, H, W).
        count: How many; at most d.
        max_correlation: Over positions and images, above which two maps look alike. If too few differ, the
            alike fill up.

    Returns:
        Their indices, most peaked first.
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
    """Draw maps over images: a row an image, a column a map.

    Brightness is the weight over that of a uniform map, H·W·W_k. Every column has its own scale, whose ends stand
    above it: 1.00 everywhere is a uniform map.

    Args:
        images: RGB in [0, 1], (N, 3, H0, W0).
        maps: Alignment maps, (N, d, H, W).
        indices: Which maps, in the order of the columns.
        masks: Object masks, (N, H0, W0); drawn as outlines.
        title: Title of the figure.
    """
    size = images.shape[2:]
    weight = maps[:, list(indices)] * maps[0, 0].numel()
    heat = F.interpolate(weight, size=size, mode='bilinear', align_corners=False)
    rows, columns = len(images), 1 + len(indices)
    height = 1.45 * rows * size[0] / size[1] + 1.1
    figure = Figure(figsize=(1.45 * columns + 0.2, height), layout='constrained', dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False)
    for column, index in enumerate(['image', *indices]):
        if column:
            low, high = heat[:, column - 1].amin().item(), heat[:, column - 1].amax().item()
        for row, axis in enumerate(axes[:, column]):
            axis.set_xticks([])
            axis.set_yticks([])
            image = images[row].permute(1, 2, 0).numpy()
            if column == 0:
                axis.imshow(image, interpolation='nearest')
            else:
                axis.imshow(image.mean(2), cmap='gray', vmin=0, vmax=1, interpolation='nearest')
                # At least 1 % of contrast, so that a uniform map is not blown up to noise.
                spread = dict(vmin=low, vmax=max(high, low + 0.01))
                axis.imshow(heat[row, column - 1].numpy(), cmap='inferno', alpha=0.6, **spread)
            if masks is not None:
                axis.contour(masks[row].float().numpy(), [0.5], colors='cyan', linewidths=0.8)
        axes[0, column].set_title(f'map {index}\n{low:.2f} to {high:.2f}' if column else 'image', fontsize=10)
    figure.suptitle(f'{title}\nbrightness: weight over uniform'.strip(), fontsize=11)
    return figure
