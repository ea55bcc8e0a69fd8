"""``lewel pretrain``: from a folder of images to a trained backbone."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lewel_plugins.files import write_json, write_text
from lewel_plugins.planning import Plan

from .preparation import Options, Preparation, prepare, print_plan
from .run_folder import CONFIG, DISTINCT, FINISHED, HOLDOUT, IMAGES, LOG, PLAN, RunFolder

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
    options = Options.of(
        images,
        overrides,
        gpus,
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
        say(f'already finished: {folder.path}')
        return Run(folder.path, 'finished')
    preparation = None
    if folder.is_new:
        preparation = prepare(options)
        print_plan(preparation.plan, preparation.findings, say)
    with folder.locked():
        if preparation is not None:
            _write(folder, preparation)
        return _train(folder, say)


def _write(folder: RunFolder, preparation: Preparation) -> None:
    """Write all that the run is made of; ``plan.json`` last, because it makes the folder a run."""
    found, resolved = preparation.scan, preparation.plan
    root = os.path.commonpath([os.path.dirname(path) for path in found.images])
    images, held_out = split_holdout(found.images, resolved['holdout'], root)
    folder.write_images(images, root)
    here = '{{ fileDirname }}'
    config = preparation.config(f'{here}/{IMAGES}', f'{here}/{os.path.relpath(root, folder.path.resolve())}')
    write_text(folder / CONFIG, config.pretty_text)
    folder.write_findings(preparation.findings, found.left_out, found.copies)
    if held_out:
        folder.write_paths(HOLDOUT, (os.path.relpath(path, root) for path in held_out))
    if found.distinct is not None:
        folder.write_paths(DISTINCT, map(os.path.abspath, found.distinct))
    about = dict(folder=asdict(preparation.facts.folder))
    write_json(folder / PLAN, dict(request=preparation.options.shaping(), plan=_plain(resolved), **about))


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
