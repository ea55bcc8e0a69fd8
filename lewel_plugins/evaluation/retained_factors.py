"""How much of the known factors of a garment scene and of its view frozen features retain, as R² per factor.

MPCL claims that its projectors retain information which one contrastive task discards (Sec. I). Classes cannot show
this, because a class is what the views of an image share. A linear map from the features to a factor can: R² is 1 if
the factor can be read off, and 0 if nothing of it is left.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins.datasets.garment_scenes import load_renderer
from lewel_plugins.datasets.garment_scenes.scene_config import SPLITS
from lewel_plugins.datasets.garment_scenes.scene_renderer import Scene, SceneRenderer
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import neck_embeddings, pooled_features, raw_pixels
from lewel_plugins.seeding import derive_seed, seeded
from lewel_plugins.transforms import MakeViews
from lewel_plugins.transforms.view_scheme import ViewParameters

from .extraction import plain_loader
from .feature_loop import count_non_finite
from .ridge import RidgeRegression, r2_score

Factors = dict[str, Tensor]
"""Factors by name, (N, k) float64; a point on a circle or in a plane has k = 2 columns."""


FEATURES: dict[str, Callable[[BaseModel, dict], Tensor]] = dict(
    backbone=pooled_features, neck=neck_embeddings, pixels=raw_pixels
)


class _Split(NamedTuple):
    """Features (N, D) and factors of whole images, and of one view of each."""

    images: Tensor
    scene: Factors
    views: Tensor
    view: Factors


def scene_factors(scenes: Sequence[Scene]) -> Factors:
    """Return the factors of scenes with one garment each.

    ``tint`` is the point of hue and saturation in the color disk, because the hue of a gray garment means nothing;
    ``value`` the brightness of the color. ``rotation`` is no circle: it stays within ± 20 degrees.
    """
    tints, poses = [scene.tints[0] for scene in scenes], [scene.poses[0] for scene in scenes]
    return _columns(
        tint=[_on_circle(tint.hue / 360, tint.saturation) for tint in tints],
        value=[(tint.value,) for tint in tints],
        position=[(pose.x, pose.y) for pose in poses],
        scale=[(pose.scale,) for pose in poses],
        rotation=[(pose.rotation,) for pose in poses],
        mirror=[(pose.is_mirrored,) for pose in poses],
    )


def view_factors(views: Sequence[ViewParameters], height: int, width: int) -> Factors:
    """Return the factors of views of images of one size: where the crop lies, and what was done to it.

    An image that the jitter spares has the factors of no change. ``jitter_hue`` is a point on the color circle.
    """
    jitters = [dict(view.jitter) for view in views]
    strengths = {
        f'jitter_{name}': [(jitter.get(name, 1.0),) for jitter in jitters]
        for name in ('brightness', 'contrast', 'saturation')
    }
    boxes = [view.box for view in views]
    return _columns(
        crop_position=[((left + w / 2) / width, (top + h / 2) / height) for left, top, w, h in boxes],
        crop_size=[(w / width, h / height) for _, _, w, h in boxes],
        flip=[(view.flip,) for view in views],
        **strengths,
        jitter_hue=[_on_circle(jitter.get('hue', 0.0)) for jitter in jitters],
        gray=[(view.gray,) for view in views],
        blur=[(view.sigma,) for view in views],
        solarize=[(view.solarize,) for view in views],
    )


def _on_circle(turn: float, radius: float = 1.0) -> tuple[float, float]:
    return radius * math.cos(2 * math.pi * turn), radius * math.sin(2 * math.pi * turn)


def _columns(**factors: Sequence[tuple[float, ...]]) -> Factors:
    return {name: torch.tensor(rows, dtype=torch.float64) for name, rows in factors.items()}


def retained(train: tuple[Tensor, Factors], test: tuple[Tensor, Factors]) -> dict[str, float]:
    """Return R² of each factor on held-out images. Factors that do not vary are left out.

    Args:
        train: Features (N, D) to fit, and their factors.
        test: Features (M, D) to measure on, and their factors.
    """
    regression = RidgeRegression(train[0])
    varying = [
        name for name, y in train[1].items() if len(y.unique(dim=0)) > 1 and len(test[1][name].unique(dim=0)) > 1
    ]
    return {name: r2_score(test[1][name], regression.fit_predict(train[1][name], test[0])) for name in varying}


class RetainedFactors:
    """Measure the factors that features retain of the garment scenes of a config.

    Scene factors are regressed from the features of whole images, view factors from those of one random view per image:
    the first view of the training, drawn under a seed per image and made by :class:`MakeViews`. The training scenes
    are fitted, and the validation scenes are measured.

    Args:
        cfg: A config whose ``train_dataloader`` and ``val_dataloader`` read garment scenes of one garment each.
        garments: Folder with Fashion-MNIST's test files, from which the scenes were made.
        seed: Seed of the views.

    Raises:
        SetupError: If the config has no views, or its images are no such scenes.
        FileNotFoundError: If the folder of the images has no ``meta.json``, or the garments do not exist.
    """

    def __init__(self, cfg: Config, garments: str | Path, seed: int) -> None:
        if not cfg.get('val_dataloader'):
            raise SetupError('the config has no val_dataloader, whose images are measured')
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        pipeline = cfg.val_dataloader.dataset.pipeline
        self.loaders = dict(train=plain_loader(cfg.train_dataloader, pipeline), val=plain_loader(cfg.val_dataloader))
        self.make_views = MakeViews([training_view(cfg)])
        self.seed = seed
        self.renderer = _load_renderer(self.loaders['val'], garments)

    def measure(self, model: BaseModel, features: str) -> dict[str, float]:
        """Return R² of each factor, and the means over the scene factors, the view factors and all.

        Args:
            model: Model with a ``backbone``, and a ``neck`` to measure that.
            features: Which features, of :data:`FEATURES`.

        Raises:
            ValueError: If a feature is NaN or infinite.
        """
        model.to(get_device()).eval()
        train, val = (self._extract(model, FEATURES[features], split) for split in ('train', 'val'))
        scene = retained((train.images, train.scene), (val.images, val.scene))
        view = retained((train.views, train.view), (val.views, val.view))
        means = dict(scene_mean=_mean(scene), view_mean=_mean(view), mean=_mean({**scene, **view}))
        return {**scene, **view, **means}

    @torch.no_grad()
    def _extract(self, model: BaseModel, features: Callable[[BaseModel, dict], Tensor], split: str) -> _Split:
        loader = self.loaders[split]
        scenes, views = self._draw(loader)
        rows: list[Tensor] = []
        for batch in track(loader, f'features, {split}', total=len(loader)):
            images = batch['inputs']
            start = sum(map(len, rows))
            crops = torch.stack([self._view(*pair) for pair in zip(images, views[start : start + len(images)])])
            pair = [features(model, {**batch, 'inputs': inputs}) for inputs in (images, crops)]
            rows.append(torch.stack(pair, 1).cpu())  # the regression is in float64, which not every device has
        of_images, of_views = torch.cat(rows).unbind(1)
        if count_non_finite(torch.cat([of_images, of_views])):
            raise ValueError('some features are NaN or infinite: the network has diverged')
        size = self.renderer.config.size
        return _Split(of_images, scene_factors(scenes), of_views, view_factors(views, size, size))

    def _draw(self, loader: DataLoader) -> tuple[list[Scene], list[ViewParameters]]:
        """Return the scene of every image of a loader, rendered again, and the parameters of its view."""
        size, scheme = self.renderer.config.size, self.make_views.schemes[0]
        scenes, views = [], []
        for i in track(range(len(loader.dataset)), 'factors'):  # type: ignore[arg-type]
            split, index = _split_and_index(loader, i)
            scenes.append(self.renderer.render(split, index))
            with seeded(derive_seed(self.seed, SPLITS.index(split), index)):
                views.append(scheme.draw(size, size))
        return scenes, views

    def _view(self, image: Tensor, parameters: ViewParameters) -> Tensor:
        """Make a view of an image, (3, H, W) uint8 → (3, size, size) uint8."""
        views = self.make_views.make(dict(img=image.permute(1, 2, 0).numpy()), [parameters])['img']
        return torch.from_numpy(views[0]).permute(2, 0, 1)


def training_view(cfg: Config) -> dict:
    """Return the scheme of the first view of a training, from the data preprocessor or from the pipeline.

    Raises:
        SetupError: If neither has one.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:  # a wrapper
        dataset = dataset.dataset
    for step in (preprocessor, *dataset.pipeline):
        if step.get('views'):
            return dict(step['views'][0])
    raise SetupError('the config has no views of lewel_plugins: neither its data_preprocessor nor its train pipeline')


def _load_renderer(loader: DataLoader, garments: str | Path) -> SceneRenderer:
    root = Path(loader.dataset.get_data_info(0)['img_path']).parents[2]  # type: ignore[attr-defined]
    renderer = load_renderer(root, garments)
    if renderer.config.kind != 'single':
        raise SetupError(f"{root} holds scenes of several garments, kind {renderer.config.kind!r}; 'single' is needed")
    return renderer


def _split_and_index(loader: DataLoader, i: int) -> tuple[str, int]:
    """Return which scene an image shows, from its path ``SPLIT/CLASS/INDEX.jpg``."""
    path = Path(loader.dataset.get_data_info(i)['img_path'])  # type: ignore[attr-defined]
    return path.parents[1].name, int(path.stem)


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)
