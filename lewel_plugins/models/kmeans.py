"""Spherical K-means on rows that are spread over ranks, in bounded memory, and reproducible from a seed."""

import heapq
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.functional import group_sums

_SIMILARITIES = 1 << 25  # number in memory at once: 128 MiB of float32
_PROGRESS_SECONDS = 10


class Clustering(NamedTuple):
    """Result of K-means, the same on every rank.

    Args:
        centroids: Unit rows, (l, d).
        sizes: Number of rows of all ranks in each cluster, (l,) int64; 0 only if rows are too alike to be split.
        inertia: Mean squared distance 2 − 2 cos of a row to its centroid, in [0, 4].
        iterations: Number of moves of the centroids.
    """

    centroids: Tensor
    sizes: Tensor
    inertia: float
    iterations: int


def draw_rows(x: Tensor, positions: Tensor, count: int, seed: int) -> Tensor:
    """Draw distinct rows of all ranks at random, the same on every rank and for any distribution over ranks.

    Args:
        x: This rank's rows, (n, d).
        positions: Their positions among the T rows of all ranks, (n,) int64; together, those of all ranks are
            a permutation of 0 … T − 1.
        count: Number of rows.
        seed: Seed of the draw.

    Returns:
        Rows, (count, d), float32 or wider.

    Raises:
        ValueError: There are fewer rows.
    """
    total = int(dist.all_reduce_sum(torch.tensor([len(x)], device=x.device)))
    if count > total:
        raise ValueError(f'{count} clusters need at least as many features, got {total}')
    chosen = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]
    place = torch.full((total,), -1)
    place[chosen] = torch.arange(count)
    place = place.to(x.device)[positions]
    own = place >= 0
    wide = torch.promote_types(x.dtype, torch.float32)  # gloo cannot sum bfloat16
    rows = x.new_zeros(count, x.shape[1], dtype=wide).index_copy(0, place[own], x[own].to(wide))
    return dist.all_reduce_sum(rows)


@torch.no_grad()
def spherical_kmeans(
    x: Tensor,
    centroids: Tensor,
    iterations: int = 20,
    tolerance: float = 1e-4,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
) -> Clustering:
    """Lloyd's K-means on the unit sphere. Dhillon and Modha 2001, Sec. 3.

    A row belongs to the centroid with the highest cosine; a centroid is the normalized mean of its rows. Every rank
    keeps its rows, and only sums per centroid travel. An empty cluster gets half of the largest one: both start from
    the centroid of the latter, moved apart.

    Args:
        x: This rank's rows, (n, d), of any length and floating dtype; normalized here. n may differ between ranks.
        centroids: Initial centroids, (l, d), float32 or wider, the same on every rank.
        iterations: Maximum number of moves of the centroids.
        tolerance: Stop when a move lowers the inertia by a smaller share.
        seed: Seed of the directions in which clusters are split.
        report: Called with a line of progress at most every 10 seconds.

    Returns:
        The clustering; sizes and inertia are those of the centroids returned.
    """
    if x.shape[1] != centroids.shape[1]:
        raise ValueError(
            f'x (n, d) and centroids (l, d) must agree in d, got {tuple(x.shape)} and {tuple(centroids.shape)}'
        )
    centroids = F.normalize(centroids, dim=1)
    generator = torch.Generator().manual_seed(seed)
    previous: float | None = None
    reported = time.monotonic()
    for done in range(iterations + 1):
        sums, sizes, inertia = _assign(x, centroids)
        empty = int((sizes == 0).sum())
        settled = not empty and previous is not None and previous - inertia <= tolerance * previous
        if done == iterations or settled:
            break
        centroids = torch.where(sizes[:, None] > 0, F.normalize(sums, dim=1), centroids)
        if empty:
            _split_largest(centroids, sizes, max(inertia, 0.0) ** 0.5 / 2, generator)
        previous = inertia
        if report and time.monotonic() - reported > _PROGRESS_SECONDS:
            reported = time.monotonic()
            report(f'K-means: move {done + 1} of at most {iterations}, inertia {inertia:.4f}, {empty} empty clusters')
    return Clustering(centroids, sizes, inertia, done)


def _assign(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return the sums (l, d) and sizes (l,) of the clusters, and the mean squared distance, over all ranks."""
    l, d = centroids.shape  # noqa: E741
    sums, sizes = centroids.new_zeros(l, d), torch.zeros(l, dtype=torch.long, device=x.device)
    distance = 0.0
    for rows in x.split(max(1, _SIMILARITIES // l)):
        unit = F.normalize(rows.to(centroids.dtype), dim=1)
        cosine, nearest = (unit @ centroids.T).max(1)
        chunk_sums, counts = group_sums(unit, nearest, l)
        sums += chunk_sums
        sizes += counts.long()
        distance += float((2 - 2 * cosine).sum())
    sums, sizes = dist.all_reduce_sum(sums), dist.all_reduce_sum(sizes)
    total = dist.all_reduce_sum(centroids.new_tensor(distance))
    return sums, sizes, float(total) / max(1, int(sizes.sum()))


def _split_largest(centroids: Tensor, sizes: Tensor, apart: float, generator: torch.Generator) -> None:
    """Give every empty cluster half of the cluster that is then the largest, in place.

    The centroids of both halves are at the distance ``apart`` from the old one, before they are normalized.
    """
    counts = sizes.tolist()
    heap = [(-count, k) for k, count in enumerate(counts) if count]
    heapq.heapify(heap)
    pairs = []
    for k in (k for k, count in enumerate(counts) if not count):
        count, parent = heapq.heappop(heap)
        pairs.append((k, parent))
        heapq.heappush(heap, (count - count // 2, parent))
        heapq.heappush(heap, (count // 2, k))
    moved = centroids.cpu()
    for child, parent in pairs:
        step = F.normalize(torch.randn(moved.shape[1], generator=generator).to(moved), dim=0) * apart
        moved[child], moved[parent] = moved[parent] + step, moved[parent] - step
    centroids.copy_(F.normalize(moved, dim=1))
