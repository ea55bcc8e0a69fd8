"""The questions of an experiment on images that it has not seen: with its networks, and with networks of new seeds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.api.worth_dense import DenseSession
from lewel_plugins.api.worth_networks import ArmNetworks
from lewel_plugins.api.worth_request import Request, check_request
from lewel_plugins.api.worth_session import RESULT, Session
from lewel_plugins.api.worth_training import train_dense
from lewel_plugins.files import read_json
from lewel_plugins.payoff.answer import Outcome, answer
from lewel_plugins.payoff.dense_labels import DenseLabels, dense_task, read_dense_labels
from lewel_plugins.payoff.design import FROZEN, Design
from lewel_plugins.payoff.experiment import Experiment as Images
from lewel_plugins.payoff.protocol import Networks, Protocol
from lewel_plugins.payoff.verdicts import Verdict

from . import scenes
from .experiments import SEEDS, Experiment

LABELS = 'labels.json'
Say = Callable[[str], None]


def measure_fresh(
    experiment: Experiment, folder: Path, work: Path, new_seeds: bool = True, frozen: bool = False, say: Say = print
) -> list[list[Verdict]]:
    """Answer all questions of a finished experiment again, on fresh images; goes on after a kill.

    Rates and lengths are those that the experiment has chosen. The training images are its own, too.

    Args:
        experiment: The experiment.
        folder: The folder of its answer.
        work: Folder to write to.
        new_seeds: Whether to measure new networks.
        frozen: Whether to leave out what has to be trained again.
        say: Is called with each line for the user.

    Returns:
        The answers of the experiment's seeds, whose networks are the same, trained again where they were not kept; and
        those of as many new seeds: new networks, label draws and heads. Empty if nothing is left to measure.
    """
    seeds = 2 * SEEDS if new_seeds else SEEDS
    request = replace(check_request(**experiment.request()), seeds=seeds)
    session, material, tune = _open(experiment, request, RunFolder(folder), work, say)
    design = replace(session.choice().design, seeds=seeds)
    if frozen:
        design = replace(design, tasks=tuple(task for task in design.tasks if task in FROZEN))
    if not design.tasks:
        return []
    protocol = Protocol(
        work, design, material, _networks(session, request, work, say), request.settings.finetune_epochs, say, tune
    )
    protocol.rates.update(read_json(folder / RESULT)['rates'])  # type: ignore[call-overload, index]
    outcomes = protocol.run()
    resample = None if tune is None else material.resample
    return _answers(design, outcomes, material.test_groups, resample)


def _open(
    experiment: Experiment, request: Request, folder: RunFolder, work: Path, say: Say
) -> tuple[Session, Any, Any]:
    """Return the session of an answer, its images with fresh ones to test with, and what trains a network on them."""
    images = Images.from_json(folder.record()['experiment'], folder.path)
    if dense_task(str(experiment.labels)) is None:
        session = Session(request, images, folder, folder.path, say)
        return session, _with_scenes(session.material, experiment.fresh / 'val', work / 'work'), None
    labels = DenseLabels.read(folder / LABELS)
    session = DenseSession(labels, request, images, folder, folder.path, say)
    fresh = read_dense_labels(labels.task, str(experiment.fresh / 'garments'))
    known, count = len(labels.images), len(fresh.images)
    pairs = work.resolve() / 'pairs'
    material = replace(
        session.material,
        labels=replace(
            labels, images=(*_linked(labels.images, pairs, 'known'), *_linked(fresh.images, pairs, 'fresh'))
        ),
        targets=(*images.targets, *([0] * count)),
        groups=(*images.groups, *range(max(images.groups) + 1, max(images.groups) + 1 + count)),
        test=tuple(range(known, known + count)),
    )
    settings = request.settings
    return session, material, partial(train_dense, gpus=settings.gpus, workers=settings.workers)


def _linked(images: Sequence[Any], folder: Path, name: str) -> list[Any]:
    """Return images by links to them and to their masks in one pair of folders, as mmseg needs it."""
    result = []
    for image in images:
        links = {}
        for kind, target in (('path', image.path), ('mask', image.mask)):
            if target:
                link = folder / {'path': 'images', 'mask': 'masks'}[kind] / name / Path(target).name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(Path(target).resolve())
                links[kind] = str(link)
        result.append(replace(image, **links))
    return result


def _with_scenes(material: Any, folder: Path, lists: Path) -> Any:
    """Return labeled images that test with the scenes of a folder, in groups of the same garment."""
    paths = scenes.single_scenes(folder)
    known, first = len(material.paths), max(material.groups) + 1
    return replace(
        material,
        paths=(*material.paths, *map(str, paths)),
        targets=(*material.targets, *(material.classes.index(path.parent.name) for path in paths)),
        groups=(*material.groups, *(first + int(path.stem) % scenes.FRESH_GARMENTS for path in paths)),
        test=tuple(range(known, known + len(paths))),
        folder=lists,
    )


def _networks(session: Session, request: Request, work: Path, say: Say) -> Networks:
    """Return the networks of an answer for its seeds, and others for the seeds beyond."""
    old, new = session.networks, ArmNetworks(request, session.experiment, work, say)

    def made_by(seed: int) -> ArmNetworks:
        return old if seed < SEEDS else new

    return Networks(
        lambda seed: made_by(seed).random(seed),
        old.weights,
        lambda arm, seed: made_by(seed).pretrained(arm, seed),
    )


def _answers(design: Design, outcomes: list[Outcome], groups: list[int], resample: Any) -> list[list[Verdict]]:
    """Return the answers of the first seeds, and of those beyond if there are any."""
    parts = []
    for first in range(0, design.seeds, SEEDS):
        part = [o._replace(seed=o.seed - first) for o in outcomes if first <= o.seed < first + SEEDS]
        parts.append(answer(replace(design, seeds=SEEDS), part, groups, 1.0, resample=resample).verdicts)
    return parts
