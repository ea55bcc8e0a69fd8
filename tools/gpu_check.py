"""Prove on a GPU, in under ten minutes, what could only be argued without one; docs/gpu_check.md explains the parts.

python tools/gpu_check.py                          # again until nothing is left
python tools/gpu_check.py --parts tests step       # some parts only
python tools/gpu_check.py --device cpu             # try the check itself, without a GPU

Every row is written to gpu.json and gpu.md as soon as it is measured, and skipped by the next call with the same commit
and device. Exit code 1: a row has failed.
"""

import argparse
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_text
from lewel_plugins.running import provenance

try:
    check_torch()  # the modules below need that torch, since they compare with dry runs
except SetupError as error:
    raise SystemExit(f'error: {error}') from None
from measurements.gpu.cifar import check_data
from measurements.gpu.page import as_page
from measurements.gpu.plan import PARTS, plan
from measurements.gpu.record import Record, read_rows
from measurements.gpu.rows import Row, RowFailed, TimeIsUp, open_device, run_row

_PATIENCE = 4  # times the estimate of a row, after which it counts as stuck
_SHORTEST = dict(cuda=60, cpu=600)  # seconds that every row may take; a CPU may be busy


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, help='folder of gpu.json and gpu.md (default: docs/results)')
    parser.add_argument('--minutes', type=float, default=9, help='no row starts that would end later (default: 9)')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=[], metavar='PART', help=_list_parts())
    parser.add_argument('--rows', nargs='+', default=[], metavar='PART/NAME', help='some rows only')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='cpu: tiny shapes, to try the check')
    parser.add_argument('--data', type=Path, help='CIFAR-10 as images: train/CLASS/ and test/CLASS/')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/gpu_check'), help='folder for trainings, logs')
    parser.add_argument('--commit', help='name of the commit, for a copy of the tree without git')
    parser.add_argument('--any-commit', action='store_true', help='skip rows that were measured at another commit, too')
    parser.add_argument('--retry', action='store_true', help='measure rows again that have failed')
    parser.add_argument('--list', action='store_true', help='print the rows that are left, and measure nothing')
    parser.add_argument('--page', action='store_true', help='only write gpu.md from gpu.json')
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error(f'--minutes takes a positive number, got {args.minutes:g}')
    if args.out is None:
        args.out = args.work_dir if args.device == 'cpu' else provenance.ROOT / 'docs' / 'results'
    return args


def _list_parts() -> str:
    return '; '.join(f'{name}: {text}' for name, text in PARTS.items()).replace('%', '%%')


def main() -> int:
    args = parse_args()
    if args.page:
        write_page(args.out, read_rows(args.out / 'gpu.json'))
        return 0
    if args.data is not None:
        check_data(args.data)
    rows = plan(args.device, args.data, args.work_dir, args.parts, args.rows)
    if not rows:
        raise SetupError(f'no row is named {" or ".join(args.rows) or "so"}; --list prints the names')
    check = Check(args, rows)
    if args.list:
        print('\n'.join(row.key for row in check.left()) or 'nothing is left')
        return 0
    return check.run()


class Check:
    """Measures rows until they are all measured, or the time is over.

    Args:
        args: Result of :func:`parse_args`.
        rows: The rows.

    Raises:
        SetupError: The device cannot be used, or the record is damaged.
    """

    def __init__(self, args: argparse.Namespace, rows: list[Row]) -> None:
        self.args, self.rows = args, rows
        self.deadline = time.monotonic() + 60 * args.minutes
        self.method = 'forkserver'
        origin: dict[str, Any] = dict(commit=args.commit or provenance.commit())
        if any(row.needs_gpu for row in rows):
            self.method, facts = open_device(args.device)
            origin.update(facts)
        self.record = Record(args.out / 'gpu.json', origin, args.any_commit)
        self.failed: set[str] = set()

    def left(self) -> list[Row]:
        """Return the rows that are to be measured."""
        return [row for row in self.rows if not self._is_done(row)]

    def _is_done(self, row: Row) -> bool:
        entry = self.record.find(row)
        if entry is None:
            return False
        if is_bad(entry):
            return not self.args.retry or row.key in self.failed
        return entry['result'].get('finished', True)

    def run(self) -> int:
        """Measure what is left, and return the exit code."""
        left = self.left()
        print(f'{len(self.rows) - len(left)} of {len(self.rows)} rows are measured; logs are in {self._logs()}')
        for row in left:
            if time.monotonic() + self._estimate(row) > self.deadline or not self._measure(row):
                break
        return self._summarize()

    def _estimate(self, row: Row) -> float:
        return 0 if self.args.device == 'cpu' else row.seconds

    def _logs(self) -> Path:
        return self.args.work_dir / 'logs'

    def _measure(self, row: Row) -> bool:
        """Measure a row and write it down; return whether it has ended in time."""
        start = time.monotonic()
        remaining = self.deadline - start
        shortest = _SHORTEST[self.args.device]
        limit = min(remaining, max(_PATIENCE * row.seconds, shortest))
        settings = dict(row.settings)
        if row.part == 'cifar':  # the last part, which takes all the time that is left
            limit, settings['minutes'] = remaining + shortest, remaining / 60
        self._logs().mkdir(parents=True, exist_ok=True)
        log = self._logs() / f'{re.sub("[^0-9A-Za-z._-]+", "_", row.key)}.log'
        outcome: dict[str, Any]
        try:
            named = Row(row.part, row.name, row.function, row.seconds, settings)
            outcome = dict(result=run_row(named, self.args.device, log, limit, self.method))
        except RowFailed as error:
            outcome = dict(error=str(error))
        except TimeIsUp:
            if limit >= remaining:
                return False
            outcome = dict(error=f'stopped after {limit:.0f} s')
        seconds = time.monotonic() - start
        entry = self.record.add(row, seconds, **outcome)
        if is_bad(entry):
            self.failed.add(row.key)
        print(f'{row.key}: {outcome.get("error") or describe(entry)} ({seconds:.0f} s)', flush=True)
        write_page(self.args.out, self.record.rows)
        return True

    def _summarize(self) -> int:
        left = self.left()
        bad = [row.key for row in self.rows if (entry := self.record.find(row)) and is_bad(entry)]
        print(f'results: {self.args.out / "gpu.md"}')
        if bad:
            print(f'failed: {", ".join(bad)}; measure them again with --retry')
        if left:
            print(f'left: {", ".join(row.key for row in left)}; go on with\n  {shlex.join(["python", *sys.argv])}')
        return 1 if bad else 0


def is_bad(entry: dict[str, Any]) -> bool:
    """Return whether a row has failed, or tests in it."""
    return 'error' in entry or bool(entry['result'].get('failed'))


def describe(entry: dict[str, Any]) -> str:
    """Return a few words on a row for the terminal."""
    result = entry['result']
    if 'passed' in result:
        failed = f', failed: {", ".join(case["name"] for case in result["failed"])}' if result['failed'] else ''
        return f'{result["passed"]} passed{failed}'
    if 'images_per_second' in result and entry['part'] != 'predictions':
        return f'{result["images_per_second"]:.0f} images/s'
    return 'measured' if result.get('finished', True) else 'not finished'


def write_page(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write the page beside the record."""
    write_text(out / 'gpu.md', as_page(rows))


if __name__ == '__main__':
    try:
        sys.exit(main())
    except SetupError as error:
        raise SystemExit(f'error: {error}') from None
