"""One training of a detector or a segmenter as the config that ``lewel finetune`` would write."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config

from lewel_plugins.finetuning import FinetuneFacts, LabelFacts, Labels, Start, plan
from lewel_plugins.finetuning.compose import compose
from lewel_plugins.finetuning.written import HERE, write_labels
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.planning.settings import Settings

from .dense_material import DenseMaterial
from .design import BOXES

RECORDS = 'records.json'  # what is predicted for each image, in the folder of a training
_METRICS = {True: 'lewel_plugins.DetectionRecordMetric', False: 'lewel_plugins.RegionRecordMetric'}


def plan_training(
    material: DenseMaterial,
    start: Start,
    size: int,
    rate: float = 1.0,
    length: float = 1.0,
    epochs: int | None = None,
    gpus: int | None = None,
) -> Settings:
    """Plan a training by the rules of ``lewel finetune``, with the size of images and anchors that suits all of them.

    Args:
        material: The labeled images.
        start: What the backbone starts from; random weights as a file, since all arms have the same rules.
        size: Number of images to train on.
        rate: Factor of the recipe's learning rate.
        length: Factor of the length.
        epochs: Epochs at length 1; by the number of images by default.
        gpus: Number of GPUs; 0 for the CPU, None for all.
    """
    labels = replace(LabelFacts.of(_labels(material, material.train, material.test)), num_train=size)
    facts = FinetuneFacts(labels, start, machine_facts(gpus))
    task = material.labels.task
    base = plan(task, facts, epochs, gpus)['epochs']
    resolved = plan(task, facts, max(1, round(length * base)), gpus)
    return Settings([replace(each, value=rate * each.value) if each.name == 'lr' else each for each in resolved])


def compose_training(
    material: DenseMaterial,
    rows: Sequence[int],
    test: Sequence[int],
    resolved: Settings,
    start: str,
    seed: int,
    workers: int | None,
    folder: Path,
) -> Config:
    """Return the config of a training that measures once, at its end, and write the labels that it names.

    Args:
        material: The labeled images.
        rows: Indices of the images to train on.
        test: Indices of the images to predict.
        resolved: The plan.
        start: File with the tensors of the backbone, in the folder.
        seed: Seed of head, order and views.
        workers: Processes that load images; by the plan by default.
        folder: Folder of this training alone.
    """
    task = material.labels.task
    written = write_labels(_labels(material, rows, test), folder)
    config = compose(task, resolved, written, f'{HERE}/{start}', seed)
    config.val_evaluator = dict(type=_METRICS[task == BOXES], out_file=f'{HERE}/{RECORDS}')
    config.test_evaluator = config.val_evaluator
    config.train_cfg.val_interval = config.train_cfg.max_epochs
    if workers is not None:
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            config[name].update(num_workers=workers, persistent_workers=workers > 0)
    return config


def _labels(material: DenseMaterial, train: Sequence[int], test: Sequence[int]) -> Labels:
    labels = material.labels
    return Labels(labels.kind, labels.classes, material.images(train), material.images(test), '')
