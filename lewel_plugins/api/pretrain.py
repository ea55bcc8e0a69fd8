"""``lewel pretrain``: from a folder of images to a trained backbone."""

import contextlib
import io
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import GPU
from lewel_plugins.planning.findings import refuse_errors
from lewel_plugins.planning.machine import gpus_of_this_start

from .display import make_display
from .preparation import Options, Preparation, prepare
from .run_folder import (
    BACKBONE,
    BANK,
    BROKEN,
    CHECK,
    CONFIG,
    DISTINCT,
    DUPLICATES,
    HOLDOUT,
    IMAGES,
    MONITORED,
    PLAN,
    QUERIES,
    REPORT,
    SMALL,
    START,
    RunFolder,
    check_data_root,
)
from .snapshot import check_snapshot
from .training import Run, Say, attempt, check_writable, print_plan, train

if TYPE_CHECKING:
    from lewel_plugins.planning.compose import Images

_SCANNED = (BROKEN, DUPLICATES, DISTINCT, SMALL)
_WRITTEN = (IMAGES, MONITORED, HOLDOUT, BANK, QUERIES, *_SCANNED, CHECK, START, CONFIG)
_MEASURED = 120.0  # seconds that a measurement before the training may take


def pretrain(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    method: str = 'lewel-m',
    backbone: str | None = None,
    weights: str | os.PathLike | None = None,
    epochs: int | None = None,
    hours: float | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    gpus: int | str | None = 'all',
    workers: int | None = None,
    labels: str | os.PathLike | None = None,
    holdout: int | None = None,
    seed: int = 0,
    overrides: Sequence[str] | None = None,
    dry_run: bool = False,
    say: Say = print,
) -> Run:
    """Train a backbone on images without labels. The same call goes on with an unfinished run.

    Args:
        images: Folders, image files, or ``.txt`` lists of files.
        out: Folder of the run.
        method: Name of the method.
        backbone: Name of the backbone; that of the weights, or else by the number of images, by default.
        weights: Weights to start from: a file, the folder of a run, ``torchvision:ARCH.WEIGHTS``, or an address.
        epochs: Length; by the number of images by default.
        hours: Length by time.
        batch_size: Images per step on all GPUs together.
        image_size: Side of the views in pixels.
        gpus: Number of GPUs, ``'all'``, or 0 for the CPU.
        workers: Processes per GPU that load images; a run may go on with another number.
        labels: Classes of images, for the k-NN accuracy during training: class folders, or a csv ``path,label``; or
            boxes (COCO json, VOC folder) or masks (``images`` and ``masks``), of which an image has the main class.
        holdout: Images that are never trained on.
        seed: Seed of the run.
        overrides: Settings of the config, each ``KEY=VALUE``.
        dry_run: Only look at folder and machine, and try some steps, as :func:`check` does; nothing is written.
        say: Receives each line that the command prints.

    Returns:
        The run: finished, stopped after a checkpoint, or planned.

    Raises:
        SetupError: Something does not allow the run, or a dry run finds that it would not work; nothing has been
            written then.
        TrainingError: The training has failed. The same call goes on from its last checkpoint.
    """
    options = Options.of(
        images,
        overrides,
        gpus,
        weights=weights,
        labels=labels,
        method=method,
        backbone=backbone,
        epochs=epochs,
        hours=hours,
        batch_size=batch_size,
        image_size=image_size,
        workers=workers,
        holdout=holdout,
        seed=seed,
    )
    folder = RunFolder(out)
    folder.check(options.shaping())
    if folder.is_finished:
        say(f'already finished: {folder.summary}')
        return Run(folder.path, 'finished')
    if dry_run:
        return _plan(options, folder, say)
    preparation, workers = None, None
    if folder.is_new:
        from .measurements.room import disk_bytes

        preparation = prepare(options, say=say)
        check_data_root(preparation.root)
        preparation = _measure(preparation, say)
        devices = preparation.plan['gpus']
        check_writable(folder, disk_bytes(preparation))
        print_plan(preparation.plan, preparation.findings, say)
    else:
        for finding in check_snapshot(folder, options.images):
            say(str(finding))
        devices, workers = gpus_of_this_start(options.request.gpus, say), options.request.workers
    with folder.locked() as lock:
        if preparation is not None:
            _write(folder, preparation)
        display = make_display(folder.path, _title(folder, devices), _directions(folder), say)
        return train(folder, lock, say, lambda: _complete(folder, say), display, devices, workers)


def _plan(options: Options, folder: RunFolder, say: Say) -> Run:
    """Check a training, and return it as planned.

    Raises:
        SetupError: It would not work; with the text of the first error.
    """
    from .check import check_options

    answer = check_options(options, folder.path, say=say)
    refuse_errors(answer.findings)
    return Run(folder.path, 'planned', answer.plan)


def _measure(preparation: Preparation, say: Say) -> Preparation:
    """Plan anew with what has to be measured: the memory of a step on GPUs, and its time if that sets the length.

    Raises:
        SetupError: Eight images do not fit, or the length is to follow from a step that cannot be timed.
    """
    from .measurements.apart import Unmeasured
    from .measurements.memory import measure_memory
    from .measurements.step import measure_step

    if preparation.plan['gpus']:
        try:
            preparation = preparation.with_facts(memory=measure_memory(preparation, _MEASURED))
        except Unmeasured as error:
            say(f'note: the memory of a step is unknown: {error}')
    if preparation.options.request.hours is not None:
        try:
            step = measure_step(preparation, _MEASURED)
        except Unmeasured as error:
            raise SetupError(f'--hours needs a timed step, but {error}; set --epochs instead') from None
        preparation = preparation.with_facts(**step.facts())
    return preparation


def _write(folder: RunFolder, preparation: Preparation) -> None:
    """Write all that the run is made of; ``plan.json`` last, because it makes the folder a run."""
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.first_written(preparation.options.shaping(), _WRITTEN):
        _write_parts(folder, preparation)


def _write_parts(folder: RunFolder, preparation: Preparation) -> None:
    contents, resolved = preparation.scan, preparation.plan
    root = preparation.root
    train, held_out, monitored = preparation.parts()
    folder.write_images(train, root, contents.digests)
    folder.write_paths(MONITORED, (os.path.relpath(path, root) for path in monitored))
    if held_out:
        folder.write_paths(HOLDOUT, (os.path.relpath(path, root) for path in held_out))
    bank, queries = preparation.labeled_parts()
    if bank:
        folder.write_labeled(BANK, bank, root)
        folder.write_labeled(QUERIES, queries, root)
    if contents.distinct is not None:
        folder.write_paths(DISTINCT, map(os.path.abspath, contents.distinct))
    folder.write_findings(preparation.findings, contents.left_out, contents.copies)
    if preparation.weights is not None:
        preparation.weights.write(folder / START)
    num_classes = max(preparation.classes.targets.values()) + 1 if preparation.classes and bank else 0
    config = preparation.config(_images(folder, root, bool(held_out), num_classes), '{{ fileDirname }}/' + START)
    folder.write_config(config.pretty_text)
    about = asdict(preparation.facts.folder)
    folder.write_record(preparation.options.shaping(), plan=resolved.as_dict(), folder=about)


def _images(folder: RunFolder, root: str, has_holdout: bool, num_classes: int) -> 'Images':
    """Return the data sets of the run, with paths relative to its config, so that both can move together."""
    from lewel_plugins.planning.compose import Images

    def dataset(name: str, **options: Any) -> dict[str, Any]:
        data_root = '{{ fileDirname }}/' + os.path.relpath(root, folder.path.resolve())
        list_file = '{{ fileDirname }}/' + name
        return dict(type='lewel_plugins.ImageList', list_file=list_file, data_root=data_root, **options)

    known = dict(label_file='{{ fileDirname }}/' + BANK) if num_classes else {}
    return Images(
        train=dataset(IMAGES, **known),
        monitored=dataset(MONITORED),
        held_out=dataset(HOLDOUT) if has_holdout else None,
        bank=dataset(BANK, labels=True) if num_classes else None,
        queries=dataset(QUERIES, labels=True) if num_classes else None,
        num_classes=num_classes or None,
    )


def _title(folder: RunFolder, gpus: Sequence[GPU]) -> str:
    plan = {name: folder.planned(name) for name in ('method', 'backbone', 'images')}
    device = f'{len(gpus)} × {gpus[0].name}' if gpus else 'CPU'
    parts = [plan['method'], plan['backbone'], f'{plan["images"]:,} images', device, str(folder.path)]
    return f'{" · ".join(parts)}   plan: {folder / PLAN}'


def _directions(folder: RunFolder) -> int:
    from lewel_plugins.planning.backbones import find_backbone

    return find_backbone(folder.planned('backbone')).channels


def _complete(folder: RunFolder, say: Callable[[str], None]) -> None:
    """Write the backbone and the report of a training that has ended; one that fails loses nothing."""
    from .export import export
    from .report import report

    def write_backbone() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            export(folder.path, 'safetensors', folder / BACKBONE, say=lambda text: None)
        say(f'backbone: {folder / BACKBONE}')

    def write_report() -> None:
        say(f'report:   {report(folder.path, out=folder / REPORT)}')

    run, backbone = shlex.quote(str(folder.path)), shlex.quote(str(folder / BACKBONE))
    again = f'lewel export {run} --to safetensors --out {backbone}'
    attempt(write_backbone, 'no backbone', again, folder, say)
    attempt(write_report, 'no report', f'lewel report {run}', folder, say)
