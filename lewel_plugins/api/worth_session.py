"""One call of ``lewel worth``: from the images to the answer."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.files import read_json, write_json, write_text
from lewel_plugins.payoff.cost import Choice, Seconds, Sizes, cost, describe, within_hours
from lewel_plugins.payoff.design import FINETUNE, KNN, LINEAR, PRETRAINED, Design
from lewel_plugins.payoff.experiment import Experiment
from lewel_plugins.payoff.splits import distinct_subsets
from lewel_plugins.payoff.verdicts import Verdict

from .run_folder import RunFolder
from .training import Say
from .worth_networks import ArmNetworks
from .worth_request import Request

if TYPE_CHECKING:
    from lewel_plugins.payoff.answer import Outcome
    from lewel_plugins.payoff.material import Material
    from lewel_plugins.payoff.protocol import Protocol, Tune

RESULT, PAGE = 'worth.json', 'report.html'


@dataclass(frozen=True)
class Worth:
    """The answer.

    Args:
        path: Its folder.
        status: ``finished``; ``stopped`` or ``interrupted`` after a checkpoint of a pretraining; or ``planned`` by a
            dry run.
        verdicts: One per question, the primary one first.
        table: One row per arm, task and subset of the labels, with mean, standard deviation and values by seed.
    """

    path: Path
    status: str
    verdicts: list[Verdict] = field(default_factory=list)
    table: list[dict[str, Any]] = field(default_factory=list)

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / PAGE


def print_cost(choice: Choice, say: Say) -> None:
    """Print the question, the time of each part, and what is left out."""
    say(f'the question: {choice.design.describe()}')
    say('time, about:')
    for line in describe(choice.parts):
        say(line)
    for what in choice.dropped:
        say(f'note: left out to keep to --hours: {what}')


class Session:
    """One call: design, networks and measurements.

    Args:
        request: What the user asks for.
        experiment: The images.
        folder: Folder of the answer.
        work: Folder to write to: the same, or a temporary one in a dry run.
        say: Is called with each line for the user.
    """

    def __init__(self, request: Request, experiment: Experiment, folder: RunFolder, work: Path, say: Say) -> None:
        self.request, self.experiment, self.folder, self.work, self.say = request, experiment, folder, work, say
        self.settings = request.settings
        self.networks = ArmNetworks(request, experiment, work, say)
        self.config = self.networks.config
        self.material: Any = self._material()

    @property
    def _resample(self) -> Any:
        """What :func:`lewel_plugins.payoff.answer.answer` resamples the test images with."""
        return None

    def run(self) -> Worth:
        """Measure all cells, answer, and write the answer."""
        choice = self.choice()
        print_cost(choice, self.say)
        protocol = self._protocol(choice.design)
        outcomes = protocol.run()
        return self._answer(choice.design, outcomes, protocol.rates, choice.dropped)

    def choice(self) -> Choice:
        """Return the design that the time allows, with its cost."""
        seconds = self._seconds()
        design = self._design()
        choices = [self._choice(design, [], seconds)]
        dropped: list[str] = []
        for what, smaller in design.smaller():
            dropped = [
                *(each for each in dropped if not each.startswith('seeds') or not what.startswith('seeds')),
                what,
            ]
            choices.append(self._choice(smaller, dropped, seconds))
        return within_hours(choices, self.request.hours)

    def _protocol(self, design: Design) -> 'Protocol':
        return self._new_protocol(design)

    def _new_protocol(self, design: Design, tune: 'Tune | None' = None) -> 'Protocol':
        from lewel_plugins.payoff.protocol import Networks, Protocol

        networks = Networks(self.networks.random, self.networks.weights, self.networks.pretrained)
        return Protocol(self.work, design, self.material, networks, self.settings.finetune_epochs, self.say, tune)

    def _choice(self, design: Design, dropped: list[str], seconds: Seconds) -> Choice:
        parts = cost(design, self._sizes(design), seconds, self.settings.finetune_epochs)
        return Choice(design, parts, dropped)

    def _sizes(self, design: Design) -> Sizes:
        targets = [self.experiment.targets[i] for i in self.experiment.train]
        counts = {label: targets.count(label) for label in set(targets)}
        return Sizes(
            labeled=len(self.experiment.paths),
            test=len(self.experiment.test),
            subsets=[sum(subset.count(size) for size in counts.values()) for subset in design.subsets],
            steps=self._steps(),
        )

    def _steps(self) -> dict[str, int]:
        """Return the steps of pretraining by arm."""
        if self.request.pretrained is not None:
            return {}
        loader, epochs = self.config.train_dataloader, self.config.train_cfg.max_epochs
        steps = epochs * (len(self.experiment.pretraining) // loader.batch_size)
        return dict(C=steps, D=steps if self.settings.epochs else max(500, steps // 10))

    def _arms(self) -> tuple[str, ...]:
        if self.request.weights is None:
            return 'A', 'C'
        return ('A', 'B', 'D') if self.request.pretrained else ('A', 'B', 'C', 'D')

    def _design(self) -> Design:
        targets = [self.experiment.targets[i] for i in self.experiment.train]
        tasks = (KNN, LINEAR, FINETUNE) if self.settings.finetune else (KNN, LINEAR)
        chosen = distinct_subsets(self.request.candidates(), targets)
        return Design(self._arms(), tasks, tuple(chosen), self.request.seeds)

    def _seconds(self) -> Seconds:
        """Return measured times; of the first call, so that a resume has the same design."""
        note = self.work / 'seconds.json'
        values = read_json(note)
        if not isinstance(values, dict):
            self.say('measuring steps')
            values = asdict(self._measure_seconds())
            write_json(note, values)
        return Seconds(**values)

    def _measure_seconds(self) -> Seconds:
        from lewel_plugins.payoff.timing import measure_seconds

        return measure_seconds(self.config, self.networks.random(0), self.material)

    def _material(self) -> 'Material':
        from lewel_plugins.payoff.material import Material

        e = self.experiment
        workers = min(4, self.config.train_dataloader.num_workers)
        folder = self.work / 'work'
        return Material(
            e.paths, e.targets, e.classes, e.train, e.test, e.groups, self.config.image_size, workers, folder
        )

    def _answer(
        self, design: Design, outcomes: 'list[Outcome]', rates: dict[str, dict[str, Any]], dropped: list[str]
    ) -> Worth:
        from lewel_plugins.payoff.answer import answer, as_json
        from lewel_plugins.payoff.page import render

        times = self._times(design, outcomes, rates)
        per_seed = sum(sum(parts.values()) for parts in times.values()) / design.seeds
        looks = self._looks(design.seeds)
        remarks = self._remarks(dropped, looks, design.seeds)
        groups = self.material.test_groups
        margin = self.request.margin
        result = answer(design, outcomes, groups, margin, per_seed, 'lewel worth …', remarks, self._resample)
        content = dict(as_json(result), margin=self.request.margin, looks=looks, rates=rates, seconds=times)
        page = render(result, self.request.margin, len(groups), rates, times)
        write_text(self.folder / PAGE, page)
        write_json(self.folder / RESULT, content)
        self.say(result.verdicts[0].sentence)
        for remark in result.remarks:
            self.say(f'note: {remark}')
        self.say(f'finished: {self.folder / PAGE}')
        return Worth(self.folder.path, 'finished', result.verdicts, result.table)

    def _times(
        self, design: Design, outcomes: 'list[Outcome]', rates: dict[str, dict[str, Any]]
    ) -> dict[str, dict[str, float]]:
        """Return the seconds of pretraining and of tasks by arm."""
        times: dict[str, dict[str, float]] = {}
        for arm in design.arms:
            searches = sum(choice['seconds'] for key, choice in rates.items() if key.startswith(f'{arm}_'))
            times[arm] = dict(tasks=sum(o.seconds for o in outcomes if o.arm == arm) + searches)
            if arm in PRETRAINED and self.request.pretrained is None:
                times[arm]['pretraining'] = sum(self.networks.seconds(arm, seed) for seed in range(design.seeds))
        return times

    def _looks(self, seeds: int) -> list[int]:
        """Return the numbers of seeds of all answers so far."""
        before = read_json(self.folder / RESULT)
        looks = before.get('looks', []) if isinstance(before, dict) else []
        return [*(each for each in looks if each < seeds), seeds]

    def _remarks(self, dropped: list[str], looks: list[int], seeds: int) -> list[str]:
        remarks = [f'{warning}.' for warning in self.experiment.warnings]
        if self.settings.transductive:
            remarks.append('Transductive: pretraining has seen the test images, which may favor it in every number.')
        if self.request.pretrained is not None:
            remarks.append(
                'One network is judged: seeds vary labels, head and order only, and another pretraining of the same '
                'kind may differ by more than the intervals show.'
            )
        if len(looks) > 1:
            remarks.append(
                f'Seeds were added after a look at the answer of {looks[-2]}: the intervals are not adjusted for that.'
            )
        remarks += [f'Left out to keep to --hours: {what}.' for what in dropped]
        return remarks
