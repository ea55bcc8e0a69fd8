"""``lewel check``: look at folder and machine, try some steps, and answer whether a training would work."""

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import is_stream, read_json, write_json
from lewel_plugins.planning import GPU, Memory, Plan
from lewel_plugins.planning.arguments import optional_path, positive_number
from lewel_plugins.planning.findings import Finding, gigabytes, show
from lewel_plugins.planning.plan import USABLE
from lewel_plugins.planning.scan import Scan, scan

from .display import duration
from .measurements import room
from .measurements.apart import Unmeasured
from .measurements.input import input_findings, measure_input, most_workers, waiting
from .measurements.memory import measure_memory
from .measurements.step import StepMeasurement, decoding_findings, failed_step, measure_steps, step_findings
from .outputs import check_output
from .preparation import Options, Preparation, check_early, prepare_scanned
from .run_folder import RunFolder
from .training import Say, print_setting

if TYPE_CHECKING:
    from lewel_plugins.checkpoints import StartingWeights

# Shares of the time, besides that of the scan.
_MEMORY, _STEP, _INPUT = 1 / 6, 1 / 3, 1 / 4
_TRIALS, _SHRINK = 3, 0.8  # trials on a GPU whose memory is not enough, each with fewer images
_OUT_OF_MEMORY = 'OutOfMemoryError'


@dataclass(frozen=True)
class Check:
    """The answer.

    Args:
        ok: Whether the training would work, as far as was looked at.
        findings: What the user should know; an error is why it would not.
        plan: The plan; None without one.
        memory: Bytes by name, as far as they are known: ``disk``, ``shared``, and ``device``, the peak of a step.
        time: Seconds that the training would take; None if unknown.
    """

    ok: bool
    findings: tuple[Finding, ...]
    plan: Plan | None
    memory: dict[str, int]
    time: float | None

    @property
    def verdict(self) -> str:
        """The last line that the command prints."""
        if not self.ok:
            return f'no: {next(finding.text for finding in self.findings if finding.level == "error")}'
        assert self.plan is not None
        length = 'an unknown time' if self.time is None else duration(self.time)
        return f'go: {self.plan["images"]:,} images, {length}, {gigabytes(self.memory["disk"])}'

    def as_json(self) -> dict[str, Any]:
        """Return all of it as json values."""
        return dict(
            ok=self.ok,
            verdict=self.verdict,
            findings=[asdict(finding) for finding in self.findings],
            plan=None if self.plan is None else self.plan.as_dict(),
            memory=self.memory,
            time=self.time,
        )


def check(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    method: str = 'lewel-m',
    backbone: str | None = None,
    weights: str | os.PathLike | None = None,
    epochs: int | None = None,
    hours: float | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    gpus: int | str | None = 'all',
    workers: int | None = None,
    labels: str | os.PathLike | None = None,
    holdout: int | None = None,
    seed: int = 0,
    overrides: Sequence[str] | None = None,
    out: str | os.PathLike | None = None,
    seconds: float = 120,
    json: str | os.PathLike | None = None,
    say: Say = print,
) -> Check:
    """Look at folder and machine, and try some steps: would this training work, and how long would it take?

    Nothing is written, but for ``json``.

    Args:
        images: Folders, image files, or ``.txt`` lists of files.
        method: As in :func:`pretrain`, like all arguments that are not described here.
        backbone: See there.
        weights: See there.
        epochs: See there.
        hours: See there.
        batch_size: See there.
        image_size: See there.
        gpus: See there.
        workers: See there.
        labels: See there.
        holdout: See there.
        seed: See there.
        overrides: See there.
        out: Folder of the run, which holds none or one with the same options; by default the disk of the current folder
            is looked at.
        seconds: Time to take. A part that is not over in time states how far it came.
        json: File for the answer.
        say: Receives each line that the command prints.

    Raises:
        SetupError: An argument cannot be right.
    """
    options = Options.of(
        images,
        overrides,
        gpus,
        weights=weights,
        labels=labels,
        method=method,
        backbone=backbone,
        epochs=epochs,
        hours=hours,
        batch_size=batch_size,
        image_size=image_size,
        workers=workers,
        holdout=holdout,
        seed=seed,
    )
    return check_options(options, out, seconds, json, say)


def check_options(
    options: Options,
    out: str | os.PathLike | None = None,
    seconds: float = 120,
    json: str | os.PathLike | None = None,
    say: Say = print,
) -> Check:
    """Do what :func:`check` does, with options that are known to be right.

    Raises:
        SetupError: An image or folder does not exist, weights or a setting are wrong, the time is not positive,
            ``json`` cannot be written, or ``out`` holds something else.
    """
    seconds = positive_number('--seconds', seconds)
    out, json = optional_path('--out', out), optional_path('--json', json)
    _check_writable(json)
    if out is not None:
        RunFolder(out).check(options.shaping())
    result = _Checker(options, out, seconds, say, check_early(options, say)).run()
    say(result.verdict)
    if json is not None:
        write_json(Path(json), result.as_json())
    return result


def _check_writable(json: str | os.PathLike | None) -> None:
    if json is None:
        return
    if is_stream(Path(json)):
        if not os.access(json, os.W_OK):
            raise SetupError(f'cannot write {show(json)}: permission denied')
        return
    folder = Path(os.path.realpath(json)).parent
    if Path(json).is_dir():
        raise SetupError(f'--json takes a file, and {show(json)} is a folder')
    if not folder.is_dir():
        raise SetupError(f'cannot write {show(json)}: {show(folder)} does not exist')
    if not os.access(folder, os.W_OK):
        raise SetupError(f'cannot write {show(json)}: permission denied')
    check_output('--json', Path(json), is_check)


def is_check(path: Path) -> bool:
    """Return whether a file is one that an earlier check has written."""
    content = read_json(path)
    return isinstance(content, dict) and {'ok', 'verdict', 'findings'} <= set(content)


class _Refused(Exception):
    """There is an error, so that nothing further can be looked at."""


class _Checker:
    """One check.

    Args:
        options: What the user asks for.
        out: Folder of the run.
        seconds: Time for all of it.
        say: Receives each line.
        start: Weights to start from; None for random ones.
    """

    def __init__(
        self, options: Options, out: str | None, seconds: float, say: Say, start: 'StartingWeights | None' = None
    ) -> None:
        self.options, self.out, self.seconds, self.say, self.start = options, out, seconds, say, start
        self.end = time.monotonic() + seconds
        self.findings: list[Finding] = []
        self.memory: dict[str, int] = {}
        self.preparation: Preparation | None = None
        self.time: float | None = None
        self._last = time.monotonic()

    def run(self) -> Check:
        """Run all parts, and stop at an error."""
        try:
            self._plan(self._scan())
            self._fake_steps()
            self._time(self._steps())
            self._room()
        except _Refused:
            pass
        ok = all(finding.level != 'error' for finding in self.findings)
        resolved = self.preparation.plan if self.preparation else None
        return Check(ok, tuple(self.findings), resolved, self.memory, self.time)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    @property
    def prepared(self) -> Preparation:
        """The training, once there is a plan."""
        assert self.preparation is not None
        return self.preparation

    def part(self, name: str, text: str) -> None:
        """Print the result of a part."""
        now = time.monotonic()
        self.say(f'{name:<8} {text} ({now - self._last:.1f} s)')
        self._last = now

    def find(self, findings: Iterable[Finding]) -> None:
        """Print findings.

        Raises:
            _Refused: One of them is an error.
        """
        new = list(findings)
        self.findings += new
        for finding in new:
            self.say(str(finding))
        if any(finding.level == 'error' for finding in new):
            raise _Refused

    def refuse(self, code: str, error: SetupError) -> None:
        """Count an error of a part as a finding."""
        self.find([Finding('error', code, str(error))])

    def _scan(self) -> Scan:
        try:
            result = scan(self.options.images, self.seconds, progress=self.part)
        except SetupError as error:
            self.refuse('list', error)
            raise
        self.find(result.findings)
        return result

    def _plan(self, folder: Scan) -> None:
        try:
            self.preparation = prepare_scanned(self.options, folder, self.start)
        except SetupError as error:
            self.refuse('plan', error)
        self.part('plan', f'{len(list(self.prepared.plan))} settings')
        for setting in self.prepared.plan:
            print_setting(setting, self.say)
        self.find(self.prepared.findings[len(folder.findings) :])

    def _replan(self, code: str, **facts: Any) -> None:
        """Plan anew with a measurement, and print what it changes."""
        before = self.prepared
        try:
            self.preparation = before.with_facts(**facts)
        except SetupError as error:
            self.refuse(code, error)
        for setting in self.prepared.plan:
            if before.plan[setting.name] != setting.value:
                print_setting(setting, self.say)
        self.find(finding for finding in self.prepared.findings if finding not in before.findings)

    def _fake_steps(self) -> None:
        gpus = self.prepared.plan['gpus']
        if not gpus:
            return
        try:
            memory = measure_memory(self.prepared, min(_MEMORY * self.seconds, self.left))
        except Unmeasured as error:
            self.find([Finding('note', 'memory', f'the memory of a step is unknown: {error}')])
            return
        free = min(gpu.free for gpu in gpus)
        need = memory.need(self._images_per_rank())
        self.memory['device'] = round(need)
        self.part('memory', f'{self._images_per_rank()} images need {gigabytes(need)}, {gigabytes(free)} are free')
        self._replan('memory', memory=memory)

    def _images_per_rank(self) -> int:
        plan = self.prepared.plan
        return plan['batch_size'] // plan['ranks'] // plan['accumulation']

    def _steps(self) -> StepMeasurement | None:
        """Take steps on all devices, and return the slowest; with fewer images if they do not fit on a GPU."""
        gpus: Sequence[GPU | None] = self.prepared.plan['gpus'][: self.prepared.plan['ranks']] or (None,)
        devices = ['the CPU' if gpu is None else f'GPU {gpu.index}' for gpu in gpus]
        for trial in range(_TRIALS):
            results = measure_steps(self.prepared, min(_STEP * self.seconds, self.left), gpus)
            full = [name for name, result in zip(devices, results) if getattr(result, 'kind', '') == _OUT_OF_MEMORY]
            if not full or trial == _TRIALS - 1:
                break
            self.say(f'{self._images_per_rank()} images do not fit on {full[0]}')
            self._shrink()
        for device, result in zip(devices, results):
            if isinstance(result, Unmeasured):
                self.find([failed_step(result, device)])
            else:
                self._describe(result, device)
        steps = [result for result in results if not isinstance(result, Unmeasured)]
        return max(steps, key=lambda step: step.seconds_per_step, default=None)

    def _shrink(self) -> None:
        """Plan with as much less memory as a trial without success calls for."""
        fits = int(_SHRINK * self._images_per_rank())
        free = min(gpu.free for gpu in self.prepared.plan['gpus'])
        self._replan('memory', memory=Memory(0, USABLE * free / (fits + 0.5)))

    def _describe(self, step: StepMeasurement, device: str) -> None:
        images = self._images_per_rank()
        part = '' if step.batch == images else f', from steps of {step.batch} of {images} images'
        spread = '' if step.spread is None else f', spread {step.spread:.2f}'
        text = f'{step.steps} steps on {device}: {step.seconds_per_step:.2f} s each{part}, finite loss{spread}'
        if step.finite:
            self.part('step', f'{text}, {step.wait:.0%} of the time waiting for images')
        self.memory.setdefault('device', step.memory)
        self.find(step_findings(step, device))
        self.find(decoding_findings(step, self.prepared.scan.listing.title))

    def _time(self, step: StepMeasurement | None) -> None:
        if step is None:
            return
        seconds = step.seconds_per_step
        if self.prepared.plan['gpus']:
            seconds = self._input(step)
        self._replan('plan', **{**step.facts(), 'step_seconds': seconds})
        plan = self.prepared.plan
        steps = plan['epochs'] * ((plan['images'] - plan['holdout']) // plan['batch_size'])
        validations = 1 + math.ceil(plan['epochs'] / plan['monitor_epochs'])
        self.time = step.startup + steps * seconds + validations * step.validation

    def _input(self, step: StepMeasurement) -> float:
        """Measure the loader beside a GPU, and return the seconds per step with the wait for images."""
        plan, most = self.prepared.plan, most_workers(self.prepared)
        seconds = step.seconds_per_step * (1 - step.wait)
        try:
            measurement = measure_input(self.prepared, min(_INPUT * self.seconds, self.left))
        except Unmeasured as error:
            self.find([Finding('note', 'input', f'the loader was not measured: {error}')])
            return step.seconds_per_step
        views = plan['batch_size'] // plan['ranks'] * plan.method.num_views
        demand = views / seconds
        self.part('input', f'{measurement.describe()}; the GPU takes {demand:,.0f}')
        self.find(input_findings(measurement, demand, plan['workers'], most))
        wait = min(0.99, waiting(measurement.supply(plan['workers']), demand))
        return seconds / (1 - wait)

    def _room(self) -> None:
        prepared = self.prepared
        try:
            self.memory['disk'] = room.disk_bytes(prepared)
        except SetupError as error:
            self.refuse('room', error)
        self.memory['shared'] = room.shared_bytes(prepared)
        self.part('room', f'{gigabytes(self.memory["disk"])} on the disk for checkpoints and logs')
        self.find(room.disk_findings(self.memory['disk'], self.out))
        self.find(room.shared_findings(self.memory['shared'], prepared.plan['workers']))
        if not prepared.plan['gpus'] and 'device' in self.memory:
            needed = self.memory['device'] + self.memory['shared']
            self.find(room.memory_findings(needed, prepared.facts.machine.memory))
