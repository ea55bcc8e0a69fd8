"""Count how the processes of two gloo ranks end, whatever ends the run.

Each run is `tools/train.py` or `tools/test.py` on two ranks and generated images, two steps long. Its ranks are forks
of a process that has imported torch, and end as an interpreter ends; the status is that of `waitpid`. A rank that
aborts has status −6. The last row is a control: the same finished runs, in which the tool returns to the interpreter
without `lewel_plugins.running.entry_point.run_main`. `expected` are the statuses of rank 0 and 1.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from forks import NO_RUN_MAIN, Forks
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from soak import make_config, write_images
from steps.report import Report

from lewel_plugins.errors import SetupError

TOOLS = Path(__file__).resolve().parents[1]
RANKS, STEPS = 2, 2


class End(NamedTuple):
    """A way in which a run ends."""

    tool: str
    name: str
    expected: list[int]
    arguments: tuple[str, ...] = ()
    event: str = ''  # in the first step, for EventHook
    changes: tuple[str, ...] = ()


OTHER_MODEL = ('--cfg-options', 'model.neck.hid_channels=40')
ENDS = (
    End('train.py', 'finished', [0, 0]),
    End('train.py', 'time limit', [75, 75], ('--max-minutes', '0.0001')),
    End('train.py', 'SIGTERM to rank 1', [75, 75], event='SIGTERM'),
    End('train.py', 'error on rank 1', [1, 1], event='error'),
    End('train.py', 'error on both ranks', [1, 1], event='errors'),
    End('train.py', 'error that a user can mend, on rank 1', [1, 1], event='one line'),
    End('train.py', 'sys.exit(3) on rank 1', [1, 3], event='sys.exit'),
    End('train.py', 'Ctrl-C on rank 1', [1, 1], event='SIGINT'),
    End('train.py', 'SIGKILL of rank 1', [1, -9], event='SIGKILL'),
    End('test.py', 'finished', [0, 0], ('CHECKPOINT',)),
    End('test.py', 'checkpoint of another model', [1, 1], ('CHECKPOINT', *OTHER_MODEL)),
)
CONTROL = End('train.py', 'finished, without `run_main`', [0, 0], changes=(NO_RUN_MAIN,))


@HOOKS.register_module(force=True)
class EventHook(Hook):
    """Makes happen in the first step what the environment variable EVENT names: on the second rank, or on both."""

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        event = os.environ.get('EVENT', '')
        if runner.iter or not (runner.rank or event == 'errors'):
            return
        if event.startswith('SIG'):
            os.kill(os.getpid(), getattr(signal, event))
        elif event.startswith('error'):
            raise ValueError('an error')
        elif event == 'one line':
            raise SetupError('an error')
        elif event == 'sys.exit':
            sys.exit(3)


def write_config(folder: Path, method: str) -> Path:
    """Write images and the config of a training of two steps with a validation, and return the config's path."""
    write_images(folder / 'images')
    cfg = Config.fromfile(make_config(method, RANKS, folder))
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=STEPS)
    for loader in (cfg.val_dataloader, cfg.val_cfg.bank_dataloader):
        loader.update(num_workers=0, persistent_workers=False)  # cheaper; the training's loader keeps its worker
    cfg.test_evaluator, cfg.test_dataloader = cfg.val_evaluator, cfg.val_dataloader
    cfg.test_cfg.bank_dataloader = cfg.val_cfg.bank_dataloader
    cfg.default_hooks.checkpoint.interval = STEPS
    cfg.custom_hooks.append(dict(type='mmengine.EventHook'))
    cfg.custom_imports.imports.append('exits')
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


def run(forks: Forks, end: End, folder: Path, number: int) -> list[int | None]:
    """Let a run end, and return the status of each rank."""
    log, work_dir = folder / f'{number}.log', folder / str(number)
    arguments = [str(folder / 'finished.pth') if word == 'CHECKPOINT' else word for word in end.arguments]
    ranks = forks.start_ranks(
        RANKS,
        TOOLS / end.tool,
        *(str(folder / 'config.py'), *arguments, '--work-dir', str(work_dir)),
        log=log,
        environment=dict(EVENT=end.event),
        changes=end.changes,
    )
    statuses = [rank.wait() for rank in ranks]
    if statuses != end.expected:
        print(f'{end.name}: {statuses}\n{log.read_text()[-3000:]}', file=sys.stderr)
    if end is ENDS[0] and number == 0:
        os.rename(work_dir / f'iter_{STEPS}.pth', folder / 'finished.pth')
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser(description='Count how the processes of two gloo ranks end.')
    parser.add_argument('--runs', type=int, default=200, help='runs in all, but for the control (default: %(default)s)')
    parser.add_argument('--control', type=int, default=100, help='runs of the control (default: %(default)s)')
    parser.add_argument('--method', default='SMoG', choices=['SMoG', 'LEWEL_M', 'MPCL'], help='default: %(default)s')
    parser.add_argument('--out', type=Path, help='json file to write, with the table in markdown beside it')
    args = parser.parse_args()
    report = Report('Exits of two ranks', 'tool', 'end', 'runs', 'expected', 'as expected', 'aborted', 'hung', 'others')
    shares = [args.runs // len(ENDS) + (i < args.runs % len(ENDS)) for i in range(len(ENDS))]
    failed, number = False, 0
    with tempfile.TemporaryDirectory() as name, Forks() as forks:
        write_config(Path(name), args.method)
        for end, runs in [*zip(ENDS, shares), (CONTROL, args.control)]:
            if not runs:
                continue
            counts: Counter[str] = Counter()
            for _ in range(runs):
                statuses = run(forks, end, Path(name), number)
                number += 1
                aborted = bool({-signal.SIGABRT, -signal.SIGSEGV} & set(statuses))
                kind = 'aborted' if aborted else 'hung' if None in statuses else 'others'
                counts['as expected' if statuses == end.expected else kind] += 1
            failed |= end is not CONTROL and counts['as expected'] < runs
            row = dict(tool=end.tool, end=end.name, runs=runs, expected=end.expected, counts=dict(counts))
            cells = (counts[kind] for kind in ('as expected', 'aborted', 'hung', 'others'))
            report.add(row, end.tool, end.name, runs, ', '.join(map(str, end.expected)), *cells)
            report.write(args.out, __doc__.partition('\n')[2], method=args.method)
    raise SystemExit(int(failed))


if __name__ == '__main__':
    main()
