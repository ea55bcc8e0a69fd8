"""Start many runs of Python scripts as forks of one process that has imported torch, mmengine and mmpretrain.

A fresh interpreter spends more processor time on these imports than on a small training. :class:`Forks` starts this
file as a server. The server forks a child per script before it has a thread or a process group. The child leaves the
loop of the server and runs the script as ``__main__``, so that it ends as an interpreter ends.
"""

import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore
from yapf.yapflib import yapf_api

ROOT = Path(__file__).resolve().parents[2]
NO_RENAME_OVER, NO_RUN_MAIN = 'no rename over files', 'no run_main'
_IMPORTS = (
    *('matplotlib.pyplot', 'mmengine.runner', 'mmpretrain.apis', 'mmpretrain.datasets', 'mmpretrain.visualization'),
    *(f'lewel_plugins.{room}' for room in ('datasets', 'evaluation', 'hooks', 'running.setup')),
)
_POLL = 0.01  # seconds


class Fork:
    """A script that runs in a child of the server; ``status`` is None until it ends, and −N after signal N."""

    def __init__(self, forks: 'Forks', pid: int) -> None:
        self._forks, self.pid = forks, pid
        self.status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status; None if the script still runs."""
        self._forks.read(0)
        return self.status

    def wait(self, seconds: float = 600) -> int | None:
        """Return the exit status when the script has ended; None after too many seconds, after SIGKILL."""
        end = time.monotonic() + seconds
        while self.status is None and time.monotonic() < end:
            self._forks.read(0.1)
        if self.status is None:
            self.send_signal(signal.SIGKILL)
            return None
        return self.status

    def send_signal(self, number: int) -> None:
        """Send a signal to the process of the script, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Forks:
    """The server, as a context manager that ends it."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': f'{ROOT}:{Path(__file__).parent}'}
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._forks: dict[int, Fork] = {}
        self._started: list[int] = []
        self._rest = b''

    def __enter__(self) -> 'Forks':
        return self

    def __exit__(self, *_: object) -> None:
        for fork in self._forks.values():
            fork.send_signal(signal.SIGKILL)
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait()

    def start(self, script: Path, *arguments: str, log: Path, **options: Any) -> Fork:
        """Start a script.

        Args:
            script: The script.
            arguments: Its arguments.
            log: File to which the output is appended.
            options: ``environment``, variables to set; ``file_limit``, bytes that a file may have; ``changes``, a list
                of ``NO_RENAME_OVER`` (renaming to the name of a file fails, as on some network file systems) and
                ``NO_RUN_MAIN`` (tools end without :func:`~lewel_plugins.running.entry_point.run_main`).
        """
        request = dict(options, argv=[str(script), *arguments], log=str(log))
        assert self._server.stdin
        self._server.stdin.write(json.dumps(request).encode() + b'\n')
        self._server.stdin.flush()
        while not self._started:
            self.read(1)
        return self._forks[self._started.pop()]

    def start_ranks(self, ranks: int, script: Path, *arguments: str, log: Path, **options: Any) -> 'list[Fork]':
        """Start a script on several ranks as torchrun does; the store of the ranks is in this process."""
        if ranks == 1:
            return [self.start(script, *arguments, log=log, **options)]
        self._store = TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
        group = dict(
            WORLD_SIZE=str(ranks),
            LOCAL_WORLD_SIZE=str(ranks),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(self._store.port),
            TORCHELASTIC_USE_AGENT_STORE='True',
            TORCHELASTIC_RESTART_COUNT='0',
        )
        children = []
        for rank in range(ranks):
            options['environment'] = dict(options.get('environment', {}), **group, RANK=str(rank), LOCAL_RANK=str(rank))
            children.append(self.start(script, *arguments, '--launcher', 'pytorch', log=log, **options))
        return children

    def read(self, seconds: float) -> None:
        """Read what the server reports, and wait for it for at most some seconds."""
        assert self._server.stdout
        while select.select([self._server.stdout], [], [], seconds)[0]:
            content = os.read(self._server.stdout.fileno(), 1 << 16)
            if not content:
                raise RuntimeError('the server of forks has ended')
            *lines, self._rest = (self._rest + content).split(b'\n')
            for line in lines:
                pid, status = json.loads(line)
                if status is None:
                    self._forks[pid] = Fork(self, pid)
                    self._started.append(pid)
                else:
                    self._forks.pop(pid).status = status
            seconds = 0


def _serve(out: int) -> dict[str, Any] | None:
    """Fork a child per request, and report ends of children. Return the request in a child, and None at the end."""
    running: set[int] = set()
    rest = b''
    while True:
        if select.select([0], [], [], _POLL if running else None)[0]:
            content = os.read(0, 1 << 16)
            if not content:
                return None
            *lines, rest = (rest + content).split(b'\n')
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    return json.loads(line)
                running.add(pid)
                _report(out, pid, None)
        while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            running.remove(ended[0])
            _report(out, ended[0], os.waitstatus_to_exitcode(ended[1]))


def _report(out: int, pid: int, status: int | None) -> None:
    os.write(out, json.dumps([pid, status]).encode() + b'\n')


def _become(request: dict[str, Any]) -> None:
    """Turn this child into the process of a script."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    log = os.open(request['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(request.get('environment', {}))
    if limit := request.get('file_limit'):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    changes = request.get('changes', ())
    if NO_RENAME_OVER in changes:
        _refuse_renames_over()
    if NO_RUN_MAIN in changes:
        from lewel_plugins.running import entry_point

        entry_point.run_main = lambda main, *errors: sys.exit(main())  # type: ignore[assignment, return-value]
    sys.argv = request['argv']
    sys.path[0] = str(Path(sys.argv[0]).parent)


def _refuse_renames_over() -> None:
    def refusing(rename: Any) -> Any:
        def wrapped(source: Any, target: Any, **options: Any) -> None:
            if os.path.exists(target):
                raise FileExistsError(f'{target} exists')
            rename(source, target, **options)

        return wrapped

    os.replace, os.rename = refusing(os.replace), refusing(os.rename)


if __name__ == '__main__':
    reports = os.dup(1)
    os.set_inheritable(reports, False)
    os.dup2(2, 1)  # some imports print
    for module in _IMPORTS:
        importlib.import_module(module)
    # Most of the time of a small run is for the layout of its config, and for collections of what was imported.
    yapf_api.FormatCode = lambda text, **_: (text, True)
    gc.freeze()
    script = _serve(reports)
    if script is not None:
        _become(script)
        runpy.run_path(sys.argv[0], run_name='__main__')
