"""``lewel finetune``: from a backbone and labels to a detector or a segmenter."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_checkpoint, write_json
from lewel_plugins.finetuning import LIBRARIES, TASKS, FinetuneFacts, LabelFacts, Labels, plan, read_labels
from lewel_plugins.finetuning.decodable import without_broken
from lewel_plugins.finetuning.start import check_start, read_start
from lewel_plugins.finetuning.written import HERE, WrittenLabels, write_labels
from lewel_plugins.planning.arguments import path_text, settings_of, whole_number
from lewel_plugins.planning.devices import visible_only
from lewel_plugins.planning.facts import GPU
from lewel_plugins.planning.machine import gpus_of_this_start, machine_facts
from lewel_plugins.planning.request import MOST_EPOCHS, MOST_SEED
from lewel_plugins.planning.settings import Settings
from lewel_plugins.running.child_processes import python_environment

from .run_folder import CHECK, CONFIG, LOG, RunFolder
from .training import Run, Say, attempt, count_gpus, last_error, print_plan, train

if TYPE_CHECKING:
    from mmengine.config import Config

_OPTIONS = ('--epochs', '--seed', '--out', '--gpus')
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
    overrides: Sequence[str] | None = None,
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
    if task not in TASKS:
        raise SetupError(f'unknown task {task!r}; the tasks are {", ".join(TASKS)}')
    start, data = path_text('RUN|WEIGHTS', start), path_text('--data', data)
    count, seed = count_gpus(gpus), whole_number('--seed', seed, 0, MOST_SEED)
    epochs = None if epochs is None else whole_number('--epochs', epochs, 1, MOST_EPOCHS)
    overrides = settings_of(overrides)
    folder = RunFolder(out)
    request = dict(task=task, start=start, data=data, epochs=epochs, seed=seed, overrides=list(overrides))
    folder.check(request)
    if folder.is_finished:
        say(f'already finished: {folder.path}')
        return Run(folder.path, 'finished')
    check_start(start)
    require_library(task)
    prepared = _prepare(task, start, data, epochs, count, overrides, say) if folder.is_new else None
    if dry_run:
        return Run(folder.path, 'planned', prepared[0] if prepared is not None else None)
    devices = gpus_of_this_start(count, say) if prepared is None else prepared[0]['gpus']
    with folder.locked() as lock:
        if prepared is not None:
            with folder.first_written(request, (START, CONFIG, CHECK)):
                _write(folder, request, *prepared)
        return train(folder, lock, say, lambda: _complete(folder, say, devices), gpus=devices)


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
    machine = machine_facts(gpus)
    labels = without_broken(labels, machine.cores, say)
    resolved = plan(task, FinetuneFacts(LabelFacts.of(labels), weights, machine), epochs, gpus)
    if options:  # settings that the config has no place for are refused before anything is written
        with tempfile.TemporaryDirectory() as scratch:
            _config(task, resolved, write_labels(labels, Path(scratch)), None, 0, options)
    print_plan(resolved, labels.findings, say)
    return resolved, labels, backbone, options


def _config(
    task: str, resolved: Settings, written: WrittenLabels, start: str | None, seed: int, options: dict[str, Any]
) -> 'Config':
    from lewel_plugins.finetuning.compose import compose
    from lewel_plugins.planning.config_keys import OPTIONS, merge_settings

    config = compose(task, resolved, written, start, seed)
    merge_settings(config, options, {key: option for key, option in OPTIONS.items() if option in _OPTIONS})
    return config


def _write(
    folder: RunFolder,
    request: Mapping[str, Any],
    resolved: Settings,
    labels: Labels,
    backbone: dict[str, Any] | None,
    options: dict[str, Any],
) -> None:
    """Write all that the run is made of; ``plan.json`` last, because it makes the folder a run."""
    written = write_labels(labels, folder.path)
    if backbone is not None:
        write_checkpoint(folder / START, backbone)
    start = None if backbone is None else f'{HERE}/{START}'
    config = _config(request['task'], resolved, written, start, request['seed'], options)
    folder.write_config(config.pretty_text)
    findings = [dict(level=f.level, code=f.code, text=f.text, files=list(f.files)) for f in labels.findings]
    write_json(folder / CHECK, dict(findings=findings))
    folder.write_record(request, plan=resolved.as_dict(), classes=labels.classes)


def _complete(folder: RunFolder, say: Say, gpus: Sequence[GPU]) -> None:
    """Print the metrics, and draw predictions, of a training that has ended; an error loses nothing of it."""
    from lewel_plugins.planning.compose import configs_folder

    run, metrics = Run(folder.path, 'finished'), dict[str, float]()
    tools = configs_folder().parent / 'tools'
    train_again = ['python', str(tools / 'train.py'), str(run.config), '--work-dir', str(folder.path), '--resume']
    script = tools / 'analysis' / 'predictions.py'
    command = [sys.executable, str(script), str(run.config), str(run.checkpoint), '--out', str(folder / PICTURE)]

    def show() -> None:
        metrics.update(run.metrics)
        for name, text in _SHOWN.items():
            if name in metrics:
                say(f'  {text:<40} {metrics[name]:.4g}')

    def draw() -> None:
        with (folder / LOG).open('ab') as log:
            start = log.tell()
            environment = {**python_environment(), **visible_only(gpus[:1])}
            status = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            ).returncode
        if status:
            raise SetupError(f'{last_error(folder / LOG, start)}; log: {folder / LOG}')
        score = ', detections with a score of 0.3 or more' if 'coco/bbox_mAP' in metrics else ''
        say(f'predictions beside the labels{score}: {folder / PICTURE}')

    attempt(show, 'no metrics', shlex.join(train_again), folder, say)
    attempt(draw, 'no predictions', shlex.join(['python', *command[1:]]), folder, say)
