"""Runs a list of runs as subprocesses."""

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
from typing import IO, Any, Protocol

from lewel_plugins.errors import SetupError
from lewel_plugins.running.child_processes import has_ended, signal_group, wait_for_end
from lewel_plugins.running.jobs import lock
from lewel_plugins.running.work_dir import STOPPED_STATUS
from lewel_plugins.running.work_dir_lock import LOCK, held_lock

from .progress import Progress, read_progress
from .run import TRAINING, Run
from .step import Step
from .time_limit import TimeLimit

_GRACE = 10.0  # seconds between SIGTERM and SIGKILL for a subprocess
_RECORD_EVERY = 10.0  # seconds between records of a run's time, so that a kill loses little of it


@dataclass
class ScheduledRun:
    """A run and its status: ``waiting``, ``running``, ``stopped``, ``done`` or ``failed``.

    A stopped run goes on when the same command is run again.
    """

    run: Run
    status: str = 'waiting'
    reason: str = ''
    log: Path | None = None
    step: str = ''
    start_time: float = 0.0

    def progress(self) -> Progress | None:
        """Return the progress of the training; None if the run is not training."""
        if self.status != 'running' or self.step != TRAINING or self.log is None:
            return None
        return read_progress(self.log, self.run.total()[0])


class Display(Protocol):
    """Where the scheduler reports its progress."""

    def event(self, text: str) -> None: ...
    def update(self, jobs: Sequence[ScheduledRun]) -> None: ...


class _Active:
    """A run that occupies a slot, and its current subprocess."""

    def __init__(self, job: ScheduledRun, environment: Mapping[str, str], lock_descriptor: int) -> None:
        self.job = job
        self.environment = environment
        self.lock_descriptor = lock_descriptor
        self.steps = [step for step in job.run.steps if not step.is_done()]
        self.process: subprocess.Popen | None = None
        self.log: IO[str] | None = None
        self.session: Mapping[str, Any] | None = None
        self.session_start = 0.0
        self.record_time = 0.0
        self.has_stop_signal = False

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
            env={**os.environ, **self.environment, **held_lock(self.job.run.work_dir / LOCK)},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process only, which ends the subprocess
            pass_fds=[self.lock_descriptor],  # the lock lives as long as the subprocess
            preexec_fn=_end_with_parent(),
        )

    def stop(self) -> None:
        """Send the subprocess the signal on which a training saves and ends."""
        assert self.process is not None
        # To it alone: torchrun passes the signal on, and data loaders without their workers could finish no iteration.
        self.process.send_signal(signal.SIGTERM)
        self.has_stop_signal = True

    def is_stopped(self, code: int) -> bool:
        """Return whether an exit status means that the step was stopped and is to go on another time."""
        if code == STOPPED_STATUS:
            return True
        # Other commands than a training, and one that has not begun, end by the signal. The status of torchrun is 1.
        by_signal = code in (-signal.SIGTERM, -signal.SIGKILL) or (code == 1 and self.job.run.processes > 1)
        return self.has_stop_signal and by_signal

    def end(self) -> None:
        """End the subprocess if it is still running, and everything that it has started."""
        if self.process is None:
            return
        if not has_ended(self.process):
            signal_group(self.process, signal.SIGTERM)
            wait_for_end(self.process, _GRACE)
        signal_group(self.process, signal.SIGKILL)
        self.process.wait()

    def enter(self, session: Mapping[str, Any]) -> None:
        """Record the start of a step, unless it goes on under the commit of the step before."""
        if self.session is not None:
            if self.session.get('commit') == session.get('commit'):
                return
            self.record()
        self.job.run.write_sessions([*self.job.run.sessions(), dict(session, seconds=0.0)])
        self.session, self.session_start = session, time.time()

    def record(self) -> None:
        """Record the time since the last recorded start."""
        self.record_time = time.time()
        sessions = self.job.run.sessions()
        if sessions and self.session is not None:
            sessions[-1]['seconds'] = round(self.record_time - self.session_start, 1)
            self.job.run.write_sessions(sessions)

    def close(self) -> None:
        if self.log is not None:
            self.log.close()
        os.close(self.lock_descriptor)


class Scheduler:
    """Runs the runs that are not done, several at a time; a failure does not stop the others.

    Args:
        runs: The runs, in order.
        slots: Environment variables for each of the runs at the same time.
        session: Returns what to record at every start of a run, such as the commit. A later step of the run under
            another commit counts as another start.
        display: Where to report the progress.
        limit: The time for all of it. Runs that it stops, or that are not started, go on when they are run again.
        poll: Seconds between checks of the subprocesses.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        slots: Sequence[Mapping[str, str]],
        session: Callable[[], dict],
        display: Display,
        limit: TimeLimit | None = None,
        poll: float = 0.5,
    ) -> None:
        self.jobs = [ScheduledRun(run, 'done' if run.is_done() else 'waiting') for run in runs]
        self.session = session
        self.display = display
        self.limit = limit or TimeLimit(None)
        self.poll = poll
        self._free = list(slots)
        self._active: list[_Active] = []

    def run(self) -> list[ScheduledRun]:
        """Run all runs, or those that there is time for. However this ends, it leaves no subprocess behind."""
        try:
            while True:
                self._fill()
                if not self._active:
                    return self.jobs
                self.display.update(self.jobs)
                time.sleep(self.poll)
                for active in list(self._active):
                    self._check(active)
        finally:
            for active in self._active:
                active.end()
                active.record()
                active.close()
                active.job.status, active.job.reason = 'failed', 'interrupted'
            self._active.clear()

    def _fill(self) -> None:
        for job in self.jobs:
            if job.status != 'waiting':
                continue
            if not self._free or not self.limit.may_start():
                return
            descriptor = lock(job.run.work_dir / LOCK)
            if descriptor is None:
                self._fail(job, f'another process is running it in {job.run.work_dir}')
                continue
            if job.run.is_done():  # by another process, since this one began
                os.close(descriptor)
                job.status = 'done'
                self.display.event(f'done    {job.run}, by another process')
                continue
            job.run.prepare()
            active = _Active(job, self._free.pop(0), descriptor)
            self._active.append(active)
            job.status, job.start_time = 'running', time.time()
            self.display.event(f'start   {job.run}  ({job.run.work_dir})')
            self._start(active)

    def _start(self, active: _Active) -> None:
        # A step imports what is checked out when it starts, which may be hours after the start of its run.
        active.enter(self.session())
        try:
            active.start()
        except (SetupError, OSError) as error:
            self._fail(active.job, str(error))
            self._release(active)

    def _check(self, active: _Active) -> None:
        assert active.process is not None
        is_running = not has_ended(active.process)  # its status is collected after its group has ended
        if is_running and self.limit.must_stop() and not active.has_stop_signal:
            active.stop()
        if is_running and not self.limit.is_over():
            if time.time() - active.record_time > _RECORD_EVERY:
                active.record()
            return
        active.end()
        assert active.log is not None
        active.log.close()
        self._finish_step(active, active.process.wait())

    def _finish_step(self, active: _Active, code: int) -> None:
        if active.is_stopped(code):
            self._stop(active)
            return
        job, step = active.job, active.steps.pop(0)
        try:
            if code:
                raise SetupError(f'{step.name} ended with {_describe(code)}')
            step.finish()
        except SetupError as error:
            self._fail(job, str(error))
            self._release(active)
            return
        if active.steps:
            self._start(active) if self.limit.may_start() else self._stop(active)
            return
        job.status = 'done'
        self.display.event(f'done    {job.run}')
        self._release(active)

    def _stop(self, active: _Active) -> None:
        active.job.status = 'stopped'
        self.display.event(f'stopped {active.job.run}: {active.step.name} goes on another time')
        self._release(active)

    def _fail(self, job: ScheduledRun, reason: str) -> None:
        job.status, job.reason = 'failed', reason
        self.display.event(f'FAILED  {job.run}: {reason}' + (f'; log: {job.log}' if job.log else ''))

    def _release(self, active: _Active) -> None:
        active.record()
        active.close()
        self._active.remove(active)
        self._free.append(dict(active.environment))


def _describe(code: int) -> str:
    if code > 0:
        return f'exit status {code}'
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f'signal {-code}'


def _end_with_parent() -> Callable[[], None] | None:
    """Return a function that has Linux's kernel end a subprocess when this process is killed; None elsewhere."""
    if not sys.platform.startswith('linux'):
        return None
    prctl = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1

    def request() -> None:
        prctl(set_parent_death_signal, signal.SIGTERM)

    return request
