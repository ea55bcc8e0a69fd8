"""``lewel worth``: does pretraining pay on these images?"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_bytes, write_json
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.payoff.experiment import Experiment, prepare_experiment
from lewel_plugins.payoff.quiet import quiet
from lewel_plugins.planning.labels import read_labels
from lewel_plugins.planning.listing import list_images

from .run_folder import LOG, PLAN, RunFolder
from .training import Say
from .worth_networks import IMAGES_LIST, Stopped
from .worth_request import Request, check_request
from .worth_session import Session, Worth, print_cost


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
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    say: Say = print,
) -> Worth:
    """Measure whether pretraining pays on images. The same call goes on with an unfinished measurement.

    Args:
        images: Folders, image files, or ``.txt`` lists of files, to pretrain on.
        labels: Class folders, or a csv with the columns ``path`` and ``label``.
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
    names = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    request = check_request(names, labels, weights, pretrained, fractions, seeds, margin, group_by, hours, overrides)
    folder = RunFolder(out)
    folder.check(request.shaping())
    experiment = _experiment(folder, request, say)
    if dry_run:
        with tempfile.TemporaryDirectory() as scratch, quiet(say, None) as show:
            session = Session(request, experiment, folder, Path(scratch), show)
            print_cost(session.choice(), show)
        return Worth(folder.path, 'planned')
    with folder.locked():
        if folder.is_new:
            _write_plan(folder, request, experiment)
        with quiet(say, folder / LOG) as show:
            try:
                return Session(request, experiment, folder, folder.path, show).run()
            except Stopped as stop:
                show(f'stopped after a checkpoint; the same command goes on with {folder.path}')
                return Worth(folder.path, stop.status)
            except KeyboardInterrupt:
                show(f'interrupted; the same command goes on with {folder.path}')
                return Worth(folder.path, 'interrupted')


def _experiment(folder: RunFolder, request: Request, say: Say) -> Experiment:
    """Return the images of an experiment: as they were when it started, if it has."""
    if not folder.is_new:
        return Experiment.from_json(folder.record()['experiment'], folder.path)
    listing = list_images(request.images)
    labels = read_labels(request.labels, listing.roots)
    from lewel_plugins.running.resources import cores

    settings = request.settings
    experiment = prepare_experiment(
        listing, labels, request.group_by, settings.test_share, settings.transductive, max(1, cores() - 1), say
    )
    for warning in experiment.warnings:
        say(f'warning: {warning}')
    if request.pretrained is not None and not settings.transductive:
        _check_unseen(Path(request.pretrained), experiment)
    return experiment


def _check_unseen(run: Path, experiment: Experiment) -> None:
    """Refuse a network that was trained on test images, or on images that resemble them."""
    from mmengine.config import Config

    from lewel_plugins.datasets.image_list import read_image_list

    data = Config.fromfile(run / 'config.py').train_dataloader.dataset.dataset
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


def _write_plan(folder: RunFolder, request: Request, experiment: Experiment) -> None:
    """Write what the answer is made of; ``plan.json`` last, because it makes the folder a run."""
    lines = [path_line(os.path.relpath(path, folder.path)) for path in experiment.pretraining]
    write_bytes(folder / IMAGES_LIST, encode_lines(lines))
    record = dict(request=request.shaping(), experiment=experiment.as_json(folder.path))
    write_json(folder / PLAN, record)
