"""Decode a draw of the images in processes of their own, which may crash or hang."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lewel_plugins
from lewel_plugins.image_files.inspection import Inspection

from .findings import Finding, among, percent, plural, show, wilson_interval

LIMIT = 0.01  # share of broken files up to which they are left out
_SECONDS_PER_FILE = 60  # the bounds of the decoders allow 2; the rest is for slow disks
_FILES_PER_WORKER = 50  # fewer do not pay for the start of a process
_LEAST_GRAY = 0.01


def inspect_files(paths: Sequence[str], deadline: float, workers: int) -> dict[str, Inspection]:
    """Decode files in processes of their own, the first ones if the time is short.

    A file at which a process crashes or hangs is a broken one.

    Args:
        paths: The files, in the order of the draw.
        deadline: Time by ``time.monotonic`` after which no further one is decoded.
        workers: Number of processes; 0 to decode in this one.
    """
    results: dict[str, Inspection] = {}
    if not workers:
        from lewel_plugins.image_files.inspect_files import inspect  # imports OpenCV

        for path in paths:
            if time.monotonic() > deadline:
                break
            results[path] = inspect(path)
        return results
    workers = max(1, min(workers, len(paths) // _FILES_PER_WORKER))
    queue, lock = iter(paths), threading.Lock()
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_serve, queue, lock, results, deadline) for _ in range(workers)]
    for future in futures:
        future.result()
    return {path: results[path] for path in paths if path in results}


def _serve(queue: Iterator[str], lock: threading.Lock, results: dict[str, Inspection], deadline: float) -> None:
    """Take files from the queue until it is empty or the time is over, and have a process inspect them."""
    process = None
    try:
        while time.monotonic() < deadline:
            with lock:
                path = next(queue, None)
            if path is None:
                return
            process = process or _start()
            try:
                results[path] = _ask(process, path, deadline)
            except _NoReply as error:
                _end(process)
                process = None
                if error.reason:
                    results[path] = Inspection(error.reason)
    finally:
        if process:
            _end(process)


class _NoReply(Exception):
    """A process does not describe a file.

    Args:
        reason: What is wrong with the file; empty if the time for all files is over.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _start() -> subprocess.Popen:
    package = str(Path(lewel_plugins.__file__).resolve().parent.parent)
    python_path = os.pathsep.join(filter(None, [package, os.environ.get('PYTHONPATH')]))
    return subprocess.Popen(
        [sys.executable, '-m', 'lewel_plugins.image_files.inspect_files'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders print there
        bufsize=0,
        env=dict(os.environ, PYTHONPATH=python_path, OMP_NUM_THREADS='1'),
        start_new_session=True,  # Ctrl-C reaches only this process, which ends the others
    )


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()  # closes the pipes


def _ask(process: subprocess.Popen, path: str, deadline: float) -> Inspection:
    """Send a file to a process, and return its inspection.

    Raises:
        _NoReply: It crashes, or takes too long.
    """
    end = time.monotonic() + _SECONDS_PER_FILE
    assert process.stdin and process.stdout
    reply = b''
    try:
        process.stdin.write(json.dumps(path).encode() + b'\n')
        while not reply.endswith(b'\n'):
            seconds = min(end, deadline + 2) - time.monotonic()
            if not select.select([process.stdout], [], [], max(0, seconds))[0]:
                late = time.monotonic() >= end
                raise _NoReply(f'it is not decoded within {_SECONDS_PER_FILE} s' if late else '')
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                raise _NoReply('the decoder crashes')
            reply += part
    except BrokenPipeError:
        raise _NoReply('the decoder crashes') from None
    return Inspection(*json.loads(reply))


def broken_findings(reasons: dict[str, str], tried: int, total: int) -> list[Finding]:
    """Describe broken files: left out if there are few, an error otherwise.

    Args:
        reasons: Broken ones among those that were tried, with the reason.
        tried: Number of files that were drawn and decoded.
        total: Number of files of which they were drawn.
    """
    files = tuple(sorted(reasons))
    low, high = wilson_interval(len(files), tried, total)
    if not files:
        return [] if tried >= total else [Finding('note', 'broken', f'0 of {tried:,} broken: at most {percent(high)}')]
    first = f'the first is {show(files[0])}: {reasons[files[0]]}'
    if len(files) == tried:
        which = f'the {total:,} files' if tried >= total else f'the {tried:,} files tried'
        return [Finding('error', 'broken', f'none of {which} can be decoded; {first}', files)]
    count = f'{len(files):,} of {among(tried, total)}'
    if low > LIMIT:
        share = percent(len(files) / tried)
        return [Finding('error', 'broken', f'{count} ({share}) cannot be decoded, more than 1%; {first}', files)]
    verb = 'is' if len(files) == 1 else 'are'
    text = f'{count} cannot be decoded and {verb} left out (broken_images.txt)'
    if tried < total:
        text += f'; {percent(low)} to {percent(high)} of all {total:,} may be broken'
    return [Finding('warning', 'broken', text, files)]


def pixel_findings(inspections: dict[str, Inspection], total: int) -> list[Finding]:
    """Describe the pixels of the images that were decoded: gray ones, and 16-bit ones that are almost black."""
    decoded = {path: inspection for path, inspection in inspections.items() if not inspection.reason}
    tried = len(inspections)
    findings = []
    gray = [path for path, inspection in decoded.items() if inspection.is_gray]
    if decoded and len(gray) >= _LEAST_GRAY * len(decoded):
        of = 'images' if tried >= total else f'{tried:,} images tried'
        share = f'{100 * len(gray) / len(decoded):.0f}%'
        text = f'{share} of {of} are gray; color augmentation has no effect on them'
        findings.append(Finding('note', 'gray', text))
    dark = {path: inspection.bits for path, inspection in decoded.items() if inspection.bits}
    if dark:
        highest = f'{2 ** max(dark.values()) - 1:,}'
        draw = '' if tried >= total else f'of {tried:,} images tried, '
        verb, pronoun = ('uses', 'it') if len(dark) == 1 else ('use', 'them')
        text = (
            f'{draw}{plural(len(dark), "16-bit image")} only {verb} values up to {highest} and will be almost black; '
            f'rescale {pronoun} first'
        )
        findings.append(Finding('warning', 'dark', text, tuple(sorted(dark))))
    return findings
