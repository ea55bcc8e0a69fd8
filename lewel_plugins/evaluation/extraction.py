"""Extract the features of a whole dataset once, without a Runner."""

from collections.abc import Callable

import torch
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins.models.features import pooled_features
from lewel_plugins.running.lost_workers import with_timeout
from lewel_plugins.running.watched_loader import watched

from .feature_loop import FeatureRows, count_non_finite, labels_and_indices
from .feature_metric import FeatureSet


class DivergedError(ValueError):
    """Features are NaN or infinite."""


def plain_loader(loader: dict, pipeline: list | None = None) -> DataLoader:
    """Build the loader of a config in the order of its dataset, without the settings for training.

    Args:
        loader: Config of a loader. In place of a ``PretrainDataset``, the dataset that it wraps is read.
        pipeline: Transforms that replace those of the dataset, such as the transforms of the validation.
    """
    config = dict(loader)
    dataset = config['dataset']
    if isinstance(dataset, dict) and dataset['type'] == 'lewel_plugins.PretrainDataset':
        dataset = dataset['dataset']
    if pipeline is not None:
        dataset = _with_pipeline(dataset, pipeline)
    built = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
    config.update(
        dataset=built,
        sampler=dict(type='DefaultSampler', shuffle=False),
        persistent_workers=False,
        drop_last=False,
        batch_size=max(config.get('batch_size', 1), min(256, len(built))),
    )
    config.setdefault('collate_fn', dict(type='default_collate'))
    return watched(Runner.build_dataloader(with_timeout(config), seed=0))


def _with_pipeline(dataset: dict, pipeline: list) -> dict:
    if 'dataset' in dataset:  # a wrapper
        return {**dataset, 'dataset': _with_pipeline(dataset['dataset'], pipeline)}
    return {**dataset, 'pipeline': pipeline}


@torch.no_grad()
def extract_features(
    model: BaseModel,
    loader: DataLoader,
    title: str,
    labeled: bool = True,
    measure: Callable[[BaseModel, dict], Tensor] = pooled_features,
) -> FeatureSet:
    """Extract the features of every image, on the device.

    The features take N · D · 4 bytes: 10.5 GB for ImageNet's training images and ResNet-50.

    Args:
        model: Model with a ``backbone``; it is moved to the device and switched to eval mode.
        loader: Images in the order of their dataset, as :func:`plain_loader` returns them.
        title: Title of the progress bar.
        labeled: Whether to read one class per image; otherwise all are −1.
        measure: Function of the model and a batch that returns the features, (B, D); pooled ones by default.

    Returns:
        Features (N, D), classes (N,) and indices (N,).

    Raises:
        DivergedError: A feature is NaN or infinite.
    """
    device = torch.device(get_device())
    model.to(device)
    model.eval()
    rows = FeatureRows(len(loader.dataset))  # type: ignore[arg-type]
    labels: list[int] = []
    for batch in track(loader, title, total=len(loader)):
        batch_labels = labels_and_indices(batch['data_samples'])[0] if labeled else None
        count = rows.add(measure(model, batch))
        labels += [-1] * count if batch_labels is None else batch_labels
    feat = rows.filled()
    bad = int(count_non_finite(feat))
    if bad:
        raise DivergedError(f'{title}: the features of {bad} images are NaN or infinite: the backbone has diverged')
    return FeatureSet(feat, torch.tensor(labels, device=device), torch.arange(len(feat), device=device))
