"""Two-dimensional maps of embeddings, colored by class."""

from collections.abc import Sequence

import matplotlib
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lewel_plugins import functional as LF

_MAX_LEGEND = 20


def pca(x: Tensor, dimensions: int = 2) -> tuple[Tensor, Tensor]:
    """Return the principal components of unit features.

    Args:
        x: Features, (N, d), N ≥ 2 and d at least ``dimensions``.
        dimensions: Number of components.

    Returns:
        Coordinates, (N, dimensions), and each component's share of the variance, (dimensions,). The sign of a
        component is such that its largest loading is positive.

    Raises:
        ValueError: If there are too few features or dimensions.
    """
    if len(x) < 2 or x.shape[1] < dimensions:
        raise ValueError(f'x must be (N, d) with N of at least 2 and d of at least {dimensions}, got {tuple(x.shape)}')
    x = F.normalize(x.double(), dim=1)
    x = x - x.mean(0)
    _, sigma, directions = torch.linalg.svd(x, full_matrices=False)
    if len(sigma) < dimensions:
        raise ValueError(f'{dimensions} components need at least {dimensions} features, got {len(x)}')
    directions = directions[:dimensions]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    shares = sigma.square() / sigma.square().sum().clamp_min(torch.finfo(sigma.dtype).tiny)
    return x @ (directions * largest.sign()).T, shares[:dimensions]


def tsne(x: Tensor, seed: int = 0) -> Tensor:
    """Return t-SNE of unit features by scikit-learn with its defaults, initialized by the principal components.

    Args:
        x: Features, (N, d), N ≥ 4.
        seed: Seed of scikit-learn's generator.

    Returns:
        Coordinates, (N, 2).

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed.
    """
    from sklearn.manifold import TSNE

    unit = F.normalize(x.float(), dim=1).numpy()
    perplexity = min(30.0, (len(unit) - 1) / 3)
    return torch.from_numpy(TSNE(init='pca', perplexity=perplexity, random_state=seed).fit_transform(unit))


def map_embeddings(
    x: Tensor, labels: Tensor, classes: Sequence[str], title: str = '', with_tsne: bool = False
) -> tuple[Figure, dict]:
    """Draw PCA of embeddings, t-SNE if requested, and the spectrum of their covariance.

    Args:
        x: Embeddings, (N, d).
        labels: Class of each embedding, (N,), −1 where there is none.
        classes: Names of the classes, replaced by numbers if there are too few.
        title: Title of the figure.
        with_tsne: Whether to draw t-SNE beside PCA, which requires scikit-learn.

    Returns:
        The figure and its numbers: ``images``, ``dimensions``, ``rank_me``, ``uniformity``, ``pca_shares`` and
        ``spectrum``.
    """
    count = int(labels.max()) + 1 if len(labels) else 0
    classes = classes if len(classes) >= count else [str(i) for i in range(count)]
    points, shares = pca(x)
    maps = {f'PCA, {100 * shares.sum():.0f} % of the variance': points}
    if with_tsne:
        maps['t-SNE'] = tsne(x)
    spectrum = LF.covariance_spectrum(x.double())
    numbers = dict(
        images=len(x),
        dimensions=x.shape[1],
        rank_me=float(LF.rank_me(x)),
        uniformity=float(LF.uniformity(x.double())),
        pca_shares=shares.tolist(),
        spectrum=spectrum.tolist(),
    )
    return draw_embedding_map(maps, labels, classes, spectrum, title), numbers


def draw_embedding_map(
    maps: dict[str, Tensor], labels: Tensor, classes: Sequence[str], spectrum: Tensor, title: str = ''
) -> Figure:
    """Draw maps of the same images side by side, and the spectrum of their covariance.

    Args:
        maps: Coordinates, (N, 2), by title of the panel.
        labels: Class of each image, (N,). Images of class −1 are gray.
        classes: Names of the classes.
        spectrum: Spectrum of the covariance, (d,).
        title: Title of the figure.
    """
    figure = Figure(figsize=(4.6 * len(maps) + 5.6, 4.6), layout='constrained', dpi=120)
    axes = figure.subplots(1, len(maps) + 1, squeeze=False)[0]
    colors = _colors(len(classes))
    for axis, (name, points) in zip(axes, maps.items()):
        _scatter(axis, points, labels, colors)
        axis.set_title(name, fontsize=11)
    if 0 < len(classes) <= _MAX_LEGEND:
        handles = [axes[0].plot([], [], 'o', color=color, label=name)[0] for name, color in zip(classes, colors)]
        figure.legend(handles=handles, loc='outside right center', fontsize=9, frameon=False)
    _draw_spectrum(axes[-1], spectrum)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_spectrum(axis: Axes, spectrum: Tensor) -> None:
    axis.plot(range(1, len(spectrum) + 1), spectrum.tolist(), linewidth=1.5)
    axis.axhline(1, color='0.45', linestyle='--', linewidth=1, label='spread evenly')
    positive = spectrum[spectrum > 0]
    if len(positive):  # there is none if all embeddings are the same point
        axis.set_yscale('log')
        # Smaller values are rounding errors.
        axis.set_ylim(bottom=max(1e-6 * float(positive.max()), float(positive.min()) / 2))
    axis.set_title('Singular values of the covariance, × d', fontsize=11)
    axis.set_xlabel('rank', fontsize=9)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _colors(count: int) -> list:
    name = 'tab10' if count <= 10 else 'tab20' if count <= 20 else 'hsv'
    palette = matplotlib.colormaps[name]
    return [palette(i if count <= 20 else i / count) for i in range(count)]


def _scatter(axis: Axes, points: Tensor, labels: Tensor, colors: list) -> None:
    # All points are drawn in one call and in a fixed random order, so that no class covers the others.
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    shown = [colors[label] if label >= 0 else (0.6, 0.6, 0.6, 1.0) for label in labels[order].tolist()]
    size = max(2.0, min(20.0, 12000 / len(points)))
    x, y = points[order].T.tolist()
    axis.scatter(x, y, s=size, c=shown, linewidths=0, alpha=0.75)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_aspect('equal', adjustable='datalim')
