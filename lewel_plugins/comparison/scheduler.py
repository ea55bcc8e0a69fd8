"""Runs a list of runs as subprocesses."""

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from lewel_plugins.running.files import lock

from .progress import Progress, read_progress
from .run import TRAINING, Run, Step
from .spec import ComparisonError

_GRACE = 10.0  # seconds between asking a subprocess to end and ending it
_NOTE_EVERY = 10.0  # seconds between notes of a run's time, so that a kill loses little of it


@dataclass
class Job:
    """A run and where it stands: ``waiting``, ``running``, ``done`` or ``failed``."""

    run: Run
    status: str = 'waiting'
    reason: str = ''
    log: Path | None = None
    step: str = ''
    started: float = 0.0

    def progress(self) -> Progress | None:
        """How far its training is; None if it is not training."""
        if self.status != 'running' or self.step != TRAINING or self.log is None:
            return None
        return read_progress(self.log, self.run.total()[0])


class Display(Protocol):
    """Where the scheduler says how it goes."""

    def event(self, text: str) -> None: ...
    def update(self, jobs: Sequence[Job]) -> None: ...


class _Active:
    """A job that is being run in a slot."""

    def __init__(self, job: Job, environment: Mapping[str, str], held: int) -> None:
        self.job = job
        self.environment = environment
        self.held = held
        self.steps = [step for step in job.run.steps if not step.is_done()]
        self.process: subprocess.Popen | None = None
        self.log: IO[str] | None = None
        self.noted = 0.0

    @property
    def step(self) -> Step:
        return self.steps[0]

    def start(self) -> None:
        command = self.job.run.command(self.step)
        self.job.step, self.job.log = self.step.name, self.step.log
        self.log = self.step.log.open('a', encoding='utf-8')
        print(f'$ {shlex.join(command)}', file=self.log, flush=True)
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone; we end it
            pass_fds=[self.held],  # the lock lives as long as the subprocess
            preexec_fn=_end_with_parent(),
        )

    def end(self) -> None:
        """End the subprocess, if it has not ended, and what it started."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        if self.log is not None:
            self.log.close()
        os.close(self.held)


class Scheduler:
    """Runs what is not done, some at a time; a failure does not stop the others.

    Args:
        runs: In order.
        slots: Environment variables of each of the places that runs take.
        session: What to note of every start, such as the commit.
        display: Where to say how it goes.
        poll: Seconds between looks at the subprocesses.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        slots: Sequence[Mapping[str, str]],
        session: Callable[[], dict],
        display: Display,
        poll: float = 0.5,
    ) -> None:
        self.jobs = [Job(run, 'done' if run.is_done() else 'waiting') for run in runs]
        self.session = session
        self.display = display
        self.poll = poll
        self._free = list(slots)
        self._active: list[_Active] = []

    def run(self) -> list[Job]:
        """Run them all. Whatever ends it, no subprocess is left."""
        try:
            while True:
                self._fill()
                if not self._active:
                    return self.jobs
                self.display.update(self.jobs)
                time.sleep(self.poll)
                for active in list(self._active):
                    self._look(active)
        finally:
            for active in self._active:
                active.end()
                self._note(active)
                active.close()
                active.job.status, active.job.reason = 'failed', 'interrupted'
            self._active.clear()

    def _fill(self) -> None:
        for job in self.jobs:
            if job.status != 'waiting':
                continue
            if not self._free:
                return
            held = lock(job.run.work_dir / 'run.lock')
            if held is None:
                self._fail(job, f'another process is running it in {job.run.work_dir}')
                continue
            job.run.prepare()
            active = _Active(job, self._free.pop(0), held)
            self._active.append(active)
            job.status, job.started = 'running', time.time()
            job.run.write_sessions([*job.run.sessions(), dict(self.session(), seconds=0.0)])
            self.display.event(f'start   {job.run}  ({job.run.work_dir})')
            self._start(active)

    def _start(self, active: _Active) -> None:
        try:
            active.start()
        except (ComparisonError, OSError) as error:
            self._fail(active.job, str(error))
            self._release(active)

    def _look(self, active: _Active) -> None:
        assert active.process is not None
        code = active.process.poll()
        if code is None:
            if time.time() - active.noted > _NOTE_EVERY:
                self._note(active)
            return
        active.end()
        assert active.log is not None
        active.log.close()
        job, step = active.job, active.steps.pop(0)
        if code:
            self._fail(job, f'{step.name} ended with {_describe(code)}')
            self._release(active)
            return
        try:
            step.finish()
        except ComparisonError as error:
            self._fail(job, str(error))
            self._release(active)
            return
        if active.steps:
            self._start(active)
            return
        job.status = 'done'
        self.display.event(f'done    {job.run}')
        self._release(active)

    def _fail(self, job: Job, reason: str) -> None:
        job.status, job.reason = 'failed', reason
        self.display.event(f'FAILED  {job.run}: {reason}' + (f'; log: {job.log}' if job.log else ''))

    def _release(self, active: _Active) -> None:
        self._note(active)
        active.close()
        self._active.remove(active)
        self._free.append(dict(active.environment))

    def _note(self, active: _Active) -> None:
        """Note the time of this start so far."""
        active.noted = time.time()
        sessions = active.job.run.sessions()
        if sessions:
            sessions[-1]['seconds'] = round(active.noted - active.job.started, 1)
            active.job.run.write_sessions(sessions)


def _describe(code: int) -> str:
    if code > 0:
        return f'exit status {code}'
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f'signal {-code}'


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux: have the kernel end a subprocess if this process is killed without a chance to do so."""
    if not sys.platform.startswith('linux'):
        return None
    prctl = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1

    def ask() -> None:
        prctl(set_parent_death_signal, signal.SIGTERM)

    return ask
