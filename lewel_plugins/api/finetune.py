"""``lewel finetune``: from a backbone and labels to a detector or a segmenter."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_checkpoint, write_json
from lewel_plugins.finetuning import LIBRARIES, TASKS, FinetuneFacts, LabelFacts, Labels, plan, read_labels
from lewel_plugins.finetuning.start import read_start
from lewel_plugins.finetuning.written import HERE, write_labels
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.planning.settings import Settings

from .run_folder import CHECK, LOG, PLAN, RunFolder
from .training import Run, Say, TrainingError, count_gpus, print_plan, train

START, PICTURE = 'start/backbone.pth', 'predictions.png'  # beside the checkpoints it would be taken for one
_SHOWN = {  # metrics to print
    'coco/bbox_mAP': 'boxes: AP',
    'coco/bbox_mAP_50': 'boxes: AP at IoU 0.5',
    'coco/segm_mAP': 'masks: AP',
    'coco/segm_mAP_50': 'masks: AP at IoU 0.5',
    'mIoU': 'mIoU in percent',
    'aAcc': 'pixels of the right class in percent',
}


def finetune(
    task: str,
    start: str | os.PathLike,
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    epochs: int | None = None,
    gpus: int | str | None = 'all',
    seed: int = 0,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    say: Say = print,
) -> Run:
    """Train a detector or a segmenter on labels. The same call goes on with an unfinished run.

    Args:
        task: ``detector`` or ``segmenter``.
        start: What the backbone starts from: folder of a run, checkpoint of this package or mmpretrain, weights of
            torchvision or timm, or ``random``; ``random:resnet50`` names the network as well.
        data: A COCO json, a folder with one or two of them, a VOC folder, or a folder with ``images`` and ``masks``.
        out: Folder of the run.
        epochs: Length; by the number of images by default.
        gpus: Number of GPUs, ``'all'``, or 0 for the CPU.
        seed: Seed of the run.
        overrides: Settings of the config, each ``KEY=VALUE``.
        dry_run: Only print the plan; nothing is written.
        say: Receives each line that the command prints.

    Returns:
        The run: finished, stopped after a checkpoint, or planned.

    Raises:
        SetupError: Something does not allow the run; nothing has been written then.
        TrainingError: The training has failed.
    """
    start, data = os.fspath(start), os.fspath(data)
    if task not in TASKS:
        raise SetupError(f'unknown task {task!r}; the tasks are {", ".join(TASKS)}')
    count = count_gpus(gpus)
    folder = RunFolder(out)
    request = dict(task=task, start=start, data=data, epochs=epochs, seed=seed, overrides=list(overrides))
    folder.check(request)
    if folder.is_finished:
        say(f'already finished: {folder.path}')
        return Run(folder.path, 'finished')
    require_library(task)
    prepared = _prepare(task, start, data, epochs, count, overrides, say) if folder.is_new else None
    if dry_run:
        return Run(folder.path, 'planned')
    with folder.locked() as lock:
        if prepared is not None:
            _write(folder, request, *prepared)
        return train(folder, lock, say, lambda: _complete(folder, say))


def require_library(task: str) -> None:
    """Refuse a task whose library is not installed.

    Raises:
        SetupError: It is not; states how to install it.
    """
    library = LIBRARIES[task]
    if find_spec(library) is None:
        raise SetupError(f'a {task} needs {library}, which is not installed: pip install -r requirements/transfer.txt')
    mmcv = find_spec('mmcv')
    folders = mmcv.submodule_search_locations or () if mmcv else ()
    if not any(path for folder in folders for path in Path(folder).glob('_ext*')):
        raise SetupError(f"a {task} needs mmcv's compiled operations, missing in mmcv-lite: see docs/install.md")


_Prepared = tuple[Settings, Labels, dict[str, Any] | None, dict[str, Any]]


def _prepare(
    task: str, start: str, data: str, epochs: int | None, gpus: int | None, overrides: Sequence[str], say: Say
) -> _Prepared:
    """Read labels and weights, plan, and print the plan. Nothing is written."""
    labels = read_labels(task, data)
    from lewel_plugins.running.command_line import parse_settings  # imports mmengine

    options = parse_settings(overrides, '--set')
    weights, backbone = read_start(start)
    resolved = plan(task, FinetuneFacts(LabelFacts.of(labels), weights, machine_facts()), epochs, gpus)
    print_plan(resolved, labels.findings, say)
    return resolved, labels, backbone, options


def _write(
    folder: RunFolder,
    request: Mapping[str, Any],
    resolved: Settings,
    labels: Labels,
    backbone: dict[str, Any] | None,
    options: dict[str, Any],
) -> None:
    """Write all that the run is made of; ``plan.json`` last, because it makes the folder a run."""
    from lewel_plugins.finetuning.compose import compose

    written = write_labels(labels, folder.path)
    if backbone is not None:
        write_checkpoint(folder / START, backbone)
    start = None if backbone is None else f'{HERE}/{START}'
    config = compose(request['task'], resolved, written, start, request['seed'])
    config.merge_from_dict(options)
    folder.write_config(config.pretty_text)
    findings = [dict(level=f.level, code=f.code, text=f.text, files=list(f.files)) for f in labels.findings]
    write_json(folder / CHECK, dict(findings=findings))
    write_json(folder / PLAN, dict(request=request, plan=resolved.as_dict(), classes=labels.classes))


def _complete(folder: RunFolder, say: Say) -> None:
    """Print the metrics, and draw predictions."""
    run = Run(folder.path, 'finished')
    for name, text in _SHOWN.items():
        if name in run.metrics:
            say(f'  {text:<40} {run.metrics[name]:.4g}')
    from lewel_plugins.planning.compose import configs_folder

    script = configs_folder().parent / 'tools' / 'analysis' / 'predictions.py'
    command = [sys.executable, str(script), str(run.config), str(run.checkpoint), '--out', str(folder / PICTURE)]
    with (folder / LOG).open('ab') as log:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode
    if status:
        raise TrainingError(f'the training has ended, but predictions cannot be drawn; log: {folder / LOG}')
    score = ', detections with a score of 0.3 or more' if 'coco/bbox_mAP' in run.metrics else ''
    say(f'predictions beside the labels{score}: {folder / PICTURE}')
