"""Record what the cases compute, bit for bit: ``python tests/bit_identity/record.py`` writes ``digests.json`` anew.

Write the file anew only if results are meant to change, and give the reason in the commit message: a corrected
equation, a new case, or another version of a library. A refactoring, a renaming or a faster implementation that claims
the same results must pass with the file as it is.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cases import CASES

HERE = Path(__file__).resolve().parent
DIGESTS = HERE / 'digests.json'
RANKS = (1, 2)
QUANTITIES = ('losses', 'gradients', 'state', 'optimizer')
TIMEOUT = 240  # seconds, for all cases on one number of ranks
ENVIRONMENT = dict(
    # The same instructions on every x86-64 processor, for torch's own kernels, MKL, and oneDNN under its two names.
    # Without any one of them, the digests of every case differ.
    ATEN_CPU_CAPABILITY='default',
    MKL_CBWR='COMPATIBLE',
    ONEDNN_MAX_CPU_ISA='SSE41',
    DNNL_MAX_CPU_ISA='SSE41',
    # A fixed order of additions.
    OMP_NUM_THREADS='1',
    MKL_NUM_THREADS='1',
    CUDA_VISIBLE_DEVICES='',
)


def key(name: str, rank: int, ranks: int) -> str:
    """Return the key of a case on a rank in ``digests.json``."""
    return f'{name}, rank {rank} of {ranks}'


def _title(name: str, ranks: int) -> str:
    return f'{name} on {ranks} rank{"s" if ranks > 1 else ""}'


def canary() -> dict[str, str]:
    """Return the version of torch and the digest of a fixed computation on this machine."""
    return _run(1, [])[0]


def record(ranks: int, names: Sequence[str]) -> dict[str, list[dict] | str]:
    """Train cases.

    Returns:
        The records of each case and rank by :func:`key`: the digest of the state before the first step, then the
        ``QUANTITIES`` of every step. A case that failed has a traceback instead.
    """
    results = _run(ranks, names)
    return {key(name, rank, ranks): results[rank][name] for name in names for rank in range(ranks)}


def first_difference(
    name: str, ranks: int, recorded: dict[str, list[dict] | str], present: dict[str, list[dict] | str]
) -> str | None:
    """Describe the first step and quantity in which two recordings of a case differ; None if there is none."""
    keys = [key(name, rank, ranks) for rank in range(ranks)]
    case = _title(name, ranks)
    for k in keys:
        if isinstance(present[k], str):
            return f'{case} did not run:\n{present[k]}'
        if k not in recorded:
            return f'{case} is not in {DIGESTS.name}'
    for step in range(max(len(steps[k]) for steps in (recorded, present) for k in keys)):
        for quantity in QUANTITIES:
            for rank, k in enumerate(keys):
                before, now = (_at(steps[k], step).get(quantity) for steps in (recorded, present))
                if before != now:
                    when = f'step {step}' if step else 'the start, before any step,'
                    return f'{case} differs first at {when} in {quantity} of rank {rank}: {_values(before, now)}'
    return None


def _at(steps: list[dict], step: int) -> dict:
    return steps[step] if step < len(steps) else {}


def _values(before: str | dict, now: str | dict) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        names = [n for n in sorted(before | now) if before.get(n) != now.get(n)]
        return '; '.join(f'{n} was {before.get(n)!r} and is {now.get(n)!r}' for n in names)
    return f'the digest was {before} and is {now}'


def _run(ranks: int, names: Sequence[str]) -> list[dict]:
    """Run ``train_cases.py`` on every rank and return what the ranks wrote."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    path = os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get('PYTHONPATH')])])
    shared = {**os.environ, **ENVIRONMENT, 'PYTHONPATH': path, 'WORLD_SIZE': str(ranks)}
    shared.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f'{rank}.json' for rank in range(ranks)]
        processes = []
        for rank, file in enumerate(files):
            with open(file.with_suffix('.log'), 'w') as log:
                command = [sys.executable, str(HERE / 'train_cases.py'), str(file), *names]
                env = {**shared, 'RANK': str(rank), 'LOCAL_RANK': str(rank)}
                processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT))
        _wait(processes)
        for rank, process in enumerate(processes):
            if process.returncode:
                log = files[rank].with_suffix('.log').read_text()[-3000:]
                raise RuntimeError(f'rank {rank} of {ranks} ended with {process.returncode}:\n{log}')
        return [json.loads(file.read_text()) for file in files]


def _wait(processes: list[subprocess.Popen]) -> None:
    """Wait until all have ended, one has failed, or the time is over; then end the others."""
    deadline = time.monotonic() + TIMEOUT
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if any(process.poll() for process in processes):
            break
        time.sleep(0.1)
    for process in processes:
        process.kill()
        process.wait()


def main() -> None:
    recorded = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    content: dict = dict(canary=canary())
    for ranks in RANKS:
        present = record(ranks, list(CASES))
        for name in CASES:
            print(first_difference(name, ranks, recorded, present) or f'{_title(name, ranks)} is as recorded')
        if any(isinstance(steps, str) for steps in present.values()):
            raise SystemExit(f'{DIGESTS.name} stays as it was: not every case ran')
        content.update(present)
    entries = []
    for name, value in content.items():  # one step per line, so that a diff shows the steps that have changed
        text = json.dumps(value) if isinstance(value, dict) else '[\n  ' + ',\n  '.join(map(json.dumps, value)) + '\n ]'
        entries.append(f' {json.dumps(name)}: {text}')
    DIGESTS.write_text('{\n' + ',\n'.join(entries) + '\n}\n')


if __name__ == '__main__':
    main()
