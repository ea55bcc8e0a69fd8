"""``lewel pretrain``: from a folder of images to a trained backbone."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_json, write_text
from lewel_plugins.planning import Facts, Plan, Request, find_method, plan
from lewel_plugins.planning.backbones import find_backbone
from lewel_plugins.planning.findings import Finding, refuse_errors
from lewel_plugins.planning.headers import size_findings
from lewel_plugins.planning.listing import list_images
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.planning.scan import Scan, scan

from .run_folder import CONFIG, FINISHED, IMAGES, LOG, PLAN, RunFolder

Say = Callable[[str], None]
STOPPED = 75


@dataclass(frozen=True)
class Run:
    """A run on the disk.

    Args:
        path: Its folder.
        status: ``finished`` or ``stopped``.
    """

    path: Path
    status: str

    @property
    def config(self) -> Path:
        """The config, which ``tools/train.py`` takes as well."""
        return self.path / CONFIG

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        from lewel_plugins.running.work_dir import last_checkpoint

        return last_checkpoint(self.path)


def pretrain(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    method: str = 'lewel-m',
    backbone: str | None = None,
    epochs: int | None = None,
    hours: float | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    gpus: int | str | None = 'all',
    workers: int | None = None,
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
        backbone: Name of the backbone; by the number of images by default.
        epochs: Length; by the number of images by default.
        hours: Length by time.
        batch_size: Images per step on all GPUs together.
        image_size: Side of the views in pixels.
        gpus: Number of GPUs, ``'all'``, or 0 for the CPU.
        workers: Processes per GPU that load images.
        holdout: Images that are never trained on.
        seed: Seed of the run.
        overrides: Settings of the config, each ``KEY=VALUE``.
        say: Is called with each line that the command would print.

    Returns:
        The run, finished or stopped after a checkpoint.

    Raises:
        SetupError: Something does not allow the run; nothing has been written then.
    """
    arguments = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    request = Request(method, backbone, epochs, hours, batch_size, image_size, _count(gpus), workers, holdout, seed)
    find_method(method)
    if backbone is not None:
        find_backbone(backbone)
    folder = RunFolder(out)
    asked = {**_shaping(request), 'images': [os.fspath(name) for name in arguments], 'overrides': list(overrides)}
    folder.check(asked)
    if folder.is_finished:
        say(f'already finished: {folder.path}')
        return Run(folder.path, 'finished')
    listing = list_images(arguments) if folder.is_new else None
    if listing is not None:
        found = scan(arguments, workers=0 if len(listing.paths) < 64 else 2)
        facts = Facts(found.folder, machine_facts())
        resolved = plan(facts, request)
        findings = [*found.findings, *size_findings(found.headers, resolved['image_size'], resolved['stem'])]
        refuse_errors(findings)
        _print_plan(resolved, findings, say)
    with folder.locked():
        if listing is not None:
            _write(folder, found, findings, facts, resolved, asked, overrides, seed)
        return _train(folder, say)


def _count(gpus: int | str | None) -> int | None:
    if gpus in ('all', None):
        return None
    if isinstance(gpus, int):
        return gpus
    raise SetupError(f"gpus must be a number or 'all', got {gpus!r}")


def _shaping(request: Request) -> dict[str, Any]:
    """Return the options that shape the weights: a run may go on on other GPUs and with other workers."""
    return {name: value for name, value in asdict(request).items() if name not in ('gpus', 'workers')}


def _print_plan(resolved: Plan, findings: Sequence[Finding], say: Say) -> None:
    for setting in resolved:
        value = len(setting.value) if isinstance(setting.value, tuple) else setting.value
        say(f'  {setting.name.replace("_", " "):<20} {value!s:<14} {setting.reason}')
    for finding in findings:
        say(str(finding))
    for warning in resolved.warnings:
        say(f'warning: {warning}')


def _write(
    folder: RunFolder,
    found: Scan,
    findings: Sequence[Finding],
    facts: Facts,
    resolved: Plan,
    asked: dict[str, Any],
    overrides: Sequence[str],
    seed: int,
) -> None:
    """Write all that the run is made of; ``plan.json`` last, because it makes the folder a run."""
    from lewel_plugins.planning.compose import compose

    root = os.path.commonpath([os.path.dirname(path) for path in found.images])
    images, held_out = split_holdout(found.images, resolved['holdout'], root)
    folder.write_images(images, root)
    here = '{{ fileDirname }}'
    dataset = dict(
        type='lewel_plugins.ImageList',
        list_file=f'{here}/{IMAGES}',
        data_root=f'{here}/{os.path.relpath(root, folder.path.resolve())}',
    )
    config = compose(resolved, dataset, seed)
    config.merge_from_dict(_options(overrides))
    write_text(folder / CONFIG, config.pretty_text)
    folder.write_findings(findings, found.left_out, found.copies)
    if held_out:
        write_text(folder / 'holdout.txt', ''.join(f'{os.path.relpath(path, root)}\n' for path in held_out))
    if found.distinct is not None:
        write_text(folder / 'distinct.txt', ''.join(f'{os.path.abspath(path)}\n' for path in found.distinct))
    write_json(folder / PLAN, dict(request=asked, plan=_plain(resolved), folder=asdict(facts.folder)))


def _options(overrides: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` settings as ``--cfg-options`` of the tools does."""
    from lewel_plugins.cli.parser import Parser
    from lewel_plugins.running.command_line import ConfigOptions

    parser = Parser(add_help=False)
    parser.add_argument('--set', nargs='+', action=ConfigOptions, default={})
    return parser.parse_args(['--set', *overrides]).set if overrides else {}


def split_holdout(paths: Sequence[str], count: int, root: str) -> tuple[list[str], list[str]]:
    """Return the images to train on, and ``count`` images that are not, drawn by the hash of their name."""
    import hashlib

    def key(path: str) -> bytes:
        return hashlib.sha256(os.path.relpath(path, root).encode(errors='surrogateescape')).digest()

    held_out = set(sorted(paths, key=key)[:count])
    return [path for path in paths if path not in held_out], [path for path in paths if path in held_out]


def _plain(resolved: Plan) -> dict[str, Any]:
    settings = resolved.as_dict()
    settings['gpus']['value'] = [gpu.name for gpu in resolved['gpus']]
    return settings


def _train(folder: RunFolder, say: Say) -> Run:
    from lewel_plugins.planning.compose import configs_folder

    recorded = folder.record()['plan']
    ranks = recorded['ranks']['value']
    script = configs_folder().parent / 'tools' / 'train.py'
    command = [sys.executable]
    if ranks > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={ranks}']
    command += [str(script), str(folder / CONFIG), '--work-dir', str(folder.path), '--resume']
    if ranks > 1:
        command += ['--launcher', 'pytorch']
    say(f'training in {folder.path}; log: {folder / LOG}')
    with (folder / LOG).open('ab') as log:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode
    if status == STOPPED:
        say(f'stopped after a checkpoint; the same command goes on with {folder.path}')
        return Run(folder.path, 'stopped')
    if status:
        raise TrainingError(f'the training failed: {_last_line(folder / LOG)}; log: {folder / LOG}')
    write_json(folder / FINISHED, dict(status='finished'))
    say(f'finished: {folder.path}')
    return Run(folder.path, 'finished')


class TrainingError(RuntimeError):
    """The training has ended with an error."""


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), '(no output)')
