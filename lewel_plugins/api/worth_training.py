"""Train one detector or segmenter of ``lewel worth`` as ``lewel finetune`` does, in a process of its own."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lewel_plugins.files import read_json, write_checkpoint, write_json
from lewel_plugins.finetuning.start import read_start
from lewel_plugins.payoff.dense_config import RECORDS, compose_training, plan_training
from lewel_plugins.payoff.dense_material import DenseMaterial
from lewel_plugins.payoff.design import BOXES
from lewel_plugins.payoff.measures import Score
from lewel_plugins.planning.facts import GPU
from lewel_plugins.planning.machine import gpus_of_this_start

from .finetune import START
from .run_folder import PLAN, RunFolder
from .training import TrainingError, train
from .worth_networks import Stopped

_DIVERGED = 'FloatingPointError'  # the hook that stops at an infinite loss raises it


def train_dense(
    checkpoint: Path,
    material: DenseMaterial,
    rows: Sequence[int],
    test: Sequence[int],
    rate: float,
    seed: int,
    length: float,
    epochs: int | None,
    folder: Path,
    *,
    gpus: int | None,
    workers: int | None,
) -> Score:
    """Train, and predict other images. Goes on from the folder after a kill, and removes it at the end.

    A training that diverges counts as one that finds nothing.

    Args:
        checkpoint: File of the network to start from.
        material: The labeled images.
        rows: Indices of the images to train on.
        test: Indices of the images to predict.
        rate: Factor of the recipe's learning rate.
        seed: Seed of head, order and views.
        length: Factor of the length.
        epochs: Epochs at length 1; by the number of images by default.
        folder: Folder of this training alone.
        gpus: Number of GPUs; 0 for the CPU, None for all.
        workers: Processes that load images; by the machine by default.

    Raises:
        Stopped: The training has stopped after a checkpoint.
        TrainingError: The training has failed.
    """
    run = RunFolder(folder)
    training = Training(checkpoint, material, rows, test, rate, seed, length, epochs, gpus, workers)
    chosen = write_training(run, training) if run.is_new else gpus_of_this_start(gpus)
    try:
        if not (run / RECORDS).is_file():
            _train(run, chosen)
        if not (run / RECORDS).is_file():  # a kill has cut its measurement, which the last checkpoint does not repeat
            _train(run, write_training(run, training))
        records = _in_order(read_json(run / RECORDS), material, test)
    except TrainingError as error:
        if _DIVERGED not in str(error):
            raise
        records = material.nothing(test)
    result = material.score(test, records)
    shutil.rmtree(run.path)
    return result


@dataclass(frozen=True)
class Training:
    """What a training is made of, as the arguments of :func:`train_dense`."""

    checkpoint: Path
    material: DenseMaterial
    rows: Sequence[int]
    test: Sequence[int]
    rate: float
    seed: int
    length: float
    epochs: int | None
    gpus: int | None
    workers: int | None


def write_training(run: RunFolder, training: Training) -> tuple[GPU, ...]:
    """Write a training to a folder of its own, without what another has left in it; return the GPUs of its plan."""
    t = training
    shutil.rmtree(run.path, ignore_errors=True)
    start, backbone = read_start(str(t.checkpoint))
    assert backbone is not None
    resolved = plan_training(t.material, start, len(t.rows), t.rate, t.length, t.epochs, t.gpus)
    write_checkpoint(run / START, backbone)
    config = compose_training(t.material, t.rows, t.test, resolved, START, t.seed, t.workers, run.path)
    run.write_config(config.pretty_text)
    write_json(run / PLAN, dict(request={}, plan=resolved.as_dict()))
    return resolved['gpus']


def _train(run: RunFolder, gpus: Sequence[GPU]) -> None:
    with run.locked() as lock:
        result = train(run, lock, lambda line: None, gpus=gpus)
    if result.status != 'finished':
        raise Stopped(result.status)


def _in_order(records: Any, material: DenseMaterial, test: Sequence[int]) -> list[Any]:
    """Return the records of images in the order of their indices."""
    if material.labels.task == BOXES:
        by_number = {record['image']: record['detections'] for record in records}
        return [by_number[number] for number in range(1, len(test) + 1)]  # as write_labels numbers them
    by_path = {os.path.realpath(record.pop('image')): record for record in records}
    return [by_path[os.path.realpath(image.path)] for image in material.images(test)]
