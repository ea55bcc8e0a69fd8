import pytest
import torch

from lewel_plugins.functional import covariance_spectrum
from lewel_plugins.visualization.embedding_map import draw_embedding_map, map_embeddings, pca, tsne

pytestmark = pytest.mark.core


def clusters(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy copies of three directions in 8 dimensions, and which direction each is."""
    labels = torch.arange(count) % 3
    noise = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    return torch.eye(8)[labels] + 0.05 * noise, labels


def nearest_is_of_the_same_class(points: torch.Tensor, labels: torch.Tensor) -> bool:
    distances = torch.cdist(points.double(), points.double()).fill_diagonal_(torch.inf)
    return bool((labels[distances.argmin(1)] == labels).all())


def test_pca_is_the_projection_on_the_covariances_eigenvectors():
    x, labels = clusters()
    points, shares = pca(x)
    unit = torch.nn.functional.normalize(x.double(), dim=1)
    values, vectors = torch.linalg.eigh(unit.T.cov())
    expected = (unit - unit.mean(0)) @ vectors[:, [-1, -2]]
    torch.testing.assert_close(points.abs(), expected.abs())
    torch.testing.assert_close(shares, values[[-1, -2]] / values.sum())
    assert shares.sum() > 0.9 and nearest_is_of_the_same_class(points, labels)
    assert torch.equal(pca(x)[0], points)
    with pytest.raises(ValueError, match=r'got \(1, 8\)'):
        pca(x[:1])


def test_tsne_keeps_classes_together():
    pytest.importorskip('sklearn')
    x, labels = clusters()
    points = tsne(x)
    assert points.shape == (30, 2) and nearest_is_of_the_same_class(points, labels)
    assert torch.equal(tsne(x), points)


def test_a_collapse_to_one_point_is_drawn():
    figure, numbers = map_embeddings(torch.ones(6, 8), torch.arange(6) % 3, ['a', 'b', 'c'])
    figure.canvas.draw()
    assert numbers['spectrum'] == [0.0] * 8 and numbers['uniformity'] == pytest.approx(0)


def test_figure_holds_every_image_in_the_color_of_its_class():
    x, labels = clusters()
    points, _ = pca(x)
    labels[0] = -1
    figure = draw_embedding_map({'PCA': points}, labels, ['a', 'b', 'c'], covariance_spectrum(x))
    scatter, spectrum = figure.axes
    (markers,) = scatter.collections
    colors: dict[int, set] = {}
    for place, color in zip(markers.get_offsets(), markers.get_facecolors()):
        image = (points - torch.from_numpy(place.data)).abs().sum(1).argmin()
        colors.setdefault(int(labels[image]), set()).add(tuple(color))
    assert len(markers.get_offsets()) == 30
    assert [len(colors[label]) for label in (-1, 0, 1, 2)] == [1, 1, 1, 1]
    assert len(set.union(*colors.values())) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['a', 'b', 'c']
    assert len(spectrum.lines[0].get_ydata()) == 8 and spectrum.get_yscale() == 'log'
