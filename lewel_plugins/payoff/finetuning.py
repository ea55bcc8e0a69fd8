"""Train a network with a new head on labels, from its weights on."""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn

from lewel_plugins.evaluation.extraction import DivergedError, extract_features, plain_loader
from lewel_plugins.planning.compose import configs_folder

from .finetuning_length import BATCH, NORM_IMAGES, steps_of
from .material import Material
from .measures import Score, classifier_config, score

WEIGHT_DECAY = 1e-4
CHECKPOINTS = 5  # per training, to go on from after a kill


def finetune(
    checkpoint: Path,
    material: Material,
    rows: Sequence[int],
    test: Sequence[int],
    rate: float,
    seed: int,
    length: float,
    epochs: int | None,
    folder: Path,
) -> Score:
    """Train, and classify other images. Goes on from the folder after a kill, and removes it at the end.

    A training that diverges counts as one that classifies no image correctly.

    Args:
        checkpoint: File of the network to start from.
        material: The labeled images.
        rows: Indices of the images to train on.
        test: Indices of the images to classify.
        rate: Learning rate for a batch of 64.
        seed: Seed of head, order and crops.
        length: Factor of the length.
        epochs: Epochs at length 1; by the number of images by default.
        folder: Folder of this training alone.
    """
    cfg = training_config(checkpoint, material, rows, rate, seed, length, epochs, folder)
    init_default_scope('mmpretrain')
    runner = Runner.from_cfg(cfg)
    if cfg.train_dataloader.batch_size < NORM_IMAGES:
        runner.register_hook(KeepNormHook(), priority='VERY_LOW')
    try:
        _train(runner)
        loader = plain_loader(material.loader(test, f'{folder.name}_test'))
        query = extract_features(runner.model, loader, 'test images')
        with torch.no_grad():
            predictions = runner.model.head.fc(query.feat).argmax(1)
        result = score(predictions.cpu(), query.label.cpu())
    except (FloatingPointError, DivergedError):  # the same would happen in each further call
        result = Score(0.0, '0' * len(test))
    shutil.rmtree(folder)
    for name in ('train', 'test'):
        with contextlib.suppress(FileNotFoundError):
            (material.folder / f'{folder.name}_{name}.txt').unlink()
    return result


def training_config(
    checkpoint: Path,
    material: Material,
    rows: Sequence[int],
    rate: float,
    seed: int,
    length: float,
    epochs: int | None,
    folder: Path,
) -> Config:
    """Return the config of a training, with arguments as in :func:`finetune`."""
    steps = steps_of(len(rows), epochs)
    total = max(1, round(length * steps.epochs))
    cfg = Config.fromfile(configs_folder() / '_base_' / 'classification_runtime.py')
    cfg.merge_from_dict(classifier_config(checkpoint, material, frozen=False).to_dict())
    optimizer = dict(type='SGD', lr=rate * steps.batch / BATCH, momentum=0.9, weight_decay=WEIGHT_DECAY)
    cosine: dict[str, Any] = dict(type='CosineAnnealingLR', T_max=total, by_epoch=True, begin=0, end=total)
    cfg.merge_from_dict(
        dict(
            train_dataloader=material.training_loader(rows, f'{folder.name}_train', steps.batch),
            optim_wrapper=dict(type='OptimWrapper', optimizer=optimizer),
            param_scheduler=[dict(cosine, convert_to_iter_based=True)],
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=total),
            randomness=dict(seed=seed),
            work_dir=str(folder),
            experiment_name=folder.name,
            resume=True,
        )
    )
    cfg.default_hooks.checkpoint.interval = max(1, total // CHECKPOINTS)
    cfg.default_hooks.pop('preemption')  # a kill repeats the steps since the last checkpoint
    return cfg


class KeepNormHook(Hook):
    """Keep the statistics of batch norm, which a few images per step cannot estimate."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Switch batch norms to evaluation, after the loop has switched the model to training in each epoch."""
        for module in runner.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _train(runner: Runner) -> None:
    try:
        runner.train()
    finally:
        for handler in list(runner.logger.handlers):
            handler.close()
            runner.logger.removeHandler(handler)
