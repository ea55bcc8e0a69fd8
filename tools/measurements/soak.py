"""Kill small trainings at random moments, resume them, and compare the end with a run without a break.

Each round starts or resumes a training of 120 steps by ``tools/train.py``, on one process or by
``tools/dist_train.sh`` on several, and ends it: by SIGKILL or SIGTERM, in a random phase (start-up, a step, a
validation, K-means of SMoG's groups, writing a checkpoint), by a limit of the size of files, which fails like a full
disk, or not at all. Between rounds a checkpoint may be cut off or get another byte. A checkpoint is written every 10
steps. The script checks that a SIGTERM in training loses no step and leaves with status 75, that nothing else loses
more than 10 steps, or 20 with a damaged checkpoint, and that all tensors at the end have the bits of the run without a
break.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image
from steps.report import Report

from lewel_plugins.checkpoints import read_tensors
from lewel_plugins.checkpoints.training_state import read_training_state
from lewel_plugins.hooks import STOPPED_STATUS, SMoGResetHook
from lewel_plugins.running.work_dir import list_checkpoints

ROOT = Path(__file__).resolve().parents[2]
STEPS, INTERVAL = 120, 10
PHASES = ('start-up', 'step', 'validation', 'K-means', 'checkpoint')
ENDS = ('SIGKILL', 'SIGTERM', 'full disk')
HOOK_MODULES = dict(PYTHONPATH=f'{ROOT}:{Path(__file__).parent}', OMP_NUM_THREADS='1')


@HOOKS.register_module(force=True)
class PhaseHook(Hook):
    """Writes what the first rank is doing into a file, which the parent process reads."""

    priority = 'VERY_HIGH'

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, runner: Any, phase: str) -> None:
        if runner.rank == 0:
            Path(self.path).write_text(f'{phase} {runner.iter}')

    def before_train(self, runner: Any) -> None:
        for hook in runner.hooks:
            if isinstance(hook, SMoGResetHook):
                hook._cluster = self._in_phase(runner, hook._cluster)  # type: ignore[method-assign]

    def _in_phase(self, runner: Any, function: Callable) -> Callable:
        def wrapped(*args: Any) -> None:
            self.write(runner, 'K-means')
            function(*args)

        return wrapped

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.write(runner, 'step')

    def before_val_epoch(self, runner: Any) -> None:
        self.write(runner, 'validation')

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self.write(runner, 'checkpoint')


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(80):
        (folder / f'{i % 4}').mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f'{i % 4}' / f'{i}.png')


def make_config(method: str, ranks: int, folder: Path) -> Path:
    """Write the config of a small training on images in ``folder``, and return its path."""
    recipe = dict(SMoG='smog/smog', LEWEL_M='lewel/lewel-m', MPCL='mpcl/mpcl-mocov2')[method]
    cfg = Config.fromfile(ROOT / f'configs/{recipe}_resnet10_1xb64-24e_garment-scenes.py')
    images = dict(type='CustomDataset', data_root=str(folder / 'images'))
    loader = dict(num_workers=1, persistent_workers=True)
    cfg.train_dataloader.update(**loader, batch_size=8 // ranks)
    cfg.train_dataloader.dataset.dataset = dict(images, pipeline=cfg.train_dataloader.dataset.dataset.pipeline)
    for part in (cfg.val_dataloader, cfg.val_cfg.bank_dataloader):
        part.update(**loader, batch_size=16)
        part.dataset = dict(images, pipeline=part.dataset.pipeline)
    cfg.model.data_preprocessor.views = [dict(view, size=32) for view in cfg.model.data_preprocessor.views]
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=STEPS // 10, val_interval=3)
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, T_max=STEPS)]
    cfg.default_hooks.checkpoint.update(interval=INTERVAL, by_epoch=False, max_keep_ckpts=3)
    cfg.custom_hooks = [
        dict(hook, interval=25) if 'SMoGReset' in hook['type'] else hook for hook in cfg.get('custom_hooks', [])
    ]
    if method == 'SMoG':
        cfg.model.head.num_groups = 16
    cfg.custom_hooks.append(dict(type='mmengine.PhaseHook', path=str(folder / 'phase')))
    cfg.custom_imports = dict(imports=['soak'])
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


def command(ranks: int, folder: Path, run: str) -> list[str]:
    arguments = ['--work-dir', str(folder / run), '--resume']
    if ranks == 1:
        return [sys.executable, str(ROOT / 'tools/train.py'), str(folder / 'config.py'), *arguments]
    return [str(ROOT / 'tools/dist_train.sh'), str(folder / 'config.py'), str(ranks), *arguments]


def small_files() -> None:
    """Limit files to less than a checkpoint."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))


def start(ranks: int, folder: Path, run: str, log: Path, full_disk: bool = False) -> subprocess.Popen:
    (folder / 'phase').write_text('start-up 0')
    with log.open('a') as file:
        return subprocess.Popen(
            command(ranks, folder, run),
            env={**os.environ, **HOOK_MODULES, 'PYTHON': sys.executable},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=small_files if full_disk else None,
        )


def wait_for(phase: str, process: subprocess.Popen, folder: Path, rng: random.Random) -> str:
    """Wait until the training has been in a phase for a random time; return the phase in which it then is."""
    if phase == 'start-up':
        time.sleep(rng.uniform(0, 6))
    else:
        visits = rng.randint(1, 40 if phase == 'step' else 3)
        last = ''
        while process.poll() is None and visits:
            now = (folder / 'phase').read_text()
            if now != last and now.startswith(phase):
                visits -= 1
            last = now
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
    return ' '.join((folder / 'phase').read_text().split()[:-1])


def saved_step(work_dir: Path) -> int:
    """Return the step of the newest checkpoint that is whole."""
    for path in list_checkpoints(work_dir):
        try:
            return read_training_state(path)['meta']['iter']
        except Exception:
            continue
    return 0


def damage(work_dir: Path, rng: random.Random) -> str:
    """Cut off the last checkpoint, or change a byte of it."""
    paths = list_checkpoints(work_dir)
    if len(paths) < 2:
        return ''
    content = paths[0].read_bytes()
    place = rng.randrange(len(content) // 4, len(content) // 2)  # within the tensors
    if rng.random() < 0.5:
        paths[0].write_bytes(content[:place])
        return 'cut off'
    paths[0].write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    return 'other byte'


def end_state(work_dir: Path) -> dict[str, Any]:
    checkpoint = read_tensors(work_dir / f'iter_{STEPS}.pth')
    return {name: checkpoint[name] for name in ('state_dict', 'optimizer')}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


class Campaign:
    """Rounds of one method on a number of ranks, and what they showed."""

    def __init__(self, method: str, ranks: int, folder: Path, seed: int) -> None:
        self.ranks, self.folder, self.rng = ranks, folder, random.Random(seed)
        write_images(folder / 'images')
        make_config(method, ranks, folder)
        self.log = folder / 'log'
        straight = start(ranks, folder, 'straight', self.log)
        if straight.wait():
            raise SystemExit(f'error: the run without a break failed, see {self.log}')
        self.expected = end_state(folder / 'straight')
        self.ends: Counter[str] = Counter()
        self.damaged = self.finished = self.largest_loss = 0
        self.problems: list[str] = []

    def round(self, number: int) -> None:
        work_dir = self.folder / 'run'
        before = saved_step(work_dir)
        how = damage(work_dir, self.rng) if self.rng.random() < 0.1 else ''
        self.damaged += bool(how)
        resumed_from = saved_step(work_dir)
        if before - resumed_from > (2 * INTERVAL if how else 0):
            self.problems.append(f'round {number}: step {resumed_from} instead of {before} ({how})')
        end = self.rng.choices(ENDS, (6, 6, 1))[0]
        process = start(self.ranks, self.folder, 'run', self.log, end == 'full disk')
        phase = self._end(process, end, self.rng.choice(PHASES))
        status = process.wait()
        reached = int((self.folder / 'phase').read_text().split()[-1])
        saved = saved_step(work_dir)
        if status == 0:
            self._compare(number, work_dir)
        else:
            self.ends[f'{end}, {phase}'] += 1
            loss = reached - saved
            self.largest_loss = max(self.largest_loss, loss)
            if loss > INTERVAL:
                self.problems.append(f'round {number}: {end} in {phase} at step {reached}, {saved} saved')
            if end == 'SIGTERM' and phase != 'start-up' and self.ranks == 1 and (status != STOPPED_STATUS or loss > 0):
                self.problems.append(f'round {number}: SIGTERM in {phase}: status {status}, {loss} steps lost')

    def _end(self, process: subprocess.Popen, end: str, phase: str) -> str:
        if end == 'full disk':
            process.wait()
            return 'checkpoint'
        phase = wait_for(phase, process, self.folder, self.rng)
        if process.poll() is None:
            # torchrun passes SIGTERM on to the ranks; SIGKILL is for all of them at once.
            if end == 'SIGTERM' and self.ranks > 1:
                process.send_signal(signal.SIGTERM)
            else:
                os.killpg(process.pid, getattr(signal, end))
        return phase

    def _compare(self, number: int, work_dir: Path) -> None:
        self.finished += 1
        if not equal(end_state(work_dir), self.expected):
            self.problems.append(f'round {number}: the end differs from the run without a break')
        shutil.rmtree(work_dir)


def main() -> None:
    parser = argparse.ArgumentParser(description='Kill and resume small trainings at random moments.')
    parser.add_argument('--rounds', type=int, default=200, help='rounds in all (default: %(default)s)')
    parser.add_argument('--methods', nargs='+', default=['SMoG', 'LEWEL_M'], choices=['SMoG', 'LEWEL_M', 'MPCL'])
    parser.add_argument('--ranks', nargs='+', type=int, default=[1, 2], help='numbers of processes (default: 1 2)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='json file to write, with the table in markdown beside it')
    args = parser.parse_args()
    report = Report('Kills and resumes', 'method', 'ranks', 'rounds', 'ended by, in', 'damaged', 'finished', 'problems')
    pairs = [(method, ranks) for method in args.methods for ranks in args.ranks]
    failed = False
    for i, (method, ranks) in enumerate(pairs):
        rounds = args.rounds // len(pairs)
        with tempfile.TemporaryDirectory() as name:
            campaign = Campaign(method, ranks, Path(name), args.seed + i)
            for number in range(rounds):
                campaign.round(number)
            ends = ', '.join(f'{count} × {end}' for end, count in sorted(campaign.ends.items()))
            row = dict(vars(campaign), method=method, rounds=rounds)
            names = ('method', 'ranks', 'rounds', 'damaged', 'finished', 'largest_loss', 'problems')
            figures = {name: row[name] for name in names} | dict(ends=dict(campaign.ends))
            problems = '; '.join(campaign.problems) or 'none'
            report.add(figures, method, ranks, rounds, ends, campaign.damaged, campaign.finished, problems)
            failed |= bool(campaign.problems)
    report.write(args.out, __doc__.partition('\n')[2], steps=STEPS, interval=INTERVAL)
    raise SystemExit(int(failed))


if __name__ == '__main__':
    main()
