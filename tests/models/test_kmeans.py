"""Spherical K-means against naive loops and scikit-learn; on 2 and 4 gloo ranks against one process."""

import pytest
import torch
import torch.nn.functional as F
from helpers import references as naive
from helpers.ranks import on_ranks
from sklearn.cluster import KMeans
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.models import kmeans
from lewel_plugins.models.kmeans import draw_rows, spherical_kmeans

pytestmark = pytest.mark.core


def blobs(count: int, d: int, centers: int, noise: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit vectors around random centers."""
    g = torch.Generator().manual_seed(0)
    center = F.normalize(torch.randn(centers, d, generator=g, dtype=torch.float64), dim=1)
    x = center[torch.randint(0, centers, (count,), generator=g)]
    return F.normalize(x + noise * torch.randn(count, d, generator=g, dtype=torch.float64), dim=1).to(dtype)


def start_of(x: Tensor, count: int, seed: int = 0) -> Tensor:
    return draw_rows(x, torch.arange(len(x)), count, seed)


def naive_kmeans(x: Tensor, centroids: Tensor, iterations: int) -> Tensor:
    """Run Lloyd's algorithm with one loop for every index; no cluster may become empty."""
    for _ in range(iterations):
        assignment = naive.assign_groups(x, centroids)
        moved = []
        for k in range(len(centroids)):
            total = sum((row / naive.norm(row) for row, a in zip(x, assignment) if a == k), x.new_zeros(x.shape[1]))
            moved.append(total / naive.norm(total))
        centroids = torch.stack(moved)
    return centroids


def test_equals_the_naive_loops():
    x = blobs(30, 4, 3, 0.4)
    start = start_of(x, 3)
    for iterations in (0, 1, 3):
        actual = spherical_kmeans(2 * x, 3 * start, iterations, tolerance=0)  # the lengths must not matter
        expected = naive_kmeans(x, start, iterations)
        torch.testing.assert_close(actual.centroids, expected, rtol=0, atol=1e-10)
        nearest = naive.assign_groups(x, expected)
        assert actual.sizes.tolist() == nearest.bincount(minlength=3).tolist()
        distance = sum(float(2 - 2 * naive.cosine(row, expected[k])) for row, k in zip(x, nearest)) / 30
        assert actual.inertia == pytest.approx(distance)


def inertias(x: Tensor, assignment: Tensor, clusters: int) -> Tensor:
    """Return the mean squared distance to the unit centroids, and to the means as scikit-learn does."""
    sums = torch.zeros(clusters, x.shape[1]).index_add(0, assignment, x)
    means = sums / assignment.bincount(minlength=clusters).clamp_min(1)[:, None]
    return torch.stack(
        [(x - center[assignment]).square().sum(1).mean() for center in (F.normalize(sums, dim=1), means)]
    )


def ours_over_scikit_learns(x: Tensor, clusters: int, seed: int) -> Tensor:
    start = start_of(x, clusters, seed)
    actual = spherical_kmeans(x, start)
    assert actual.iterations > 2 and (actual.sizes > 0).all()
    theirs = KMeans(clusters, init=start.numpy(), n_init=1).fit(x.numpy())
    reference = inertias(x, torch.from_numpy(theirs.labels_).long(), clusters)
    assert reference[1].item() == pytest.approx(theirs.inertia_ / len(x), rel=1e-3)
    return inertias(x, (x @ actual.centroids.T).argmax(1), clusters) / reference


@pytest.mark.parametrize('noise', [0.3, 1.0])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_inertia_is_scikit_learns_within_a_percent(noise, seed):
    ratios = ours_over_scikit_learns(blobs(4000, 16, 40, noise, torch.float32), 50, seed)
    assert ratios.max() <= 1.01


def test_inertia_on_tight_blobs_is_scikit_learns_on_average():
    """The start decides which tight blobs share a centroid; results differ, but neither algorithm has an advantage."""
    x = blobs(2000, 16, 40, 0.1, torch.float32)
    ratios = torch.stack([ours_over_scikit_learns(x, 50, seed) for seed in range(20)])
    assert ratios.mean(0).max() <= 1.01


def test_inertia_never_rises():
    x = blobs(500, 8, 20, 0.3)
    start = start_of(x, 12)
    actual = [spherical_kmeans(x, start, iterations, tolerance=0) for iterations in range(8)]
    inertias = [each.inertia for each in actual]
    assert all(a >= b - 1e-12 for a, b in zip(inertias, inertias[1:]))
    assert inertias[-1] < 0.8 * inertias[0]


def test_chunks_change_nothing_but_rounding(monkeypatch):
    x = blobs(200, 8, 20, 0.3)
    whole = spherical_kmeans(x, start_of(x, 12))
    monkeypatch.setattr(kmeans, '_SIMILARITIES', 12 * 7)
    parts = spherical_kmeans(x, start_of(x, 12))
    torch.testing.assert_close(parts.centroids, whole.centroids, rtol=0, atol=1e-12)
    assert torch.equal(parts.sizes, whole.sizes) and parts.iterations == whole.iterations


def test_deterministic_for_a_seed():
    x = blobs(400, 8, 5, 0.3, torch.float32)
    first, again = (spherical_kmeans(x, start_of(x, 40), seed=3) for _ in range(2))
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(start_of(x, 40, seed=1), start_of(x, 40, seed=2))


@pytest.mark.parametrize('noise', [1e-3, 0.3])
def test_empty_clusters_take_from_the_largest(noise):
    """All clusters start at one point, so that all but one are empty."""
    x = blobs(2000, 16, 1, noise, torch.float32)
    actual = spherical_kmeans(x, x[:1].repeat(100, 1))
    assert actual.sizes.min() > 0 and actual.sizes.max() < 200
    reference = spherical_kmeans(x, start_of(x, 100))
    assert actual.inertia < 1.15 * reference.inertia


def test_equal_rows_end_in_one_cluster():
    actual = spherical_kmeans(torch.ones(50, 8), torch.ones(10, 8))
    assert actual.centroids.isfinite().all() and actual.sizes.sum() == 50
    torch.testing.assert_close(actual.centroids.norm(dim=1), torch.ones(10))


def test_bfloat16_rows_give_float32_centroids():
    x = blobs(500, 8, 10, 0.2, torch.float32)
    low = x.bfloat16()
    actual = spherical_kmeans(low, start_of(low, 10))
    assert actual.centroids.dtype == torch.float32
    assert actual.inertia == pytest.approx(spherical_kmeans(low.float(), start_of(x, 10)).inertia, rel=0.05)


def test_reports_progress(monkeypatch):
    monkeypatch.setattr(kmeans, '_PROGRESS_SECONDS', -1)
    lines: list[str] = []
    x = blobs(100, 4, 5, 0.3)
    actual = spherical_kmeans(x, start_of(x, 5), report=lines.append)
    assert len(lines) == actual.iterations
    assert 'move 1 of at most 20' in lines[0] and 'inertia' in lines[0]


def test_errors_name_the_numbers():
    x = blobs(10, 4, 2, 0.3)
    with pytest.raises(ValueError, match='11 clusters .* got 10'):
        start_of(x, 11)
    with pytest.raises(ValueError, match=r'\(10, 4\).*\(3, 5\)'):
        spherical_kmeans(x, torch.ones(3, 5))


def cluster_rank(rank: int, world_size: int) -> dict:
    """Cluster rows that are distributed unevenly and out of order."""
    x = blobs(101, 6, 9, 0.3)
    own = torch.arange(101).flip(0).tensor_split({1: [], 2: [20], 4: [10, 40, 95]}[world_size])[rank]
    start = draw_rows(x[own], own, 12, seed=5)
    actual = spherical_kmeans(x[own], start, seed=2)
    crowded = spherical_kmeans(x[own], x[:1].repeat(12, 1), seed=2)
    return dict(start=start, actual=actual._asdict(), crowded=crowded._asdict(), rows=len(own), gathered=gathered(rank))


def gathered(rank: int) -> dict[str, list[Tensor]]:
    kinds = (torch.float32, torch.bfloat16, torch.long)
    return {str(kind): dist.gather(torch.full((2, 3), rank + 1, dtype=kind).T) for kind in kinds} | dict(
        empty=dist.gather(torch.empty(0, 4))
    )


@pytest.mark.parametrize('world_size', [2, 4])
def test_ranks_find_the_clusters_of_one_process(world_size, tmp_path):
    (alone,) = on_ranks(1, tmp_path, cluster_rank, 1)
    results = on_ranks(world_size, tmp_path, cluster_rank, world_size)
    assert sum(result['rows'] for result in results) == alone['rows'] == 101
    for result in results:
        assert torch.equal(result['start'], alone['start'])
        for kind in ('actual', 'crowded'):
            ours, expected = result[kind], alone[kind]
            torch.testing.assert_close(ours['centroids'], expected['centroids'], rtol=0, atol=1e-10)
            assert torch.equal(ours['centroids'], results[0][kind]['centroids'])
            assert torch.equal(ours['sizes'], expected['sizes'])
            assert ours['inertia'] == pytest.approx(expected['inertia'])
    for kind, parts in results[0]['gathered'].items():
        assert len(parts) == world_size
        if kind != 'empty':
            assert all(part.shape == (3, 2) and str(part.dtype) == kind for part in parts)
            assert [part.unique().tolist() for part in parts] == [[rank + 1] for rank in range(world_size)]
    assert all(not parts for result in results[1:] for parts in result['gathered'].values())
