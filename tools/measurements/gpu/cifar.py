"""A training on CIFAR-10 by ``tools/train.py``, with a k-NN curve; it goes on where it was stopped."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.hooks import STOPPED_STATUS
from lewel_plugins.running.provenance import ROOT
from lewel_plugins.running.work_dir import metric_curve

from ..steps.recipes import CONFIGS

_METRIC = 'knn/top1_k20'
_START_MINUTES = 0.5  # for imports, and for what follows the last step


def check_data(data: Path) -> None:
    """Check that a folder has ``train/CLASS/`` and ``test/CLASS/``.

    Raises:
        SetupError: It has not.
    """
    for part in ('train', 'test'):
        if not any(path.is_dir() for path in (data / part).glob('*')):
            raise SetupError(f'--data {data} has no folder {part}/ with one folder of images per class')


def train(
    device: str, recipe: str, epochs: int, interval: int, batch: int | None, data: Path, work_dir: Path, minutes: float
) -> dict[str, Any]:
    """Train for some minutes, or to the end, and return the k-NN curve so far.

    Args:
        device: ``cuda`` or ``cpu``.
        recipe: Config file in ``configs/`` for CIFAR-10.
        epochs: Length of the training.
        interval: Epochs between two k-NN evaluations and checkpoints.
        batch: Images per step; None for those of the recipe.
        data: Folder with ``train/CLASS/`` and ``test/CLASS/``.
        work_dir: Folder of the run.
        minutes: Time for this piece, its start included.

    Raises:
        RuntimeError: The training has failed.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    cfg = config(device, recipe, epochs, interval, batch, data)
    path = work_dir / 'config.py'
    cfg.dump(str(path))
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(path), '--work-dir', str(work_dir)]
    limit = max(minutes - _START_MINUTES, 0.01)
    command += ['--resume', '--max-minutes', f'{limit:.2f}', '--auto-scale-lr']
    status, last_line = _run(command)
    if status not in (0, STOPPED_STATUS):
        raise RuntimeError(f'tools/train.py has ended with exit code {status}: {last_line}')
    curve = {str(step): accuracy for step, accuracy in metric_curve(work_dir, _METRIC).items()}
    return dict(
        finished=status == 0,
        epochs=epochs,
        batch=cfg.train_dataloader.batch_size,
        accuracies=curve,
    )


def _run(command: list[str]) -> tuple[int, str]:
    """Run a command, print what it prints, and return its exit code and its last line."""
    last_line = ''
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end='', flush=True)
            last_line = line.strip() or last_line
    return process.returncode, last_line


def config(device: str, recipe: str, epochs: int, interval: int, batch: int | None, data: Path) -> Config:
    """Return a recipe for CIFAR-10 with another length, on a folder of images."""
    cfg = Config.fromfile(str(CONFIGS / recipe))
    cfg.train_cfg.update(max_epochs=epochs, val_interval=interval)
    for scheduler in cfg.param_scheduler:
        if scheduler.type == 'CosineAnnealingLR':
            scheduler.update(T_max=max(epochs - scheduler.begin, 1), end=max(epochs, scheduler.begin + 1))
    if batch is not None:
        cfg.train_dataloader.batch_size = batch
    cfg.train_dataloader.num_workers = 1 if device == 'cpu' else 6
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.val_cfg.bank_dataloader)
    for loader, part in zip(loaders, ('train', 'test', 'train')):
        folder = loader.dataset
        while 'dataset' in folder:
            folder = folder.dataset
        pipeline = [dict(type='lewel_plugins.LoadRGB', cache=True), *folder.pipeline[1:]]
        images = dict(type='CustomDataset', data_root=str(data.resolve()), data_prefix=part, pipeline=pipeline)
        folder.clear()
        folder.update(images)
    for name in ('test_cfg', 'test_dataloader', 'test_evaluator'):
        cfg.pop(name, None)
    cfg.val_evaluator = [dict(cfg.val_evaluator[0], k=(20,))]
    cfg.default_hooks.checkpoint.update(interval=interval, max_keep_ckpts=1)
    return cfg
