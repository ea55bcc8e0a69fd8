"""``lewel worth``: does pretraining pay on these images?"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_bytes, write_text
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.payoff.dense_labels import DenseLabels, check_dense_split, dense_task, read_dense_labels
from lewel_plugins.payoff.experiment import Experiment, prepare_experiment
from lewel_plugins.payoff.quiet import quiet
from lewel_plugins.payoff.splits import check_split
from lewel_plugins.planning.labels import read_labels
from lewel_plugins.planning.listing import list_images
from lewel_plugins.planning.machine import gpus_of_this_start

from .finetune import require_library
from .run_folder import LOG, PLAN, RunFolder, reading
from .training import Say, announced_interrupt
from .worth_networks import IMAGES_LIST, NETWORK_CONFIG, ArmNetworks, Stopped
from .worth_pretrained import check_start
from .worth_request import Request, check_request
from .worth_session import Session, Worth, print_cost

LABELS = 'labels.json'  # boxes or masks of the labeled images


def worth(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    labels: str | os.PathLike,
    out: str | os.PathLike,
    *,
    weights: str | os.PathLike | None = None,
    pretrained: str | os.PathLike | None = None,
    fractions: Sequence[float] = (0.01, 0.1, 1),
    seeds: int = 5,
    margin: float = 1.0,
    group_by: str | None = None,
    hours: float | None = None,
    overrides: Sequence[str] | None = None,
    dry_run: bool = False,
    say: Say = print,
) -> Worth:
    """Measure whether pretraining pays on images. The same call goes on with an unfinished measurement.

    Args:
        images: Folders, image files, or ``.txt`` lists of files, to pretrain on.
        labels: Class folders, or a csv with the columns ``path`` and ``label``; or boxes, as COCO json or a VOC
            folder; or masks, as ``images`` and ``masks`` in one folder.
        out: Folder of the answer.
        weights: Weights to compare with and to continue from: a file, the folder of a run, or an address.
        pretrained: Folder of a run, which is judged instead of networks that are pretrained anew per seed.
        fractions: Shares of the labels to train with; all labels are always among them.
        seeds: Number of seeds; fewer than three give numbers without a verdict.
        margin: The least gain that matters, in points.
        group_by: ``folder`` or a column of the csv: images that are not split between training and test.
        hours: Time to take at most.
        overrides: Settings ``KEY=VALUE``: those of the experiment (:class:`Settings`), or of the config of pretraining.
        dry_run: Whether to print the cost and to write nothing.
        say: Is called with each line that the command would print.

    Raises:
        SetupError: Something does not allow the measurement; nothing has been written then.
    """
    request = check_request(images, labels, weights, pretrained, fractions, seeds, margin, group_by, hours, overrides)
    folder = RunFolder(out)
    folder.check(request.shaping())
    if folder.is_new:
        _check_pretraining(request, say)
    experiment, dense = _experiment(folder, request, say)
    devices = [gpu.index for gpu in gpus_of_this_start(request.settings.gpus, say)]
    from lewel_plugins.running.devices import computing_on  # imports torch

    if dry_run:
        with computing_on(devices), tempfile.TemporaryDirectory() as scratch, quiet(say, None) as show:
            session = _session(dense, request, experiment, folder, Path(scratch), show)
            print_cost(session.choice(), show)
        return Worth(folder.path, 'planned')
    network = None
    if folder.is_new:
        with computing_on(devices), quiet(say, None) as show:
            network = _network_config(request, experiment, show)
    with folder.locked():
        if network is not None:
            _write_plan(folder, request, experiment, dense, network)
        with computing_on(devices), quiet(say, folder / LOG) as show, announced_interrupt(show):
            try:
                return _session(dense, request, experiment, folder, folder.path, show).run()
            except Stopped as stop:
                show(f'stopped after a checkpoint; the same command goes on with {folder.path}')
                return Worth(folder.path, stop.status)
            except KeyboardInterrupt:
                show(f'interrupted; the same command goes on with {folder.path}')
                return Worth(folder.path, 'interrupted')


def _check_pretraining(request: Request, say: Say) -> None:
    """Refuse weights and settings of pretraining before the images are looked at."""
    from .preparation import Options, check_early

    settings = request.settings
    options = Options.of(
        request.images, request.overrides, settings.gpus, weights=request.weights, **settings.pretraining()
    )
    weights = check_early(options, say)
    if request.pretrained is not None and weights is not None:
        check_start(request.pretrained, weights)


def _session(dense: DenseLabels | None, request: Request, *arguments: Any) -> Session:
    if dense is None:
        return Session(request, *arguments)
    from .worth_dense import DenseSession

    return DenseSession(dense, request, *arguments)


def _experiment(folder: RunFolder, request: Request, say: Say) -> tuple[Experiment, DenseLabels | None]:
    """Return the images of an experiment, and their boxes or masks if these are the labels.

    They are as they were when it started, if it has.
    """
    if not folder.is_new:
        with reading(folder / PLAN):
            experiment = Experiment.from_json(folder.record()['experiment'], folder.path)
        has_dense = (folder / LABELS).is_file()
        return experiment, DenseLabels.read(folder / LABELS) if has_dense else None
    listing = list_images(request.images)
    dense = _dense_labels(request)
    labels = read_labels(request.labels, listing.roots) if dense is None else dense.rarest_classes()
    from lewel_plugins.running.resources import cores

    settings = request.settings
    experiment = prepare_experiment(
        listing,
        labels,
        request.group_by,
        settings.test_share,
        settings.transductive,
        max(1, cores() - 1),
        say,
        check_split if dense is None else check_dense_split,
    )
    if dense is not None:
        dense = dense.of(experiment.paths)
        lacks = dense.warnings(experiment.train, experiment.test)
        experiment = replace(experiment, warnings=(*experiment.warnings, *lacks))
    for warning in experiment.warnings:
        say(f'warning: {warning}')
    if request.pretrained is not None and not settings.transductive:
        _check_unseen(Path(request.pretrained), experiment)
    return experiment, dense


def _dense_labels(request: Request) -> DenseLabels | None:
    """Return boxes or masks; None if the labels are others.

    Raises:
        SetupError: They are wrong, their library is missing, or nothing would be measured.
    """
    task = dense_task(os.path.expanduser(request.labels))
    if task is None:
        return None
    if not request.settings.finetune:
        raise SetupError(f'finetune=False leaves nothing to measure: these labels train a {task}')
    require_library(task)
    return read_dense_labels(task, os.path.expanduser(request.labels))


def _check_unseen(run: Path, experiment: Experiment) -> None:
    """Refuse a network that was trained on test images, or on images that resemble them."""
    from lewel_plugins.datasets.image_list import read_image_list

    data = RunFolder(run).config().train_dataloader.dataset.dataset
    trained = {os.path.realpath(os.path.join(data.data_root, path)) for path in read_image_list(data.list_file)}
    allowed = {os.path.realpath(path) for path in experiment.pretraining}
    tests = {os.path.realpath(experiment.paths[i]) for i in experiment.test}
    seen = len(trained & tests)
    if seen or not trained <= allowed:
        what = (
            f'{seen:,} of the {len(tests):,} test images' if seen else 'images that are not among those to pretrain on'
        )
        raise SetupError(
            f'{run} was trained on {what}; leave out --pretrained, or add --set transductive=True, which marks every '
            'number'
        )


def _network_config(request: Request, experiment: Experiment, say: Say) -> str:
    """Return the config of pretraining, before anything is written to the folder of the answer.

    Raises:
        SetupError: A setting of pretraining does not suit the number of images, or the machine.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ArmNetworks(request, experiment, Path(scratch), say)
        return (Path(scratch) / NETWORK_CONFIG).read_text(encoding='utf-8')


def _write_plan(
    folder: RunFolder, request: Request, experiment: Experiment, dense: DenseLabels | None, network: str
) -> None:
    """Write what the answer is made of; ``plan.json`` last, because it makes the folder a run."""
    lines = [path_line(os.path.relpath(path, folder.path.resolve())) for path in experiment.pretraining]
    with folder.first_written(request.shaping(), (IMAGES_LIST, NETWORK_CONFIG, LABELS)):
        write_bytes(folder / IMAGES_LIST, encode_lines(lines))
        write_text(folder / NETWORK_CONFIG, network)
        if dense is not None:
            dense.write(folder / LABELS)
        folder.write_record(request.shaping(), experiment=experiment.as_json(folder.path))
