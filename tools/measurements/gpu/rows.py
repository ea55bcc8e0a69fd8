"""A row of the check, and the process that measures it."""

import importlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError

from .devices import check_device

# Imported once, in a process that the rows are forked from. None of them may use the GPU: see `open_device`.
_PRELOADED = ['torch', 'mmpretrain.apis', 'lewel_plugins.models', 'lewel_plugins.hooks', 'lewel_plugins.running.setup']
_SHOWN = 300  # characters of an error
_EXIT_SECONDS = 5
_PROBE_SECONDS = 120


@dataclass(frozen=True)
class Row:
    """Something to measure in a process of its own, so that an error on the GPU spoils nothing else.

    Args:
        part: Name of the part that it belongs to.
        name: Its name in the part.
        function: What measures it, as ``.module.function`` of this package, or in full. It is called with ``device``
            and the settings, and returns a dict of json values.
        seconds: Time that it takes on an H100, by estimate.
        settings: Arguments of the function.
        needs_gpu: Whether it belongs to a device; else its result is that of any machine.
    """

    part: str
    name: str
    function: str
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs_gpu: bool = True

    @property
    def key(self) -> str:
        """Return ``part/name``."""
        return f'{self.part}/{self.name}'


class RowFailed(Exception):
    """A row has raised an error, or its process has ended; the message is one line."""


class TimeIsUp(Exception):
    """A row has run out of time."""


def open_device(device: str) -> tuple[str, dict[str, Any]]:
    """Return how rows are started, and the device's name and versions.

    Rows are forked from a process that has imported everything, which takes no time. But CUDA does not work in a
    process that is forked from one that has used it, if only to count the GPUs. mmengine counts them when it is
    imported; NVML can count them as well. Where that does not work, each row imports everything anew.

    Raises:
        SetupError: The device cannot be used.
    """
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')
    multiprocessing.set_forkserver_preload(_PRELOADED)
    check_device(device)
    probe = Row('', 'device', '.devices.touch', 0)
    reason = ''
    for method in ('forkserver', 'spawn'):
        try:
            return method, run_row(probe, device, None, _PROBE_SECONDS, method)
        except RowFailed as error:
            reason = str(error)
        except TimeIsUp:
            reason = f'no answer within {_PROBE_SECONDS} s'
    raise SetupError(f'the GPU cannot be used: {reason}')


def run_row(row: Row, device: str, log: Path | None, limit: float, method: str = 'forkserver') -> dict[str, Any]:
    """Measure a row in a process of its own and return its result.

    Args:
        row: The row.
        device: ``cuda`` or ``cpu``.
        log: File for all that the process prints; None for nowhere.
        limit: Seconds after which the process is killed.
        method: Result of :func:`open_device`.

    Raises:
        RowFailed: It has raised an error, or its process has died.
        TimeIsUp: It has not ended within the limit.
    """
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    path = str(log or os.devnull)
    arguments = (sender, path, row.function, device, dict(row.settings))
    process = context.Process(target=_measure, args=arguments)  # type: ignore[attr-defined]
    process.start()
    sender.close()  # so that the end of the process is seen here
    try:
        if not receiver.poll(max(limit, 0)):
            raise TimeIsUp
        error, result = receiver.recv()
        process.join(_EXIT_SECONDS)
    except EOFError:
        process.join(_EXIT_SECONDS)
        raise RowFailed(f'the process has ended with exit code {process.exitcode}') from None
    finally:
        _kill(process)
    if error is not None:
        raise RowFailed(error)
    return result


def _kill(process: Any) -> None:
    """End a row with the processes that it has started: tests, a training, workers of a loader."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # a group of its own, see _measure
    process.kill()
    process.join()


def _measure(sender: Connection, log: str, function: str, device: str, settings: dict[str, Any]) -> None:
    os.setpgid(0, 0)
    with open(log, 'w', encoding='utf-8') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        module, name = function.rsplit('.', 1)
        result = getattr(importlib.import_module(module, __package__), name)(device=device, **settings)
    except BaseException as error:
        traceback.print_exc()
        sender.send((one_line(error), None))
    else:
        sender.send((None, result))
    sender.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without the destructors of CUDA and of process groups, which may wait


def one_line(error: BaseException) -> str:
    """Return the type and the first line of an error, and where it was raised."""
    lines = str(error).strip().split('\n')
    text = f'{type(error).__name__}: {lines[0]}'[:_SHOWN].rstrip(': ')
    frames = traceback.extract_tb(error.__traceback__)
    return f'{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})' if frames else text
