"""Pictures of a report: neighbors of images, a map of features, what is special to a method, real training views.

Everything is limited by count, so that a report of a large folder takes no longer and is no larger than one of a small.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.datasets import SeededSampler
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.extraction import plain_loader
from lewel_plugins.evaluation.feature_loop import labels_and_indices
from lewel_plugins.evaluation.knn import knn_vote
from lewel_plugins.evaluation.random_checkpoint import build_random_model
from lewel_plugins.models.features import embeddings, pooled, preprocessed_images, raw_pixels
from lewel_plugins.models.kmeans import draw_rows, spherical_kmeans
from lewel_plugins.planning.findings import show
from lewel_plugins.running.model_files import load_model
from lewel_plugins.seeding import seeded
from lewel_plugins.transforms import BrokenImageError
from lewel_plugins.visualization.alignment_maps import draw_alignment_maps, pick_maps
from lewel_plugins.visualization.embedding_map import pca
from lewel_plugins.visualization.group_quality import draw_contact_sheet, pick_groups
from lewel_plugins.visualization.images import evenly_spaced, to_rgb

from .run_data import RunData

MOST_IMAGES = 2000  # images whose features are compared
MOST_ON_CPU = 500  # images of more than SMALL pixels per side, where a network takes long
SMALL = 96
SIDE = 96  # pixels of a thumbnail, at most
QUERIES, SHOWN = 8, 7  # pictures, and neighbors of each
NEIGHBORS = 10  # that are compared with those by color
LEAST_COMPARED = 200  # images below which neighbors agree by chance
VOTERS = 20  # neighbors of the k-NN
VIEW_IMAGES, MOST_VIEWS = 16, 4
CLUSTERS = 24  # thumbnails on the map
MAP_IMAGES, GROUP_ROWS, GROUP_COLUMNS = 6, 5, 8
_BATCH = 100
_BINS = 8  # bins of a color histogram per channel


class Thumbnail(NamedTuple):
    """A small picture: RGB (H, W, 3) uint8, and its text for those who do not see it."""

    rgb: np.ndarray
    alt: str


class Neighbors(NamedTuple):
    """A picture and its nearest neighbors by the trained network, by colors, and by the network before training."""

    picture: Thumbnail
    trained: list[Thumbnail]
    by_color: list[Thumbnail]
    at_start: list[Thumbnail]


class Drawing(NamedTuple):
    """A raster figure with a title, RGB (H, W, 3) uint8, and what it shows."""

    title: str
    rgb: np.ndarray
    alt: str


@dataclass
class Pictures:
    """Pictures and the measures that they give.

    Args:
        total: Images trained on; None if they cannot be read.
        count: Images whose features were compared.
        neighbors: Pictures with their neighbors.
        drawings: Map of features, and what is special to the method.
        views: Training views, one list per image.
        spectra: Spectrum of features, by name.
        knn: Accuracy in per cent of a leave-one-out k-NN, by kind of features; empty without labels.
        measures: Measures of the neighbors, as in :class:`~.verdicts.Measures`.
        missing: Why a part was left out, by its name.
    """

    total: int | None = None
    count: int = 0
    neighbors: list[Neighbors] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    views: list[list[Thumbnail]] = field(default_factory=list)
    spectra: dict[str, list[float]] = field(default_factory=dict)
    knn: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float | None] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class _Images(NamedTuple):
    """Number of training images, and what is kept of some: thumbnails, paths, labels (N,), features (N, …) by kind."""

    total: int
    thumbnails: list[Thumbnail]
    paths: list[str]
    labels: Tensor
    features: dict[str, Tensor]


TRAINED, BY_COLOR, AT_START, PIXELS = 'trained network', 'color histogram', 'network before training', 'raw pixels'


def make_pictures(run: RunData) -> Pictures:
    """Make the pictures of a run from its last checkpoint and the images that its config names.

    A part that cannot be made is left out, with the reason in ``missing``.

    Args:
        run: The run.
    """
    pictures = Pictures()
    try:
        if run.checkpoint is None or not run.checkpoint.is_file():
            raise SetupError('there is no checkpoint')
        model, cfg = load_model(str(run.checkpoint), builds=['train_dataloader', 'val_dataloader'])
    except (SetupError, OSError) as error:
        for part in ('neighbors', 'views'):
            pictures.missing[part] = str(error)
        return pictures
    model.to(get_device()).eval()
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)  # networks log every parameter that they initialize
    try:
        _make_parts(pictures, model, cfg)
    finally:
        logger.setLevel(level)
    return pictures


def _make_parts(pictures: Pictures, model: BaseModel, cfg: Config) -> None:
    _attempt(pictures, 'views', lambda: pictures.views.extend(training_views(model, cfg)))
    _attempt(pictures, 'neighbors', lambda: _compare_images(pictures, model, cfg))


def _attempt(pictures: Pictures, part: str, function: Callable[[], Any]) -> None:
    # Data sets and networks of a config can fail in any way, and a report without pictures is better than none.
    try:
        function()
    except Exception as error:
        text = ' '.join(str(error).split())[:300]
        pictures.missing[part] = text if isinstance(error, SetupError) else f'{type(error).__name__}: {text}'


def _compare_images(pictures: Pictures, model: BaseModel, cfg: Config) -> None:
    start = _network_before_training(pictures, cfg)
    images = _read_images(model, start, cfg)
    if len(images.paths) < 4:
        raise SetupError(f'{len(images.paths)} images could be read, and 4 are needed')
    near = _nearest_by_kind(images.features)
    pictures.total, pictures.count = images.total, len(images.paths)
    pictures.neighbors = _neighbor_rows(images, near)
    pictures.measures = _neighbor_measures(images, near)
    pictures.knn = _leave_one_out(images.labels, near)
    pictures.spectra = {
        kind: LF.covariance_spectrum(images.features[kind].double()).tolist()
        for kind in (TRAINED, AT_START, _EMBEDDINGS)
        if kind in images.features
    }
    _attempt(pictures, 'map', lambda: pictures.drawings.append(_feature_map(images)))
    if hasattr(getattr(model, 'neck', None), 'alignment_maps'):
        _attempt(pictures, 'alignment maps', lambda: pictures.drawings.append(_alignment_maps(model, cfg)))
    groups = getattr(getattr(model, 'head', None), 'groups', None)
    if groups is not None and _EMBEDDINGS in images.features:
        _attempt(pictures, 'groups', lambda: pictures.drawings.append(_groups(images, groups.rows.cpu())))


_EMBEDDINGS = 'embeddings'


def _network_before_training(pictures: Pictures, cfg: Config) -> BaseModel | None:
    """Return the network with the weights that its config starts from; None if they are no longer there."""
    built: list[BaseModel] = []

    def build() -> None:
        with seeded(0):  # restores the generators
            built.append(build_random_model(cfg, cfg.get('randomness', {}).get('seed') or 0))

    _attempt(pictures, 'start', build)
    if built:
        built[0].to(get_device()).eval()
    return built[0] if built else None


def evaluation_transforms(cfg: Config) -> list[dict[str, Any]]:
    """Return the transforms of the config's validation, or a resize and central crop to the size of its views."""
    for name in ('val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(name) or {}).get('dataset') or {}
        while 'pipeline' not in dataset and 'dataset' in dataset:
            dataset = dataset['dataset']
        if 'pipeline' in dataset:
            return list(dataset['pipeline'])
    size = _view_size(cfg)
    return [
        dict(type='lewel_plugins.LoadRGB', may_halve=True),
        dict(type='ResizeEdge', scale=size * 8 // 7, edge='short', interpolation='bicubic', backend='pillow'),
        dict(type='CenterCrop', crop_size=size),
        dict(type='PackInputs'),
    ]


def _view_size(entry: Any) -> int:
    """Return the largest ``size`` among the views of a config; 224 without one."""
    sizes: list[int] = []

    def search(value: Any) -> None:
        if isinstance(value, Mapping):
            if isinstance(value.get('size'), int) and 'crop_scale' in value:
                sizes.append(value['size'])
            for part in value.values():
                search(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                search(part)

    search(entry.to_dict() if isinstance(entry, Config) else entry)
    return max(sizes, default=224)


@torch.no_grad()
def _read_images(model: BaseModel, start: BaseModel | None, cfg: Config) -> _Images:
    """Read images spread evenly over the training images, and their features."""
    loader = {**cfg.train_dataloader, 'num_workers': 0}
    dataset: Any = plain_loader(loader, evaluation_transforms(cfg)).dataset
    on_cpu = get_device() == 'cpu' and _view_size(cfg) > SMALL
    indices = evenly_spaced(len(dataset), MOST_ON_CPU if on_cpu else MOST_IMAGES)
    thumbnails, names, labels, parts = [], list[str](), list[int](), list[dict[str, Tensor]]()
    for first in range(0, len(indices), _BATCH):
        items = _load(dataset, indices[first : first + _BATCH])
        if not items:
            continue
        rows, classes = _batch_features([item for _, item in items], model, start)
        thumbnails += list(rows.pop('rgb'))
        parts.append(rows)
        labels += classes
        names += [_path_of(dataset, index) for index, _ in items]
    features = {kind: torch.cat([part[kind] for part in parts]) for kind in (parts[0] if parts else ())}
    paths = _relative(names)
    pictures = [Thumbnail(_shrink(rgb), show(path)) for rgb, path in zip(thumbnails, paths)]
    return _Images(len(dataset), pictures, paths, torch.tensor(labels), features)


def _load(dataset: Any, indices: Sequence[int]) -> list[tuple[int, dict[str, Any]]]:
    items = []
    for index in indices:
        try:
            items.append((index, dataset[index]))
        except BrokenImageError:
            continue
    return items


def _batch_features(
    items: list[dict[str, Any]], model: BaseModel, start: BaseModel | None
) -> tuple[dict[str, Tensor], list[int]]:
    inputs = torch.stack([item['inputs'] for item in items])
    samples = [item['data_samples'] for item in items]
    batch = dict(inputs=inputs, data_samples=samples)
    labels = labels_and_indices(samples)[0]
    rgb = to_rgb(inputs, model)
    images = preprocessed_images(model, batch)
    maps = model.backbone(images)
    rows = {TRAINED: pooled(maps), BY_COLOR: color_histograms(rgb), PIXELS: raw_pixels(model, batch).cpu(), 'rgb': rgb}
    if getattr(model, 'neck', None) is not None:
        rows[_EMBEDDINGS] = embeddings(model.neck(maps)).float()
    if start is not None:
        rows[AT_START] = pooled(start.backbone(images))
    return {kind: values.cpu() for kind, values in rows.items()}, labels


def color_histograms(rgb: Tensor) -> Tensor:
    """Return the square roots of joint color histograms, unit rows whose products are Bhattacharyya coefficients.

    A color counts for the two nearest bins of each channel, by its distance to their centers, so that images of similar
    colors have similar histograms. With hard bins, only 10% of the 10 images of the most similar color were among the
    10 nearest by histogram (640 images of one color each); so it is 54%.

    Args:
        rgb: Images in [0, 1], (N, 3, H, W).

    Returns:
        (N, 512).
    """
    position = (rgb.flatten(2) * _BINS - 0.5).clamp_(0, _BINS - 1)  # (N, 3, HW), in bins
    low = position.long()
    share = position - low
    counts = torch.zeros(len(rgb), _BINS**3)
    for upper in product((0, 1), repeat=3):
        codes = torch.zeros_like(low[:, 0])
        weights = torch.ones_like(share[:, 0])
        for channel, is_upper in enumerate(upper):
            codes = codes * _BINS + (low[:, channel] + is_upper).clamp(max=_BINS - 1)
            weights = weights * (share[:, channel] if is_upper else 1 - share[:, channel])
        counts.scatter_add_(1, codes, weights)
    return (counts / position.shape[2]).sqrt()


def _path_of(dataset: Any, index: int) -> str:
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    return str(info.get('img_path') or f'image {index}')


def _relative(names: list[str]) -> list[str]:
    """Return paths without the folders that they share."""
    if len(names) < 2 or not all(os.path.isabs(name) == os.path.isabs(names[0]) for name in names):
        return [os.path.basename(name) for name in names]
    above = os.path.commonpath([os.path.dirname(name) for name in names])
    return [Path(os.path.relpath(name, above or '.')).as_posix() for name in names]


def _shrink(rgb: Tensor) -> np.ndarray:
    """Return an image (3, H, W) in [0, 1] as (H, W, 3) uint8, at most :data:`SIDE` on a side."""
    scale = SIDE / max(rgb.shape[1:])
    if scale < 1:
        size = [max(1, round(scale * side)) for side in rgb.shape[1:]]
        rgb = F.interpolate(rgb[None], size=size, mode='bilinear', antialias=True, align_corners=False)[0]
    return (255 * rgb.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()


class NearestOthers(NamedTuple):
    """Cosines of each row with its nearest other rows, nearest first, and the indices of these, both (N, k)."""

    similarity: Tensor
    indices: Tensor


def nearest_others(x: Tensor, k: int = max(VOTERS, NEIGHBORS, SHOWN)) -> NearestOthers:
    """Find the nearest other rows of each row by cosine.

    Args:
        x: Features, (N, D).
        k: Number of others; at most N − 1 are found.
    """
    x = F.normalize(x.float(), dim=1)
    similarity = (x @ x.T).fill_diagonal_(-torch.inf)
    return NearestOthers(*similarity.topk(min(k, len(x) - 1), dim=1))


def _nearest_by_kind(features: dict[str, Tensor]) -> dict[str, NearestOthers]:
    """Find the nearest others by each kind of features of images. Pixels are centered."""
    near = {}
    for kind in (TRAINED, AT_START, PIXELS, BY_COLOR):
        if kind in features:
            x = features[kind]
            near[kind] = nearest_others(x - x.mean(0) if kind == PIXELS else x)
    return near


def color_overlap(near: NearestOthers, by_color: NearestOthers) -> float:
    """Return the share of the :data:`NEIGHBORS` nearest others that are also among the nearest by color."""
    indices, of_color = near.indices[:, :NEIGHBORS], by_color.indices[:, :NEIGHBORS]
    return (indices[:, :, None] == of_color[:, None]).any(2).float().mean().item()


def _neighbor_rows(images: _Images, near: dict[str, NearestOthers]) -> list[Neighbors]:
    def shown(kind: str, i: int) -> list[Thumbnail]:
        return [images.thumbnails[j] for j in near[kind].indices[i, :SHOWN].tolist()] if kind in near else []

    return [
        Neighbors(images.thumbnails[i], *(shown(kind, i) for kind in (TRAINED, BY_COLOR, AT_START)))
        for i in evenly_spaced(len(images.paths), QUERIES)
    ]


def _neighbor_measures(images: _Images, near: dict[str, NearestOthers]) -> dict[str, float | None]:
    if len(images.paths) < LEAST_COMPARED:
        return {}
    shared = color_overlap(near[TRAINED], near[BY_COLOR])
    trained, by_color = (near[kind].indices[:, :NEIGHBORS] for kind in (TRAINED, BY_COLOR))
    folders = [os.path.dirname(path) for path in images.paths]
    numbers = {folder: k for k, folder in enumerate(sorted(set(folders)))}
    if len(numbers) < 2:
        return dict(color_overlap=shared)
    folder = torch.tensor([numbers[name] for name in folders])
    sizes = folder.bincount().double()
    total = len(folder)
    return dict(
        color_overlap=shared,
        folder_share=(folder[trained] == folder[:, None]).float().mean().item(),
        folder_by_color=(folder[by_color] == folder[:, None]).float().mean().item(),
        folder_chance=float((sizes * (sizes - 1)).sum() / (total * (total - 1))),
    )


def _leave_one_out(labels: Tensor, near: dict[str, NearestOthers]) -> dict[str, float]:
    """Return the accuracy of a k-NN among the images, each without itself, by kind of features."""
    if len(labels) <= VOTERS or bool((labels < 0).any()) or len(labels.unique()) < 2:
        return {}
    result = {}
    for kind, (similarity, indices) in near.items():
        votes = knn_vote(similarity[:, :VOTERS], labels[indices[:, :VOTERS]], int(labels.max()) + 1, 0.07)
        result[kind] = 100 * (votes == labels).float().mean().item()
    return result


def _raster(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _feature_map(images: _Images) -> Drawing:
    """Draw the first two principal components, with the picture closest to each cluster's center at its place."""
    x = F.normalize(images.features[TRAINED].float(), dim=1)
    points, shares = pca(x)
    count = min(CLUSTERS, len(x) // 4 + 1)
    centers = spherical_kmeans(x, draw_rows(x, torch.arange(len(x)), count, seed=0)).centroids
    closest = (centers.to(x.dtype) @ x.T).argmax(1).unique().tolist()
    figure = Figure(figsize=(8, 5.6), layout='constrained', dpi=110)
    axis = figure.subplots()
    axis.scatter(points[:, 0].tolist(), points[:, 1].tolist(), s=5, color='0.6', linewidths=0)
    for i in closest:
        rgb = images.thumbnails[i].rgb
        box = OffsetImage(rgb, zoom=38 / max(rgb.shape))
        axis.add_artist(AnnotationBbox(box, (float(points[i, 0]), float(points[i, 1])), pad=0.15))
    axis.set(xticks=[], yticks=[])
    alt = (
        f'{len(x):,} images as points on the first two principal components of the features, '
        f'{100 * float(shares.sum()):.0f}% of the variance, with {len(closest)} pictures at the centers of clusters'
    )
    return Drawing('Map of features', _raster(figure), alt)


@torch.no_grad()
def _alignment_maps(model: BaseModel, cfg: Config) -> Drawing:
    dataset: Any = plain_loader({**cfg.train_dataloader, 'num_workers': 0}, evaluation_transforms(cfg)).dataset
    items = [item for _, item in _load(dataset, evenly_spaced(len(dataset), MAP_IMAGES))]
    inputs = torch.stack([item['inputs'] for item in items])
    batch = dict(inputs=inputs, data_samples=[item['data_samples'] for item in items])
    maps = model.neck.alignment_maps(model.backbone(preprocessed_images(model, batch))).float().cpu()
    figure = draw_alignment_maps(to_rgb(inputs, model), maps, pick_maps(maps, 6))
    alt = f'Alignment maps of LEWEL: {len(items)} images, and for each the 6 most peaked of {maps.shape[1]} maps'
    return Drawing('Alignment maps', _raster(figure), alt)


def _groups(images: _Images, rows: Tensor) -> Drawing:
    """Draw pictures of the purest and the most mixed groups: by labels if there are some, otherwise by closeness."""
    z = F.normalize(images.features[_EMBEDDINGS].float(), dim=1)
    rows = F.normalize(rows.float(), dim=1)
    assignment = LF.assign_groups(z, rows, unit_groups=True)
    sizes = assignment.bincount(minlength=len(rows))
    labeled = len(images.labels) > 0 and bool((images.labels >= 0).all())
    if labeled:
        spread, what = LF.group_entropy(assignment, images.labels, len(rows)), 'entropy of classes'
    else:
        distances = 1 - (z * rows[assignment]).sum(1)
        spread = torch.zeros(len(rows)).index_add_(0, assignment, distances) / sizes.clamp_min(1)
        what = 'mean distance'
    purest, mixed = pick_groups(spread, sizes, GROUP_ROWS, min(3, int(sizes.max())))
    sheet = []
    for k in purest + mixed:
        members = (assignment == k).nonzero().flatten().tolist()
        shown = [members[i] for i in evenly_spaced(len(members), GROUP_COLUMNS)]
        pixels = torch.stack([torch.from_numpy(images.thumbnails[i].rgb) for i in shown]).permute(0, 3, 1, 2)
        sheet.append((f'{len(members)} images\n{what} {spread[k]:.2f}', pixels.float() / 255))
    used = (sizes > 0).float().mean().item()
    title = f'Groups: the {len(purest)} purest and, below, the {len(mixed)} most mixed'
    alt = f'Pictures of groups of SMoG. {used:.0%} of {len(rows):,} groups are in use by {len(z):,} images'
    return Drawing(title, _raster(draw_contact_sheet(sheet, GROUP_COLUMNS)), alt)


@torch.no_grad()
def training_views(model: BaseModel, cfg: Config) -> list[list[Thumbnail]]:
    """Make the training views of the first images of the first epoch, by the data set and preprocessor of the run.

    Args:
        model: The model, whose preprocessor makes or finishes the views.
        cfg: The config of the run.

    Returns:
        At most :data:`MOST_VIEWS` views of each of :data:`VIEW_IMAGES` images.
    """
    dataset: Any = DATASETS.build(cfg.train_dataloader.dataset)
    seed = cfg.get('randomness', {}).get('seed') or 0
    samples = [sample for _, sample in zip(range(VIEW_IMAGES), SeededSampler(dataset, seed=seed))]
    batch = default_collate([dataset[sample] for sample in samples])
    preprocessor: Any = model.data_preprocessor
    with seeded(seed):
        views = preprocessor(batch, True)['inputs']
    mean, std = preprocessor.mean, preprocessor.std
    rows: list[list[Thumbnail]] = [[] for _ in samples]
    for k, view in enumerate(views[:MOST_VIEWS]):
        rgb = ((view * std + mean) / 255).float().cpu()
        for i, picture in enumerate(rgb):
            rows[i].append(Thumbnail(_shrink(picture), f'view {k + 1} of image {i + 1}'))
    return rows
