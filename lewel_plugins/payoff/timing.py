"""Measure how long a step takes, before an experiment starts."""

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.runner import Runner
from torch import nn

from lewel_plugins.evaluation.linear_probe import build_classifier
from lewel_plugins.evaluation.random_checkpoint import build_random_model
from lewel_plugins.finetuning import LIBRARIES
from lewel_plugins.models.features import pooled_features
from lewel_plugins.running.lost_workers import with_timeout

from .cost import Seconds
from .finetuning_length import BATCH
from .material import Material
from .measures import LINEAR_BATCH, classifier_config

REPEATS = 2  # steps that are timed, after one that warms up


def measure_seconds(cfg: Config, network: Path, material: Material) -> Seconds:
    """Measure the steps of all stages in a few seconds, or a few steps.

    Args:
        cfg: Config of the pretraining.
        network: File of a network.
        material: The labeled images.
    """
    init_default_scope('mmpretrain')
    model: Any = build_random_model(cfg, 0).to(get_device())
    workers = max(1, cfg.train_dataloader.num_workers)
    pretrain_step = _training_step(model, _plain(cfg.train_dataloader), workers)
    classifier = build_classifier(classifier_config(network, material, frozen=False), 0).to(get_device())
    rows = material.train[:BATCH]
    images = _plain(material.training_loader(rows, 'timing', len(rows)))
    finetune_image = _training_step(classifier, images, max(1, material.workers)) / len(rows)
    feature_image = _features(classifier, material)
    linear_step = _linear_step(classifier, len(material.classes))
    del model, classifier
    torch.cuda.empty_cache()  # which the pretrainings, in processes of their own, plan with
    return Seconds(pretrain_step, finetune_image, feature_image, linear_step)


def measure_dense_seconds(cfg: Config, training: Config, task: str) -> Seconds:
    """Measure the steps of pretraining, and of the training of a detector or a segmenter.

    Args:
        cfg: Config of the pretraining.
        training: Config of the training, with loaders of some labeled images.
        task: ``detector`` or ``segmenter``.
    """
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = build_random_model(cfg, 0).to(get_device())
        pretrain_step = _training_step(model, _plain(cfg.train_dataloader), max(1, cfg.train_dataloader.num_workers))
    library = LIBRARIES[task]
    import_module(f'{library}.utils').register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope(library):
        model = MODELS.build(training.model).to(get_device())
        loader = training.train_dataloader
        train_image = _training_step(model, _plain(loader), max(1, loader.num_workers)) / loader.batch_size
        test_image = _test_image(model, _plain(training.val_dataloader))
    del model
    torch.cuda.empty_cache()  # which the trainings, in processes of their own, plan with
    return Seconds(pretrain_step, train_image, test_image, 0.0)


def _test_image(model: Any, loader: dict[str, Any]) -> float:
    batch, load = timed_batch(loader)
    model.eval()
    with torch.no_grad():
        return (_timed(lambda: model.test_step(batch)) + load) / len(batch['inputs'])


def _plain(loader: dict[str, Any]) -> dict[str, Any]:
    return with_timeout({**loader, 'num_workers': 0, 'persistent_workers': False})


def timed_batch(loader: dict[str, Any]) -> tuple[Any, float]:
    """Return a batch of the config of a loader, and its seconds once the list of images is read and code compiled."""
    batches = Runner.build_dataloader(loader, seed=0)
    next(iter(batches))
    start = time.perf_counter()
    return next(iter(batches)), time.perf_counter() - start


def _timed(function: Callable[[], Any]) -> float:
    function()
    start = time.perf_counter()
    for _ in range(REPEATS):
        function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / REPEATS


def _together(step: float, load: float, workers: int) -> float:
    """Return the time of a step whose images workers load meanwhile; on a CPU both share the cores."""
    return step + load / workers if get_device() == 'cpu' else max(step, load / workers)


def _training_step(model: Any, loader: dict[str, Any], workers: int) -> float:
    batch, load = timed_batch(loader)
    model.train()
    wrapper = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-6)))

    def step() -> None:
        model.train_step(batch, wrapper)
        if hasattr(model, 'after_optimizer_step'):  # updates a teacher
            model.after_optimizer_step(0.5)

    return _together(_timed(step), load, workers)


def _features(model: Any, material: Material) -> float:
    rows = material.train[:BATCH]
    batch, load = timed_batch(_plain(material.loader(rows, 'timing')))
    model.eval()
    with torch.no_grad():
        step = _timed(lambda: pooled_features(model, batch))
    return _together(step, load, max(1, material.workers)) / len(rows)


def _linear_step(model: Any, num_classes: int) -> float:
    width = model.head.fc.in_features
    x, fc = torch.randn(LINEAR_BATCH, width), nn.Linear(width, num_classes)
    labels = torch.zeros(LINEAR_BATCH, dtype=torch.long)
    return _timed(lambda: nn.functional.cross_entropy(fc(x), labels).backward())
