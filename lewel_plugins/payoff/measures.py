"""What is measured on frozen features: k-NN and linear classification, and the floors that no network is needed for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from lewel_plugins.evaluation.extraction import extract_features, plain_loader
from lewel_plugins.evaluation.feature_metric import FeatureSet
from lewel_plugins.evaluation.knn import knn_classes
from lewel_plugins.evaluation.linear_probe import build_classifier, linear_probe
from lewel_plugins.models.features import raw_pixels
from lewel_plugins.reporting.pictures import color_histograms
from lewel_plugins.visualization.images import to_rgb

from .material import Material

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
NEIGHBORS = 20
TEMPERATURE = 0.07
LINEAR_BATCH = 256
LINEAR_STEPS, LINEAR_EPOCHS = 500, 50  # at least both


class Score(NamedTuple):
    """How well test images are predicted.

    Attributes:
        points: Accuracy or mIoU in percent, or AP × 100.
        images: What the noise of the test images is computed from, as json values: one digit per image, 1 if its class
            is predicted; or the detections of each; or intersection and union of each.
    """

    points: float
    images: Any


def score(predictions: Tensor, targets: Tensor) -> Score:
    """Compare predicted classes (N,) with the true ones."""
    hits = (predictions == targets).long().tolist()
    return Score(100 * sum(hits) / len(hits), ''.join(map(str, hits)))


def classifier_config(checkpoint: Path, material: Material, frozen: bool = True) -> Config:
    """Return the config of a classifier on a network, with a new head.

    Args:
        checkpoint: File of the network, which records how images are normalized.
        material: The labeled images.
        frozen: Whether only the head is trained.
    """
    from lewel_plugins.checkpoints import normalization, read_tensors

    head = dict(
        type='LinearClsHead',
        num_classes=len(material.classes),
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1,),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    )
    values = normalization(read_tensors(str(checkpoint))) or IMAGENET
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(type='lewel_plugins.PretrainedClassifier', checkpoint=str(checkpoint), frozen=frozen, head=head),
            data_preprocessor={'type': 'ClsDataPreprocessor', 'to_rgb': True, **values},
        )
    )


def network_features(checkpoint: Path, material: Material) -> Tensor:
    """Return the pooled features of all labeled images, (N, D), on the CPU."""
    cfg = classifier_config(checkpoint, material)
    init_default_scope('mmpretrain')
    model = build_classifier(cfg, 0)
    loader = plain_loader(material.loader(range(len(material.paths)), 'all_images'))
    return extract_features(model, loader, f'features of {checkpoint.name}').feat.cpu()


@torch.no_grad()
def floor_features(checkpoint: Path, material: Material) -> dict[str, Tensor]:
    """Return raw pixels, centered by the mean of the training images, and color histograms of all labeled images."""
    init_default_scope('mmpretrain')
    model = build_classifier(classifier_config(checkpoint, material), 0)
    pixels, colors = [], []
    for batch in plain_loader(material.loader(range(len(material.paths)), 'all_images')):
        pixels.append(raw_pixels(model, batch).cpu())
        colors.append(color_histograms(to_rgb(batch['inputs'], model)).cpu())
    rows = torch.cat(pixels).float()
    return dict(pixels=rows - rows[list(material.train)].mean(0), colors=torch.cat(colors).float())


def knn(feat: Tensor, material: Material, rows: Sequence[int]) -> Score:
    """Classify the test images by their nearest ones among some training images.

    Args:
        feat: Features of all labeled images, (N, D).
        material: The labeled images.
        rows: Indices of the training images.
    """
    bank, query = _feature_set(feat, material, rows), _feature_set(feat, material, material.test)
    k = min(NEIGHBORS, len(bank.feat))
    return score(
        knn_classes(query.feat, bank.feat, bank.label, len(material.classes), [k], TEMPERATURE)[0], query.label
    )


def linear(
    feat: Tensor,
    material: Material,
    rows: Sequence[int],
    test: Sequence[int],
    rates: Sequence[float],
    seed: int,
    length: float = 1.0,
) -> list[Score]:
    """Train a linear classifier on features with each of some rates, and classify other images.

    Args:
        feat: Features of all labeled images, (N, D).
        material: The labeled images.
        rows: Indices of the images to train on.
        test: Indices of the images to classify.
        rates: Learning rates for a batch of 256.
        seed: Seed of head and order.
        length: Factor of the length.
    """
    bank, query = _feature_set(feat, material, rows), _feature_set(feat, material, test)
    head = torch.nn.Module()
    generator = torch.Generator().manual_seed(seed)
    head.fc = torch.nn.Linear(feat.shape[1], len(material.classes))
    with torch.no_grad():
        head.fc.weight.normal_(0, 0.01, generator=generator)
        head.fc.bias.zero_()
    cfg = _linear_config(len(rows), seed, length)
    scale = cfg.train_dataloader.batch_size / LINEAR_BATCH
    results = linear_probe(cfg, head, bank, query, [rate * scale for rate in rates], seed)
    return [score(result.predictions, query.label) for result in results]


def _feature_set(feat: Tensor, material: Material, rows: Sequence[int]) -> FeatureSet:
    index = torch.tensor(list(rows))
    return FeatureSet(feat[index], torch.tensor([material.targets[i] for i in rows]), index)


def _linear_config(size: int, seed: int, length: float) -> Config:
    batch = min(LINEAR_BATCH, size)
    epochs = max(1, round(length * max(LINEAR_EPOCHS, -(-LINEAR_STEPS // -(-size // batch)))))
    cosine: dict[str, Any] = dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, begin=0, end=epochs)
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(frozen=True, head=dict(type='LinearClsHead', loss=dict(type='CrossEntropyLoss'))),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            param_scheduler=[cosine],
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
            train_dataloader=dict(batch_size=batch, sampler=dict(type='lewel_plugins.SeededSampler')),
            randomness=dict(seed=seed),
        )
    )
