"""``lewel worth``: does pretraining pay on these images?"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_bytes, write_json, write_text
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.planning import find_method
from lewel_plugins.planning.backbones import find_backbone
from lewel_plugins.planning.listing import list_images
from lewel_plugins.worth.cost import Choice, Seconds, Sizes, cost, describe, within_hours
from lewel_plugins.worth.design import ARMS, FINETUNE, KNN, LINEAR, PRETRAINED, Design
from lewel_plugins.worth.experiment import Experiment, prepare_experiment
from lewel_plugins.worth.labels import read_labels
from lewel_plugins.worth.quiet import quiet
from lewel_plugins.worth.settings import Settings, parse_settings
from lewel_plugins.worth.splits import Subset, distinct_subsets, subsets
from lewel_plugins.worth.verdicts import Verdict

from .run_folder import LOG, PLAN, SESSIONS, RunFolder

if TYPE_CHECKING:
    from mmengine.config import Config

    from lewel_plugins.worth.answer import Outcome
    from lewel_plugins.worth.material import Material

Say = Callable[[str], None]
RESULT, PAGE = 'worth.json', 'report.html'
IMAGES_LIST, NETWORK_CONFIG = 'pretraining_images.txt', 'pretraining.py'


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


@dataclass(frozen=True)
class _Request:
    """The arguments of a call, as far as they can be checked without the images."""

    images: tuple[str, ...]
    labels: str
    weights: str | None
    pretrained: str | None
    fractions: tuple[float, ...]
    group_by: str | None
    settings: Settings
    overrides: tuple[str, ...]
    seeds: int
    margin: float
    hours: float | None

    def shaping(self) -> dict[str, Any]:
        """Return, as json values, what the results depend on. Seeds may be added later, and a margin changed."""
        values = asdict(self)
        for name in ('seeds', 'margin', 'hours'):
            values.pop(name)
        settings = values.pop('settings')
        for name in ('gpus', 'workers'):
            settings.pop(name)
        lists = {name: list(values[name]) for name in ('images', 'fractions', 'overrides')}
        return {**values, **lists, **settings, 'shots': list(settings['shots'])}

    def candidates(self) -> list[Subset]:
        """Return the subsets of labels."""
        return subsets(self.settings.shots, self.fractions)


class Stopped(Exception):
    """A pretraining has stopped after a checkpoint.

    Args:
        status: ``stopped`` or ``interrupted``.
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


def worth(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    labels: str | os.PathLike,
    out: str | os.PathLike,
    *,
    weights: str | os.PathLike | None = None,
    pretrained: str | os.PathLike | None = None,
    fractions: Sequence[float] = (0.01, 0.1, 1),
    seeds: int = 5,
    margin: float = 1.0,
    group_by: str | None = None,
    hours: float | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    say: Say = print,
) -> Worth:
    """Measure whether pretraining pays on images. The same call goes on with an unfinished measurement.

    Args:
        images: Folders, image files, or ``.txt`` lists of files, to pretrain on.
        labels: Class folders, or a csv with the columns ``path`` and ``label``.
        out: Folder of the answer.
        weights: Weights to compare with and to continue from: a file, the folder of a run, or an address.
        pretrained: Folder of a run, which is judged instead of networks that are pretrained anew per seed.
        fractions: Shares of the labels to train with; all labels are always among them.
        seeds: Number of seeds; fewer than three give numbers without a verdict.
        margin: The least gain that matters, in points.
        group_by: ``folder`` or a column of the csv: images that are not split between training and test.
        hours: Time to take at most.
        overrides: Settings ``KEY=VALUE``: those of the experiment (:class:`Settings`), or of the config of pretraining.
        dry_run: Whether to print the cost and to write nothing.
        say: Is called with each line that the command would print.

    Raises:
        SetupError: Something does not allow the measurement; nothing has been written then.
    """
    names = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    request = _check(names, labels, weights, pretrained, fractions, seeds, margin, group_by, hours, overrides)
    folder = RunFolder(out)
    folder.check(request.shaping())
    experiment = _experiment(folder, request, say)
    if dry_run:
        with tempfile.TemporaryDirectory() as scratch, quiet(say, None) as show:
            session = _Session(request, experiment, folder, Path(scratch), show)
            _print_cost(session.choice(), show)
        return Worth(folder.path, 'planned')
    with folder.locked():
        if folder.is_new:
            _write_plan(folder, request, experiment)
        with quiet(say, folder / LOG) as show:
            try:
                return _Session(request, experiment, folder, folder.path, show).run()
            except Stopped as stop:
                show(f'stopped after a checkpoint; the same command goes on with {folder.path}')
                return Worth(folder.path, stop.status)


def _check(
    images: Sequence[str | os.PathLike],
    labels: str | os.PathLike,
    weights: str | os.PathLike | None,
    pretrained: str | os.PathLike | None,
    fractions: Sequence[float],
    seeds: int,
    margin: float,
    group_by: str | None,
    hours: float | None,
    overrides: Sequence[str],
) -> _Request:
    if seeds < 1:
        raise SetupError(f'--seeds must be at least 1, got {seeds}')
    if not margin > 0:
        raise SetupError(f'--margin must be positive, got {margin:g}')
    if hours is not None and not hours > 0:
        raise SetupError(f'--hours must be positive, got {hours:g}')
    settings, rest = parse_settings(overrides)
    find_method(settings.method)
    if settings.backbone is not None:
        find_backbone(settings.backbone)
    start, run = (None if name is None else os.fspath(name) for name in (weights, pretrained))
    if run is not None and RunFolder(run).is_new:
        raise SetupError(f'--pretrained {run} is not the folder of a run of lewel pretrain')
    request = _Request(
        tuple(os.fspath(name) for name in images),
        os.fspath(labels),
        start,
        run,
        tuple(fractions),
        group_by,
        settings,
        tuple(rest),
        seeds,
        margin,
        hours,
    )
    request.candidates()
    if start is not None:
        from .preparation import weights_file

        weights_file(start)
    return request


def _experiment(folder: RunFolder, request: _Request, say: Say) -> Experiment:
    """Return the images of an experiment: as they were when it started, if it has."""
    if not folder.is_new:
        return Experiment.from_json(folder.record()['experiment'], folder.path)
    listing = list_images(request.images)
    labels = read_labels(request.labels, listing.roots)
    from lewel_plugins.running.resources import cores

    settings = request.settings
    experiment = prepare_experiment(
        listing, labels, request.group_by, settings.test_share, settings.transductive, max(1, cores() - 1), say
    )
    for warning in experiment.warnings:
        say(f'warning: {warning}')
    if request.pretrained is not None and not settings.transductive:
        _check_unseen(Path(request.pretrained), experiment)
    return experiment


def _check_unseen(run: Path, experiment: Experiment) -> None:
    """Refuse a network that was trained on test images, or on images that resemble them."""
    from mmengine.config import Config

    from lewel_plugins.datasets.image_list import read_image_list

    data = Config.fromfile(run / 'config.py').train_dataloader.dataset.dataset
    trained = {os.path.realpath(os.path.join(data.data_root, path)) for path in read_image_list(data.list_file)}
    allowed = {os.path.realpath(path) for path in experiment.pretraining}
    tests = {os.path.realpath(experiment.paths[i]) for i in experiment.test}
    seen = len(trained & tests)
    if seen or not trained <= allowed:
        what = (
            f'{seen:,} of the {len(tests):,} test images' if seen else 'images that are not among those to pretrain on'
        )
        raise SetupError(
            f'{run} was trained on {what}; leave out --pretrained, or add --set transductive=True, which marks every '
            'number'
        )


def _write_plan(folder: RunFolder, request: _Request, experiment: Experiment) -> None:
    """Write what the answer is made of; ``plan.json`` last, because it makes the folder a run."""
    lines = [path_line(os.path.relpath(path, folder.path)) for path in experiment.pretraining]
    write_bytes(folder / IMAGES_LIST, encode_lines(lines))
    record = dict(request=request.shaping(), experiment=experiment.as_json(folder.path))
    write_json(folder / PLAN, record)


def _print_cost(choice: Choice, say: Say) -> None:
    say(f'the question: {choice.design.describe()}')
    say('time, about:')
    for line in describe(choice.parts):
        say(line)
    for what in choice.dropped:
        say(f'note: left out to keep to --hours: {what}')


class _Session:
    """One call: design, networks and measurements.

    Args:
        request: What the user asks for.
        experiment: The images.
        folder: Folder of the answer.
        work: Folder to write to: the same, or a temporary one in a dry run.
        say: Is called with each line for the user.
    """

    def __init__(self, request: _Request, experiment: Experiment, folder: RunFolder, work: Path, say: Say) -> None:
        self.request, self.experiment, self.folder, self.work, self.say = request, experiment, folder, work, say
        self.settings = request.settings
        self.weights = self._write_weights() if request.weights is not None else None
        self.config = self._config()
        self.material = self._material()

    def run(self) -> Worth:
        """Measure all cells, answer, and write the answer."""
        from lewel_plugins.worth.protocol import Networks, Protocol

        choice = self.choice()
        _print_cost(choice, self.say)
        networks = Networks(self._random, self.weights, self._pretrained)
        epochs = self.settings.finetune_epochs
        protocol = Protocol(self.work, choice.design, self.material, networks, epochs, self.say)
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

    def _choice(self, design: Design, dropped: list[str], seconds: Seconds) -> Choice:
        targets = [self.experiment.targets[i] for i in self.experiment.train]
        counts = {label: targets.count(label) for label in set(targets)}
        loader, epochs = self.config.train_dataloader, self.config.train_cfg.max_epochs
        steps = epochs * (len(self.experiment.pretraining) // loader.batch_size)
        single = self.request.pretrained is not None
        sizes = Sizes(
            labeled=len(self.experiment.paths),
            test=len(self.experiment.test),
            subsets=[sum(subset.count(size) for size in counts.values()) for subset in design.subsets],
            steps={} if single else dict(C=steps, D=steps if self.settings.epochs else max(500, steps // 10)),
        )
        return Choice(design, cost(design, sizes, seconds, self.settings.finetune_epochs), dropped)

    def _design(self) -> Design:
        arms: tuple[str, ...] = ('A', 'C')
        if self.request.weights is not None:
            arms = ('A', 'B', 'D') if self.request.pretrained else ('A', 'B', 'C', 'D')
        targets = [self.experiment.targets[i] for i in self.experiment.train]
        tasks = (KNN, LINEAR, FINETUNE) if self.settings.finetune else (KNN, LINEAR)
        chosen = distinct_subsets(self.request.candidates(), targets)
        return Design(arms, tasks, tuple(chosen), self.request.seeds)

    def _seconds(self) -> Seconds:
        """Return measured times; of the first call, so that a resume has the same design."""
        note = self.work / 'seconds.json'
        values = read_json(note)
        if not isinstance(values, dict):
            from lewel_plugins.worth.timing import measure_seconds

            self.say('measuring steps')
            values = asdict(measure_seconds(self.config, self._random(0), self.material))
            write_json(note, values)
        return Seconds(**values)

    def _config(self) -> 'Config':
        """Return the config of pretraining from random weights, which is written down once."""
        from mmengine.config import Config

        file = self.work / NETWORK_CONFIG
        if not file.is_file():
            write_text(file, self._plan_pretraining().pretty_text)
        return Config.fromfile(file)

    def _plan_pretraining(self) -> 'Config':
        from lewel_plugins.planning.compose import Images

        from .preparation import Options, prepare

        images = self.work / IMAGES_LIST
        if not images.is_file():  # in a dry run
            write_bytes(images, encode_lines(path_line(os.path.abspath(path)) for path in self.experiment.pretraining))
        options = Options.of([images], self._overrides(), self.settings.gpus, seed=0, **self._pretraining('C'))
        preparation = prepare(options, say=self.say)
        here = '{{ fileDirname }}'
        dataset = dict(type='lewel_plugins.ImageList', list_file=f'{here}/{IMAGES_LIST}', data_root=here)
        config = preparation.config(Images(dataset))
        config.image_size = preparation.plan['image_size']
        return config

    def _pretraining(self, arm: str) -> dict[str, Any]:
        """Return the arguments of the pretraining of an arm."""
        arguments: dict[str, Any] = {**self.settings.pretraining(), 'hours': None, 'holdout': 0}
        if self.weights is not None:
            arguments['backbone'] = self._backbone_name
        if arm == 'D':
            arguments['weights'] = self.request.weights
        return arguments

    def _overrides(self, arm: str = 'C') -> list[str]:
        """Return the settings of the config; the stem of C's network is that of the given weights."""
        stem = [f'model.backbone.type={self._backbone_type}'] if self.weights is not None and arm == 'C' else []
        return [*self.request.overrides, *stem]

    def _write_weights(self) -> Path:
        from lewel_plugins.checkpoints import read_starting_weights
        from lewel_plugins.planning.backbones import name_of

        from .preparation import weights_file

        name = str(self.request.weights)
        weights = read_starting_weights(name, weights_file(name), self.say)
        self._backbone_name = name_of(weights.settings, name)
        self._backbone_type = str(weights.settings['type'])
        path = self.work / 'networks' / 'given.pth'
        if not path.is_file():
            weights.write(path)
        return path

    def _material(self) -> 'Material':
        from lewel_plugins.worth.material import Material

        e = self.experiment
        workers = min(4, self.config.train_dataloader.num_workers)
        folder = self.work / 'work'
        return Material(
            e.paths, e.targets, e.classes, e.train, e.test, e.groups, self.config.image_size, workers, folder
        )

    def _random(self, seed: int) -> Path:
        from lewel_plugins.worth.networks import write_random_network

        path = self.work / 'networks' / f'random_seed{seed}.pth'
        if not path.is_file():
            write_random_network(self.config, seed, path)
        return path

    def _pretrained(self, arm: str, seed: int) -> Path:
        """Pretrain an arm with a seed, if that is not done, and return its checkpoint."""
        from lewel_plugins.running.work_dir import last_checkpoint

        if self.request.pretrained is not None:
            return last_checkpoint(self.request.pretrained)
        from .pretrain import pretrain

        run = RunFolder(self.folder / 'pretraining' / f'{arm}_seed{seed}')
        if not run.is_finished:
            self.say(f'pretraining {arm} ({ARMS[arm]}), seed {seed}: {seed + 1} of {self.request.seeds}')
            result = pretrain(
                self.folder / IMAGES_LIST,
                run.path,
                gpus=self.settings.gpus if self.settings.gpus is not None else 'all',
                seed=seed,
                overrides=self._overrides(arm),
                **self._pretraining(arm),
            )
            if result.status != 'finished':
                raise Stopped(result.status)
        return last_checkpoint(run.path)

    def _answer(
        self, design: Design, outcomes: 'list[Outcome]', rates: dict[str, dict[str, Any]], dropped: list[str]
    ) -> Worth:
        from lewel_plugins.worth.answer import answer, as_json
        from lewel_plugins.worth.page import render

        times = self._times(design, outcomes, rates)
        per_seed = sum(sum(parts.values()) for parts in times.values()) / design.seeds
        looks = self._looks(design.seeds)
        remarks = self._remarks(dropped, looks, design.seeds)
        groups = self.material.test_groups
        result = answer(design, outcomes, groups, self.request.margin, per_seed, 'lewel worth …', remarks)
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
                runs = [self.folder / 'pretraining' / f'{arm}_seed{seed}' for seed in range(design.seeds)]
                times[arm]['pretraining'] = sum(map(_training_seconds, runs))
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


def _training_seconds(run: Path) -> float:
    """Return the time of all starts of a training."""
    sessions = read_json(run / SESSIONS)
    return float(sum(session['seconds'] for session in sessions)) if isinstance(sessions, list) else 0.0
