"""Kill small trainings at random moments, resume them, and compare the end with a run without a break.

A training has 120 steps and writes a checkpoint every 10. Each round resumes it and ends it: by SIGKILL or SIGTERM, of
one rank or of all, in a random phase (start-up, the first K-means of SMoG's groups, a step, a validation, a later
K-means, writing a checkpoint), by a limit of the size of files, which fails like a full disk, or not at all. Before one
round in eight the last checkpoint is cut off or gets another byte. In one round in four, renaming to the name of a file
fails, as on some network file systems. One round in ten uses the commands of the README, `tools/train.py` or
`tools/dist_train.sh`; the others fork `tools/train.py` from a process that has imported torch, so that their start-up
has no imports. The script checks that a SIGTERM in training loses no step and that every rank leaves with status 75,
that nothing else loses more than 10 steps, or 20 with a damaged checkpoint, that no process aborts or hangs, and that
all tensors at the end have the bits of the run without a break.
"""

import argparse
import contextlib
import os
import random
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
from forks import NO_RENAME_OVER, Fork, Forks
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image
from steps.report import Report

from lewel_plugins.checkpoints import DamagedCheckpoint, read_tensors, read_training_state
from lewel_plugins.hooks import STOPPED_STATUS, SMoGResetHook
from lewel_plugins.running.work_dir import list_checkpoints

ROOT = Path(__file__).resolve().parents[2]
TRAIN, DIST_TRAIN = ROOT / 'tools/train.py', ROOT / 'tools/dist_train.sh'
STEPS, INTERVAL = 120, 10
STARTS = ('start-up', 'first K-means')  # before the training listens for signals
ENDS = dict(SIGKILL=6, SIGTERM=6, full_disk=1)  # and how often
SMALL_FILE = 500_000  # bytes, less than a checkpoint
ENVIRONMENT = dict(PYTHONPATH=f'{ROOT}:{Path(__file__).parent}', OMP_NUM_THREADS='1', PYTHON=sys.executable)


@HOOKS.register_module(force=True)
class PhaseHook(Hook):
    """Writes what the first rank is doing into a file, which the parent process reads."""

    priority = 'VERY_HIGH'

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, runner: Any, phase: str) -> None:
        if runner.rank == 0:
            write_phase(Path(self.path), phase, runner.iter)

    def before_train(self, runner: Any) -> None:
        self.starts = True
        for hook in runner.hooks:
            if isinstance(hook, SMoGResetHook):
                hook._cluster = self._in_phase(runner, hook._cluster)  # type: ignore[method-assign]

    def _in_phase(self, runner: Any, function: Callable) -> Callable:
        def wrapped(*args: Any) -> None:
            self.write(runner, 'first K-means' if self.starts else 'K-means')
            function(*args)

        return wrapped

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.starts = False
        self.write(runner, 'step')

    def before_val_epoch(self, runner: Any) -> None:
        self.write(runner, 'validation')

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self.write(runner, 'checkpoint')


def write_phase(path: Path, phase: str, step: int) -> None:
    """Write the phase with one call of the system, so that a kill leaves no half of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.pwrite(descriptor, f'{phase} {step}'.ljust(30).encode(), 0)
    os.close(descriptor)


def read_phase(path: Path) -> tuple[str, int]:
    phase, _, step = path.read_text().strip().rpartition(' ')
    return phase, int(step)


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(80):
        (folder / f'{i % 4}').mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f'{i % 4}' / f'{i}.png')


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
    cfg.val_evaluator = [dict(type='lewel_plugins.KNNMetric', k=5)]
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


def saved_step(work_dir: Path) -> int:
    """Return the step of the newest checkpoint that is whole."""
    for path in list_checkpoints(work_dir):
        try:
            return read_training_state(path)['meta']['iter']
        except DamagedCheckpoint:
            continue
    return 0


def damage(work_dir: Path, rng: random.Random) -> str:
    """Cut off the last checkpoint, or change a byte of it; return which, and '' if there is no older one."""
    paths = list_checkpoints(work_dir)
    if len(paths) < 2:
        return ''
    content = paths[0].read_bytes()
    place = rng.randrange(len(content))
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


def _descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, those that they have started, and so on."""
    words = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(pid)], capture_output=True, text=True).stdout.split()
    return [one for child in map(int, words) for one in [*_descendants(child), child]]


class Command:
    """A training by the commands of the README, with the methods of :class:`Fork`."""

    def __init__(self, ranks: int, arguments: list[str], log: Path) -> None:
        config, *options = arguments
        words = [str(DIST_TRAIN), config, str(ranks), *options]
        if ranks == 1:
            words = [sys.executable, str(TRAIN), *arguments]
        with log.open('a') as file:
            environment = {**os.environ, **ENVIRONMENT}
            self._process = subprocess.Popen(words, env=environment, stdout=file, stderr=file, start_new_session=True)

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, seconds: float = 600) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return None

    def send_signal(self, number: int) -> None:
        """Send SIGKILL to all processes; torchrun passes other signals on."""
        if number == signal.SIGKILL:
            # torchrun starts each rank in a session of its own, where the rank would go on training.
            for pid in [*_descendants(self._process.pid), self._process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        else:
            self._process.send_signal(number)


class Campaign:
    """Rounds of one method on a number of ranks, and what they showed."""

    def __init__(self, forks: Forks, method: str, ranks: int, folder: Path, seed: int) -> None:
        self.forks, self.method, self.ranks, self.folder = forks, method, ranks, folder
        self.rng = random.Random(seed)
        self.phase, self.work_dir = folder / 'phase', folder / 'run'
        write_images(folder / 'images')
        make_config(method, ranks, folder)
        self.ends: Counter[str] = Counter()
        self.damaged: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.finished = self.largest_loss = self.no_renames = self.commands = 0
        self.problems: list[str] = []
        straight = self._start(folder / 'straight', folder / 'straight.log')
        if any(process.wait(600) for process in straight):
            raise SystemExit(f'error: the run without a break failed:\n{(folder / "straight.log").read_text()}')
        self.expected = end_state(folder / 'straight')

    def _start(self, work_dir: Path, log: Path, **options: Any) -> list[Fork]:
        write_phase(self.phase, 'start-up', 0)
        arguments = [str(self.folder / 'config.py'), '--work-dir', str(work_dir), '--resume']
        return self.forks.start_ranks(self.ranks, TRAIN, *arguments, log=log, **options)

    def round(self, number: int) -> None:
        """Resume the training, end it in some way, and look at what is left."""
        log = self.folder / f'{number}.log'
        resumed_from = self._damage(number)
        end = self.rng.choices(list(ENDS), list(ENDS.values()))[0]
        processes = self._start_round(end, log)
        phase = self._end(processes, end)
        statuses = self._statuses(processes, phase)
        step = max(read_phase(self.phase)[1], resumed_from)
        before = len(self.problems)
        what = f'round {number}: {end} in {phase} at step {step}'
        print(f'{self.method}, {self.ranks} ranks, {what}, statuses {statuses}', file=sys.stderr, flush=True)
        self._check(what, end, phase, step, statuses)
        if len(self.problems) > before:
            print(self.problems[-1], log.read_text()[-3000:], sep='\n', file=sys.stderr)
        log.unlink()

    def _damage(self, number: int) -> int:
        before = saved_step(self.work_dir)
        how = damage(self.work_dir, self.rng) if self.rng.random() < 1 / 8 else ''
        self.damaged.update(filter(None, [how]))
        resumed_from = saved_step(self.work_dir)
        if before - resumed_from > (2 * INTERVAL if how else 0):
            self.problems.append(f'round {number}: step {resumed_from} instead of {before} ({how})')
        return resumed_from

    def _start_round(self, end: str, log: Path) -> list[Any]:
        if end != 'full_disk' and self.rng.random() < 1 / 10:
            self.commands += 1
            write_phase(self.phase, 'start-up', 0)
            config = str(self.folder / 'config.py')
            return [Command(self.ranks, [config, '--work-dir', str(self.work_dir), '--resume'], log)]
        options: dict[str, Any] = dict(file_limit=SMALL_FILE) if end == 'full_disk' else {}
        if self.rng.random() < 1 / 4:
            self.no_renames += 1
            options['changes'] = [NO_RENAME_OVER]
        return self._start(self.work_dir, log, **options)

    def _end(self, processes: list[Any], end: str) -> str:
        """End the training in a random phase, and return the phase."""
        if end == 'full_disk':
            return 'checkpoint'
        phase = self._wait_for(self.rng.choice(self._phases()), processes)
        some = [self.rng.choice(processes)] if self.rng.random() < 0.5 else processes
        for process in some:
            if process.poll() is None:
                process.send_signal(getattr(signal, end))
        return phase

    def _phases(self) -> list[str]:
        """Return the phases that the training will have: the first K-means only if it starts anew."""
        fresh = not list_checkpoints(self.work_dir)
        clusters = self.method == 'SMoG'
        if fresh and clusters and self.rng.random() < 0.5:
            return ['first K-means']
        return ['start-up', 'step', 'validation', *(['K-means'] if clusters else []), 'checkpoint']

    def _wait_for(self, phase: str, processes: list[Any]) -> str:
        """Wait until the training has been in a phase for a random time; return the phase in which it then is."""
        seconds = 8 if isinstance(processes[0], Command) else 1.5  # about the time of a start-up
        if phase == 'start-up':
            time.sleep(self.rng.uniform(0, seconds))
        else:
            visits = self.rng.randint(1, 40 if phase == 'step' else 3)
            last = None
            while visits and all(process.poll() is None for process in processes):
                now = read_phase(self.phase)
                visits -= now != last and now[0] == phase
                last = now
                time.sleep(0.001)
            time.sleep(self.rng.uniform(0, 0.03))
        return read_phase(self.phase)[0]

    def _statuses(self, processes: list[Any], phase: str) -> list[int | None]:
        """Wait for all processes; end a start-up whose other rank is gone, as a launcher does."""
        if phase in STARTS and len(processes) > 1:
            while all(process.poll() is None for process in processes):
                time.sleep(0.01)
            end = time.monotonic() + 5
            while None in (polled := [process.poll() for process in processes]) and time.monotonic() < end:
                time.sleep(0.01)
            if any(polled):
                for process in processes:
                    process.send_signal(signal.SIGTERM)
        return [process.wait() for process in processes]

    def _check(self, what: str, end: str, phase: str, step: int, statuses: list[int | None]) -> None:
        self.statuses.update(map(str, statuses))
        saved = saved_step(self.work_dir)
        aborts = {-signal.SIGABRT, -signal.SIGSEGV, None} & set(statuses)
        if aborts:
            self.problems.append(f'{what}: statuses {statuses}')
        if not any(statuses):
            self._compare(what)
            return
        self.ends[f'{end} in {phase}'] += 1
        loss = step - saved
        self.largest_loss = max(self.largest_loss, loss)
        if loss > INTERVAL:
            self.problems.append(f'{what}: only {saved} saved')
        if end == 'SIGTERM' and phase not in STARTS and saved < STEPS:
            # torchrun has a status of its own.
            stopped = all(status == STOPPED_STATUS for status in statuses) or -signal.SIGTERM not in statuses == [1]
            if loss > 0 or not stopped:
                self.problems.append(f'{what}: statuses {statuses}, {saved} saved')

    def _compare(self, what: str) -> None:
        self.finished += 1
        if not equal(end_state(self.work_dir), self.expected):
            self.problems.append(f'{what}: the end differs from the run without a break')
        shutil.rmtree(self.work_dir)

    def add_to(self, report: Report, rounds: int) -> None:
        ends = ', '.join(f'{count} × {end}' for end, count in sorted(self.ends.items()))
        damaged = ', '.join(f'{count} × {how}' for how, count in sorted(self.damaged.items()))
        names = ('method', 'ranks', 'no_renames', 'commands', 'finished', 'largest_loss', 'problems')
        row = {name: getattr(self, name) for name in names} | dict(rounds=rounds)
        row |= {name: dict(getattr(self, name)) for name in ('ends', 'damaged', 'statuses')}
        problems = '; '.join(self.problems) or 'none'
        report.add(row, self.method, self.ranks, rounds, ends, damaged, self.finished, self.largest_loss, problems)


def main() -> None:
    parser = argparse.ArgumentParser(description='Kill and resume small trainings at random moments.')
    parser.add_argument('--rounds', type=int, default=200, help='rounds in all (default: %(default)s)')
    parser.add_argument('--methods', nargs='+', default=['SMoG', 'LEWEL_M'], choices=['SMoG', 'LEWEL_M', 'MPCL'])
    parser.add_argument('--ranks', nargs='+', type=int, default=[1, 2], help='numbers of processes (default: 1 2)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='json file to write, with the table in markdown beside it')
    args = parser.parse_args()
    columns = ('method', 'ranks', 'rounds', 'ended by', 'damaged', 'finished', 'most steps lost', 'problems')
    report = Report('Kills and resumes', *columns)
    pairs = [(method, ranks) for method in args.methods for ranks in args.ranks]
    failed = False
    for i, (method, ranks) in enumerate(pairs):
        rounds = args.rounds // len(pairs)
        with tempfile.TemporaryDirectory() as name, Forks() as forks:
            campaign = Campaign(forks, method, ranks, Path(name), args.seed + i)
            for number in range(rounds):
                campaign.round(number)
        campaign.add_to(report, rounds)
        failed |= bool(campaign.problems)
        report.write(args.out, __doc__.partition('\n')[2], steps=STEPS, interval=INTERVAL)
    raise SystemExit(int(failed))


if __name__ == '__main__':
    main()
