"""A row of a comparison with a seed: the subprocesses to run for it, and its files."""

import copy
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json, write_text
from lewel_plugins.running.commands import fill_placeholders, python_command
from lewel_plugins.running.jobs import Job, digest
from lewel_plugins.running.num_views import expand_num_views
from lewel_plugins.running.setup import load_config
from lewel_plugins.running.work_dir import find_last_checkpoint, last_checkpoint
from lewel_plugins.visualization.curves import Curve, read_curves

from .spec import Comparison, Row, file_name
from .step import Step

TRAINING = 'train'
_COMMAND = 'command'


class Run:
    """A row with a seed.

    The name of its folder has a digest of the resolved config. So a changed config runs in a new folder, and once the
    change is undone, the old results count again. If another comparison has a folder for the same training, where it is
    further than in the run's own, the run uses that one, so that a baseline of several comparisons is trained once.

    Commands of rows and posts may contain these placeholders: ``{python}``, this interpreter; ``{tools}``, the folder
    ``tools``; ``{config}``, the resolved config; ``{work_dir}``, the run's folder; ``{checkpoint}``, its last
    checkpoint (posts only); ``{seed}``; and ``{json}``, the file that the command has to write.

    Args:
        comparison: The comparison.
        row: A row of it.
        seed: The seed; the first one for a row with ``per_seed=False``.
        config: The row's config with its options.
        work_dir: Folder of the comparison.
        train_script: The script that trains; ``{tools}`` is its folder.
        processes: Number of processes that train it, each with one batch of the config.
        recipes: Name of a post → the configs that determine its results. A changed one makes the post run again.
    """

    def __init__(
        self,
        comparison: Comparison,
        row: Row,
        seed: int,
        config: Config,
        work_dir: Path,
        train_script: Path,
        processes: int = 1,
        recipes: Mapping[str, Sequence[dict]] | None = None,
    ) -> None:
        self.row = row
        self.seed = seed
        self.processes = processes
        self.config = Config(config.to_dict(), filename=config.filename)
        self.config.merge_from_dict({'randomness.seed': seed})
        self.train_script = train_script
        # One process adds nothing, so that the folders of earlier versions count.
        self.digest = _short_digest(self.config.to_dict(), row.command, *([processes] if processes > 1 else []))
        folder = f'seed{seed}' if row.per_seed else 'once'
        self.row_folder = file_name(row.name)
        self._post = comparison.post
        self._recipes = recipes or {}
        self._prefixes = {file_name(post.name): f'{post.prefix}/' for post in comparison.post if post.prefix}
        self.use(work_dir / self.row_folder / f'{folder}-{self.digest}')

    def __str__(self) -> str:
        return f'{self.row.name}, seed {self.seed}' if self.row.per_seed else self.row.name

    def use(self, folder: Path) -> None:
        """Take another folder than the run's own, such as that of another comparison."""
        self.work_dir = folder
        self.steps = self._steps()

    def _steps(self) -> list[Step]:
        if self.row.command:
            return [self._step(_COMMAND, self.row.command, self.work_dir / 'command.json')]
        script = (str(self.train_script), '{config}', '--work-dir', '{work_dir}', '--resume')
        train = python_command(script, self.processes)
        steps = [self._step(TRAINING, train, None)]
        for post in self._post:
            if not post.rows or self.row.name in post.rows:
                name = file_name(post.name)
                output, recipes = self.work_dir / f'{name}.json', self._recipes.get(post.name, ())
                steps.append(self._step(name, post.command, output, recipes))
        return steps

    def _step(self, name: str, command: tuple[str, ...], output: Path | None, recipes: Sequence[dict] = ()) -> Step:
        note = 'done.json' if name in (TRAINING, _COMMAND) else f'{name}.done.json'
        inputs = dict(digest=self.digest if output is None else _short_digest(self.digest, command, *recipes))
        select = self.row.select if name == _COMMAND else ''
        return Step(name, command, Job(self.work_dir / note, inputs), self.work_dir / f'{name}.log', output, select)

    def is_done(self) -> bool:
        """Return whether all steps have succeeded."""
        return all(self.steps_done(self.work_dir))

    def steps_done(self, folder: Path) -> list[bool]:
        """Return whether each step has succeeded in a folder, which need not be the one in use."""
        return [Job(folder / step.job.note.name, step.job.inputs).is_done() for step in self.steps]

    def is_trained(self) -> bool:
        """Return whether the training, or the row's command, has succeeded."""
        return self.steps[0].is_done()

    def prepare(self) -> None:
        """Write the resolved config, so that later edits of a config do not change what is run."""
        write_text(self.config_path, self.config.pretty_text)

    @property
    def config_path(self) -> Path:
        """Path of the resolved config."""
        # The runner dumps its own version into the work dir under the same name.
        return self.work_dir / 'launch' / f'{Path(self.config.filename).stem}.py'

    def command(self, step: Step) -> list[str]:
        """Return the command line of a step.

        Raises:
            SetupError: A placeholder is unknown, or stands for a checkpoint that does not exist.
        """
        values: dict[str, Any] = dict(
            python=sys.executable,
            tools=self.train_script.parent,
            config=self.config_path,
            work_dir=self.work_dir,
            seed=self.seed,
            json=step.output or '',
            checkpoint='',
        )
        try:
            if any('{checkpoint}' in word for word in step.command):
                values['checkpoint'] = last_checkpoint(self.work_dir)
            return fill_placeholders(step.command, values)
        except SetupError as error:
            raise SetupError(f'{step.name}: {error}') from None

    def total(self) -> tuple[int, str]:
        """Return the length of the training and its unit, epochs or iterations; 0 if the config does not set it."""
        train_cfg = self.config.get('train_cfg') or {}
        if 'max_epochs' in train_cfg:
            return int(train_cfg['max_epochs']), 'epoch'
        return int(train_cfg.get('max_iters', 0)), 'iteration'

    def sessions(self) -> list[dict]:
        """Return commit, machine, start and seconds of every start of this run."""
        sessions = read_json(self.work_dir / 'sessions.json')
        return sessions if isinstance(sessions, list) else []

    def write_sessions(self, sessions: Sequence[Mapping]) -> None:
        """Record the starts of this run."""
        write_json(self.work_dir / 'sessions.json', list(sessions))

    def seconds(self) -> float:
        """Return the time of all sessions."""
        return sum(session['seconds'] for session in self.sessions())

    def results(self) -> tuple[dict[str, Curve], dict[str, float]]:
        """Return the curves of the training, and the numbers of the commands that have finished.

        Raises:
            SetupError: The row selects an entry that the result of its command does not have.
        """
        values: dict[str, float] = {}
        for step in self.steps:
            if step.output is not None and step.is_done():
                values.update(flatten(step.result(), self._prefixes.get(step.name, '')))
        try:
            curves = {} if self.row.command else read_curves(self.work_dir)
        except FileNotFoundError:
            curves = {}
        return curves, values


def recipe_processes(config: Config) -> int:
    """Return how many processes a config is for: the batch that its rate is set for, over the batch of a process.

    Raises:
        SetupError: The one is no multiple of the other.
    """
    each = (config.get('train_dataloader') or {}).get('batch_size', 1)
    total = (config.get('auto_scale_lr') or {}).get('base_batch_size', each)
    if total % each:
        raise SetupError(
            f'the rate is set for steps of {total} images, which train_dataloader.batch_size={each} does not divide'
        )
    return total // each


def plan_runs(
    comparison: Comparison,
    seeds: Sequence[int],
    work_dir: Path,
    train_script: Path,
    others: Path | None = None,
    processes: int | None = None,
) -> list[Run]:
    """Return all runs of a comparison: all rows with the first seed, then all rows with the second, ...

    Args:
        comparison: The comparison.
        seeds: The seeds.
        work_dir: Folder of the comparison.
        train_script: The script that trains.
        others: Folder that holds the folders of comparisons to share trainings with.
        processes: Number of processes that a run may have. Each row then trains on as many as its config is for. By
            default every row trains in one process.

    Raises:
        SetupError: A config cannot be read, the options do not fit it, or it is for more processes.
    """
    configs = resolved_configs(comparison)
    counts = {row.name: 1 for row in comparison.rows}
    if processes is not None:
        counts.update(
            {row.name: _processes(row, configs[row.name], processes) for row in comparison.rows if not row.command}
        )
    recipes = {post.name: _recipes(post.command, train_script.parent) for post in comparison.post}
    runs = [
        Run(comparison, row, seed, configs[row.name], work_dir, train_script, counts[row.name], recipes)
        for seed in seeds
        for row in comparison.rows
        if row.per_seed or seed == seeds[0]
    ]
    if others is not None:
        _share(runs, others)
    return runs


def _recipes(command: Sequence[str], tools: Path) -> list[dict]:
    """Return the evaluation suites that a command names by their path from the folder ``tools``, and their recipes.

    Raises:
        SetupError: One of them does not exist.
    """
    prefix, recipes = '{tools}/../configs/', []
    for file in (tools.parent / 'configs' / word.removeprefix(prefix) for word in command if word.startswith(prefix)):
        suite = load_config(str(file))
        words = [word for entry in suite.get('commands', []) for word in shlex.split(entry.command)]
        names = [word.removeprefix('{configs}/') for word in words if word.startswith('{configs}/')]
        names = [*([suite.linear] if 'linear' in suite else []), *(name for name in names if name.endswith('.py'))]
        recipes += [suite.to_dict(), *(load_config(str(file.parent / name)).to_dict() for name in names)]
    return recipes


def _share(runs: Sequence[Run], others: Path) -> None:
    """Let each run use the folder where it has come furthest: its own, or that of another comparison."""
    # Each folder is used once: rows that an override has made equal must not wait for each other.
    own = {run.work_dir for run in runs if run.work_dir.is_dir()}
    shared: dict[str, list[Path]] = {}
    for folder in sorted(others.glob('*/*/seed*-*'), reverse=True):
        if folder not in own:
            shared.setdefault(folder.name, []).append(folder)
    for run in runs:
        if run.row.command:
            continue
        theirs = shared.get(run.work_dir.name, [])
        folders = [run.work_dir, *theirs] if run.work_dir in own else [*theirs, run.work_dir]
        best = max(folders, key=partial(_steps_ahead, run))  # the first of equals
        if best in theirs:
            del shared[best.name]
            run.use(best)


def _steps_ahead(run: Run, folder: Path) -> int:
    """Return how many steps of a run are done in a folder; 0 if the other ones cannot be done there."""
    done = run.steps_done(folder)
    checkpoint = find_last_checkpoint(folder)
    # An archive holds no checkpoints.
    can_go_on = all(done) or (done[0] and checkpoint is not None and checkpoint.is_file())
    return sum(done) if can_go_on else 0


def resolved_configs(comparison: Comparison) -> dict[str, Config]:
    """Return the config of each row, with its options.

    Raises:
        SetupError: A config cannot be read, or the options do not fit it.
    """
    files: dict[Path, Config] = {}  # because reading a file is slow
    configs = {}
    for row in comparison.rows:
        try:
            if row.config not in files:
                files[row.config] = Config.fromfile(str(row.config), import_custom_modules=False)
            configs[row.name] = copy.deepcopy(files[row.config])
            configs[row.name].merge_from_dict(expand_num_views(configs[row.name], row.options))
        except Exception as error:  # the file is Python, which may raise anything
            raise SetupError(f'row {row.name!r}: {row.config}: {type(error).__name__}: {error}') from error
    return configs


def _processes(row: Row, config: Config, available: int) -> int:
    try:
        count = recipe_processes(config)
    except SetupError as error:
        raise SetupError(f'row {row.name!r}: {error}') from None
    if count > available:
        each = config.train_dataloader.batch_size
        larger = count * each // available
        raise SetupError(
            f'row {row.name!r} is for {count} processes of {each} images, but there may be {available}: set '
            f'--processes {count}, or larger batches by --cfg-options train_dataloader.batch_size={larger}'
        )
    return count


def flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, float]:
    """Return the numbers in a nested dict under their paths, names joined by ``/``.

    A list of one number counts as that number; anything else is left out.
    """
    numbers: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, Mapping):
            numbers.update(flatten(value, f'{prefix}{name}/'))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[f'{prefix}{name}'] = float(value)
    return numbers


def _short_digest(*parts: Any) -> str:
    return digest(*parts)[:10]
