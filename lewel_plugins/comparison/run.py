"""A row of a comparison with a seed: what is run for it, and what is on disk of it."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.running.files import read_json, write_json, write_text
from lewel_plugins.visualization.curves import Curve, read_curves

from .spec import Comparison, ComparisonError, Row

TRAINING = 'train'
_COMMAND = 'command'
_PLACEHOLDER = re.compile(r'\{([a-z_]+)\}')


@dataclass(frozen=True)
class Step:
    """One subprocess of a run.

    Args:
        name: ``train``, ``command`` or the name of a post command.
        command: Words, with placeholders.
        digest: Of all that shapes the result.
        done: Written when the step has succeeded.
        log: What the subprocess prints.
        output: The json that the subprocess writes; None for a training.
    """

    name: str
    command: tuple[str, ...]
    digest: str
    done: Path
    log: Path
    output: Path | None

    def is_done(self) -> bool:
        note = read_json(self.done)
        return isinstance(note, dict) and note.get('digest') == self.digest

    def finish(self) -> None:
        """Note that the step has succeeded, with its results.

        Raises:
            ComparisonError: If the command ended well but left no json.
        """
        note: dict[str, Any] = dict(digest=self.digest)
        if self.output is not None:
            result = read_json(self.output)
            if not isinstance(result, dict):
                raise ComparisonError(f'{self.name} ended without error, but {self.output} holds no json object')
            note['result'] = result
        write_json(self.done, note)


class Run:
    """A row with a seed.

    Its folder's name has a hash of its resolved config: after a change of the config the run starts in a new folder,
    and after the change is taken back the old results count again. Where another comparison has a folder for the same
    training, that one is used: a baseline of several comparisons is trained once.

    Commands of rows and posts may hold these placeholders:
    ``{python}`` this interpreter, ``{tools}`` the folder ``tools``, ``{config}`` the resolved config,
    ``{work_dir}`` the run's folder, ``{checkpoint}`` its last checkpoint (posts only), ``{seed}``, and
    ``{json}``, the file that the command has to write.

    Args:
        comparison: The comparison.
        row: Its row.
        seed: The seed; the first one for a row without.
        config: The row's config with its options.
        work_dir: Folder of the comparison.
        train_script: What trains; its folder is ``{tools}``.
        shared: Folders of other comparisons' runs by their names; one that is used is taken out.
    """

    def __init__(
        self,
        comparison: Comparison,
        row: Row,
        seed: int,
        config: Config,
        work_dir: Path,
        train_script: Path,
        shared: MutableMapping[str, Path] | None = None,
    ) -> None:
        self.row = row
        self.seed = seed
        self.config = Config(config.to_dict(), filename=config.filename)
        self.config.merge_from_dict({'randomness.seed': seed})
        self.train_script = train_script
        self.digest = _digest(self.config.to_dict(), row.command)
        folder = f'seed{seed}' if row.per_seed else 'once'
        self.work_dir = work_dir / _file_name(row.name) / f'{folder}-{self.digest}'
        if shared and not row.command and not self.work_dir.is_dir():
            self.work_dir = shared.pop(self.work_dir.name, self.work_dir)
        self.steps = self._steps(comparison)

    def __str__(self) -> str:
        return f'{self.row.name}, seed {self.seed}' if self.row.per_seed else self.row.name

    def _steps(self, comparison: Comparison) -> list[Step]:
        if self.row.command:
            return [self._step(_COMMAND, self.row.command, self.work_dir / 'command.json')]
        train = ('{python}', str(self.train_script), '{config}', '--work-dir', '{work_dir}', '--resume')
        steps = [self._step(TRAINING, train, None)]
        for post in comparison.post:
            if not post.rows or self.row.name in post.rows:
                name = _file_name(post.name)
                steps.append(self._step(name, post.command, self.work_dir / f'{name}.json'))
        return steps

    def _step(self, name: str, command: tuple[str, ...], output: Path | None) -> Step:
        digest = self.digest if output is None else _digest(self.digest, command)
        note = 'done.json' if name in (TRAINING, _COMMAND) else f'{name}.done.json'
        return Step(name, command, digest, self.work_dir / note, self.work_dir / f'{name}.log', output)

    def is_done(self) -> bool:
        return all(step.is_done() for step in self.steps)

    def is_trained(self) -> bool:
        return self.steps[0].is_done()

    def prepare(self) -> None:
        """Write the resolved config: what is run stays the same if somebody edits a config meanwhile."""
        write_text(self.config_path, self.config.pretty_text)

    @property
    def config_path(self) -> Path:
        # The runner dumps its own version into the work dir under the same name.
        return self.work_dir / 'launch' / f'{Path(self.config.filename).stem}.py'

    def command(self, step: Step) -> list[str]:
        """Command line of a step.

        Raises:
            ComparisonError: If there is an unknown placeholder, or no checkpoint where one is asked for.
        """
        values: dict[str, Any] = dict(
            python=sys.executable,
            tools=self.train_script.parent,
            config=self.config_path,
            work_dir=self.work_dir,
            seed=self.seed,
            json=step.output or '',
        )
        if any('{checkpoint}' in word for word in step.command):
            values['checkpoint'] = self._checkpoint()

        def fill(match: re.Match) -> str:
            if match[1] not in values:
                known = ', '.join(f'{{{name}}}' for name in dict.fromkeys((*values, 'checkpoint')))
                raise ComparisonError(f'{step.name}: unknown placeholder {match[0]}; known are {known}')
            return str(values[match[1]])

        return [_PLACEHOLDER.sub(fill, word) for word in step.command]

    def _checkpoint(self) -> Path:
        note = self.work_dir / 'last_checkpoint'
        if not note.is_file():
            raise ComparisonError(f'{self.work_dir} has no last_checkpoint')
        return self.work_dir / Path(note.read_text(encoding='utf-8').strip()).name

    def total(self) -> tuple[int, str]:
        """Length of the training and its unit, epochs or iterations; 0 if the config does not say."""
        train_cfg = self.config.get('train_cfg') or {}
        if 'max_epochs' in train_cfg:
            return int(train_cfg['max_epochs']), 'epoch'
        return int(train_cfg.get('max_iters', 0)), 'iteration'

    def sessions(self) -> list[dict]:
        """Every start of this run: commit, machine, start, seconds."""
        note = read_json(self.work_dir / 'sessions.json')
        return note if isinstance(note, list) else []

    def write_sessions(self, sessions: Sequence[Mapping]) -> None:
        write_json(self.work_dir / 'sessions.json', list(sessions))

    def seconds(self) -> float:
        """Time of all sessions."""
        return sum(session['seconds'] for session in self.sessions())

    def results(self) -> tuple[dict[str, Curve], dict[str, float]]:
        """Curves of the training, and single numbers of the commands, as far as they are there."""
        values: dict[str, float] = {}
        for step in self.steps:
            if step.output is not None and step.is_done():
                values.update(flatten(self._selected(read_json(step.done)['result'], step)))
        try:
            curves = {} if self.row.command else read_curves(self.work_dir)
        except FileNotFoundError:
            curves = {}
        return curves, values

    def _selected(self, result: dict, step: Step) -> dict:
        if step.name != _COMMAND:
            return result
        for name in filter(None, self.row.select.split('/')):
            if not isinstance(result.get(name), dict):
                raise ComparisonError(f'{self.row.name}: {step.output} has no {self.row.select!r}')
            result = result[name]
        return result


def plan_runs(
    comparison: Comparison, seeds: Sequence[int], work_dir: Path, train_script: Path, others: Path | None = None
) -> list[Run]:
    """All runs of a comparison: all rows with the first seed, all rows with the second, ...

    Args:
        comparison: The comparison.
        seeds: The seeds.
        work_dir: Its folder.
        train_script: What trains.
        others: Folder of the folders of comparisons that trainings are shared with.

    Raises:
        ComparisonError: If a config cannot be read, or its options do not fit.
    """
    configs = {}
    for row in comparison.rows:
        try:
            configs[row.name] = Config.fromfile(str(row.config), import_custom_modules=False)
            configs[row.name].merge_from_dict(dict(row.options))
        except Exception as error:  # the file is Python: anything may be raised
            raise ComparisonError(f'row {row.name!r}: {row.config}: {type(error).__name__}: {error}') from error
    # Each is taken once: rows that have become the same by an override must not wait for each other.
    shared = {} if others is None else {folder.name: folder for folder in sorted(others.glob('*/*/seed*-*'))}
    return [
        Run(comparison, row, seed, configs[row.name], work_dir, train_script, shared)
        for seed in seeds
        for row in comparison.rows
        if row.per_seed or seed == seeds[0]
    ]


def flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, float]:
    """Numbers of a nested dict, with the path of names, joined by ``/``, as keys.

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


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _file_name(name: str) -> str:
    return ''.join(c if c.isalnum() or c in '-_.' else '_' for c in name)
