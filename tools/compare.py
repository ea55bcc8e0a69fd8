"""Run a comparison: several configs under several seeds, in one table and one picture.

python tools/compare.py configs/comparisons/NAME.py
python tools/compare.py configs/comparisons/NAME.py --gpus 0 1 2 3      # one run per GPU
python tools/compare.py configs/comparisons/NAME.py --max-minutes 10    # in pieces; exit status 75: run it again
python tools/compare.py configs/comparisons/NAME.py --archive NAME.tar.xz   # finished runs count on other machines
python tools/compare.py configs/comparisons/NAME.py --report-only       # report the runs that have finished
python tools/compare.py configs/comparisons/NAME.py --data in100 --processes 8      # the same rows on other data
python tools/compare.py configs/comparisons/NAME.py --base CONFIG --list            # on another base; print, do not run
python tools/compare.py configs/METHOD/paper.yml --table 1 --processes 8            # a table of the paper

After a kill, the same command goes on where it stopped and does not repeat finished runs. Without --work-dir, a run of
another comparison with the same config and seed is used instead of a new or a less finished one.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from lewel_plugins.comparison.archive import read_archive, write_archive
from lewel_plugins.comparison.display import make_display
from lewel_plugins.comparison.listing import list_rows
from lewel_plugins.comparison.paper import table_comparison
from lewel_plugins.comparison.report import write_report
from lewel_plugins.comparison.run import Run, plan_runs
from lewel_plugins.comparison.scheduler import ScheduledRun, Scheduler
from lewel_plugins.comparison.spec import Comparison, load_comparison
from lewel_plugins.comparison.time_limit import TimeLimit
from lewel_plugins.errors import SetupError
from lewel_plugins.running import provenance
from lewel_plugins.running.command_line import ConfigOptions
from lewel_plugins.running.work_dir import STOPPED_STATUS

TOOLS = Path(__file__).resolve().parent


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('comparison', type=Path, help='file under configs/comparisons, or the paper.yml of a method')
    parser.add_argument('--data', metavar='VARIANT', help='run the rows on other data, one of the variants of the file')
    parser.add_argument('--base', type=Path, metavar='CONFIG', help='run the rows on this config, by its own schedule')
    parser.add_argument('--table', metavar='NUMBER', help='table of the paper, such as 1, 7a or III')
    parser.add_argument(
        '--processes',
        type=int,
        metavar='N',
        help='processes that a run may use; the recipe determines how many it does (default: 1, whatever the recipe)',
    )
    parser.add_argument('--list', action='store_true', help='run nothing, print the rows and what they resolve to')
    parser.add_argument('--out', type=Path, help='path of the report, without suffix (default: docs/results/NAME)')
    parser.add_argument('--work-dir', type=Path, help='folder of the runs (default: work_dirs/compare/NAME)')
    parser.add_argument('--jobs', type=int, help='number of runs at a time (default: 1, or one per GPU)')
    parser.add_argument('--gpus', nargs='+', metavar='INDEX', help='GPUs to distribute the runs over')
    parser.add_argument('--seeds', nargs='+', type=int, help='seeds (default: those in the file)')
    parser.add_argument('--only', nargs='+', metavar='ROW', help='run only these rows; the report has all rows')
    parser.add_argument(
        '--archive',
        type=Path,
        metavar='FILE',
        help='take finished runs from this file (.tar.xz), and write all finished ones to it, without checkpoints',
    )
    parser.add_argument(
        '--max-minutes',
        type=float,
        metavar='N',
        help='save and stop the runs before N minutes are over; exit status 75: run it again for the rest',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        metavar='KEY=VALUE',
        help="settings to override in every row's config; the report goes to the work dir unless --out is given",
    )
    parser.add_argument('--report-only', action='store_true', help='run nothing, only write the report')
    parser.add_argument('--train-script', type=Path, default=TOOLS / 'train.py', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs must be at least 1, got {args.jobs}')
    if args.processes is not None and args.processes < 1:
        parser.error(f'--processes must be at least 1, got {args.processes}')
    if args.max_minutes is not None and not args.max_minutes > 0:
        parser.error(f'--max-minutes must be positive, got {args.max_minutes:g}')
    return args


def slots(jobs: int | None, gpus: list[str] | None, processes: int = 1) -> list[dict[str, str]]:
    """Return the environment variables of each simultaneous run: its GPUs, and its processes' share of the cores.

    Raises:
        SetupError: The GPUs cannot be dealt to runs of that many processes.
    """
    if gpus and len(gpus) % processes:
        raise SetupError(f'{len(gpus)} GPUs cannot be dealt to runs of {processes} processes')
    groups = [','.join(gpus[i : i + processes]) for i in range(0, len(gpus), processes)] if gpus else []
    count = jobs or len(groups) or 1
    threads = os.environ.get('OMP_NUM_THREADS', str(max(1, provenance.cores() // (count * processes))))
    share = dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
    return [{**share, 'CUDA_VISIBLE_DEVICES': groups[i % len(groups)]} if groups else share for i in range(count)]


def run_all(runs: list[Run], args: argparse.Namespace) -> list[ScheduledRun]:
    """Run all unfinished runs in the time there is. An interrupt (Ctrl-C or SIGTERM) ends all subprocesses."""
    limit = TimeLimit(None if args.max_minutes is None else 60 * args.max_minutes)

    def session() -> dict[str, str]:
        # Each start has its own commit: the checkout may change while the others run.
        return dict(commit=provenance.commit(), machine=provenance.machine(), start=provenance.now())

    environments = slots(args.jobs, args.gpus, args.processes or 1)
    with make_display(len(environments)) as display:
        scheduler = Scheduler(runs, environments, session, display, limit)
        done = sum(job.status == 'done' for job in scheduler.jobs)
        display.event(f'{len(runs)} runs, {done} of them already done')
        return scheduler.run()


def load(args: argparse.Namespace) -> Comparison:
    """Read the comparison that the arguments name.

    Raises:
        SetupError: Names the argument or the entry of the file that is wrong.
    """
    is_paper = args.comparison.suffix in ('.yml', '.yaml')
    if is_paper and (args.data or args.base):
        raise SetupError('--data and --base are for files under configs/comparisons, not for a paper')
    if is_paper != (args.table is not None):
        raise SetupError('--table is for the paper.yml of a method, which needs it')
    if is_paper:
        return table_comparison(args.comparison, args.table, args.cfg_options, args.processes or 1)
    return load_comparison(args.comparison, args.cfg_options, args.data, args.base)


def _plan(args: argparse.Namespace, comparison: Comparison) -> tuple[list[int], Path, list[Run]]:
    unknown = set(args.only or ()) - {row.name for row in comparison.rows}
    if unknown:
        names = ', '.join(row.name for row in comparison.rows)
        raise SetupError(f'--only: there is no row {", ".join(sorted(unknown))}; rows are {names}')
    seeds = list(dict.fromkeys(args.seeds or comparison.seeds))
    comparisons = Path('work_dirs/compare')
    work_dir = args.work_dir or comparisons / comparison.name
    others = None if args.work_dir else comparisons
    is_large = bool(args.table or args.data or args.base)  # where one process would have too small a batch
    processes = args.processes or (1 if is_large else None)
    return seeds, work_dir, plan_runs(comparison, seeds, work_dir, args.train_script, others, processes)


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank; after a crash this is the error."""
    lines = log.read_text(encoding='utf-8', errors='replace').split('\n')
    return next((line.strip() for line in reversed(lines) if line.strip()), '(empty)')


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _take_runs(args: argparse.Namespace, runs: list[Run], temporary: Path) -> None:
    """Take the finished runs of the archive. The trained ones count for a report alone, without a place to go on."""
    count, left_out = read_archive(runs, args.archive, temporary if args.report_only else None)
    print(f'finished runs taken from {args.archive}: {count}')
    if left_out:
        print(f'trained runs left out, whose post commands are missing or have changed: {left_out}')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    command = shlex.join(['python', 'tools/compare.py', *(sys.argv[1:] if argv is None else argv)])
    try:
        with tempfile.TemporaryDirectory() as temporary:
            return _compare(args, command, Path(temporary))
    except SetupError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def _compare(args: argparse.Namespace, command: str, temporary: Path) -> int:
    comparison = load(args)
    if args.list:
        print('\n'.join(list_rows(comparison)))
        return 0
    seeds, work_dir, runs = _plan(args, comparison)
    slots(args.jobs, args.gpus, args.processes or 1)
    if args.archive is not None:
        _take_runs(args, runs, temporary)
    failures: list[ScheduledRun] = []
    left: list[ScheduledRun] = []
    is_interrupted = False
    if not args.report_only:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            jobs = run_all([run for run in runs if not args.only or run.row.name in args.only], args)
            failures = [job for job in jobs if job.status == 'failed']
            left = [job for job in jobs if job.status in ('waiting', 'stopped')]
        except KeyboardInterrupt:
            is_interrupted = True
            print('interrupted; the same command goes on from the last checkpoints', flush=True)
    if any(run.is_trained() for run in runs):
        out = args.out or (work_dir / 'report' if args.cfg_options else Path('docs/results') / comparison.name)
        print(f'report: {write_report(comparison, seeds, runs, command, out)}')
        if args.archive is not None:
            print(f'finished runs in {args.archive}: {write_archive(runs, args.archive)}')
    else:
        print('no run has finished, so there is no report')
    for job in failures:
        print(f'FAILED {job.run}: {job.reason}' + (f'\n  {job.log}: {last_line(job.log)}' if job.log else ''))
    if left:
        print(f'left: {"; ".join(str(job.run) for job in left)}. The same command goes on.')
    return 130 if is_interrupted else 1 if failures else STOPPED_STATUS if left else 0


if __name__ == '__main__':
    sys.exit(main())
