"""``lewel pretrain``: from a folder of images to a trained backbone."""

import contextlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_json
from lewel_plugins.planning import Plan

from .display import make_display
from .preparation import Options, Preparation, prepare
from .run_folder import (
    BACKBONE,
    BANK,
    DISTINCT,
    HOLDOUT,
    IMAGES,
    MONITORED,
    PLAN,
    QUERIES,
    REPORT,
    START,
    RunFolder,
)
from .snapshot import check_snapshot
from .training import Run, Say, check_writable, print_plan, train

if TYPE_CHECKING:
    from lewel_plugins.planning.compose import Images

_MEASURED = 120.0  # seconds that a measurement before the training may take
_LOGS = 50e6  # bytes of logs, lists and the report
_CHECKPOINTS = 4  # that are on the disk at a time: three, and the one that is being written
# Bytes per parameter of the backbone in a checkpoint: weights, teacher, momentum of the optimizer, and the heads.
_BYTES = 4 * 3 * 1.5


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
    overrides: Sequence[str] = (),
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
        workers: Processes per GPU that load images.
        labels: Classes of images, for the k-NN accuracy during training: class folders, or a csv ``path,label``.
        holdout: Images that are never trained on.
        seed: Seed of the run.
        overrides: Settings of the config, each ``KEY=VALUE``.
        say: Receives each line that the command prints.

    Returns:
        The run: finished, or stopped after a checkpoint.

    Raises:
        SetupError: Something does not allow the run; nothing has been written then.
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
    preparation = None
    if folder.is_new:
        preparation = _measure(prepare(options, say=say), say)
        check_writable(folder, _needed(preparation.plan))
        print_plan(preparation.plan, preparation.findings, say)
    else:
        for finding in check_snapshot(folder, options.images):
            say(str(finding))
    with folder.locked() as lock:
        if preparation is not None:
            _write(folder, preparation)
        record = folder.record()
        display = make_display(folder.path, _title(folder, record), _directions(record), say)
        return train(folder, lock, say, lambda: _complete(folder, say), display)


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


def _needed(plan: Plan) -> int:
    parameters = 1e6 * (25 if plan.backbone.channels > 512 else 12)
    return int(_CHECKPOINTS * _BYTES * parameters + _LOGS)


def _write(folder: RunFolder, preparation: Preparation) -> None:
    """Write all that the run is made of; ``plan.json`` last, because it makes the folder a run."""
    contents, resolved = preparation.scan, preparation.plan
    root = preparation.root
    train, held_out, monitored = preparation.parts()
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_images(train, root)
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
    config = preparation.config(_images(folder, root, bool(held_out), bool(bank)), '{{ fileDirname }}/' + START)
    folder.write_config(config.pretty_text)
    about = dict(folder=asdict(preparation.facts.folder))
    write_json(folder / PLAN, dict(request=preparation.options.shaping(), plan=resolved.as_dict(), **about))


def _images(folder: RunFolder, root: str, has_holdout: bool, has_labels: bool) -> 'Images':
    """Return the data sets of the run, with paths relative to its config, so that both can move together."""
    from lewel_plugins.planning.compose import Images

    def dataset(name: str, **options: Any) -> dict[str, Any]:
        data_root = '{{ fileDirname }}/' + os.path.relpath(root, folder.path.resolve())
        list_file = '{{ fileDirname }}/' + name
        return dict(type='lewel_plugins.ImageList', list_file=list_file, data_root=data_root, **options)

    return Images(
        train=dataset(IMAGES),
        monitored=dataset(MONITORED),
        held_out=dataset(HOLDOUT) if has_holdout else None,
        bank=dataset(BANK, labels=True) if has_labels else None,
        queries=dataset(QUERIES, labels=True) if has_labels else None,
    )


def _title(folder: RunFolder, record: Mapping[str, Any]) -> str:
    plan = {name: entry['value'] for name, entry in record['plan'].items()}
    gpus = plan['gpus']
    device = f'{len(gpus)} × {gpus[0]}' if gpus else 'CPU'
    parts = [plan['method'], plan['backbone'], f'{plan["images"]:,} images', device, str(folder.path)]
    return f'{" · ".join(parts)}   plan: {folder / PLAN}'


def _directions(record: Mapping[str, Any]) -> int:
    from lewel_plugins.planning.backbones import find_backbone

    return find_backbone(record['plan']['backbone']['value']).channels


def _complete(folder: RunFolder, say: Callable[[str], None]) -> None:
    """Write the backbone and the report of a training that has ended; a report that fails loses nothing."""
    from .export import export
    from .report import report

    with contextlib.redirect_stdout(io.StringIO()):
        export(folder.path, 'safetensors', folder / BACKBONE, say=lambda text: None)
    say(f'backbone: {folder / BACKBONE}')
    try:
        say(f'report:   {report(folder.path, out=folder / REPORT)}')
    except SetupError as error:
        say(f'warning: no report: {error}')
