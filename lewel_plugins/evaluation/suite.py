"""Evaluation of a checkpoint by several protocols, such as those of configs/benchmarks/evaluation_garment-scenes.py.

A suite is a config file with the entries ``linear``, ``lrs`` and ``knn``, for the protocols on frozen features
(:class:`FrozenEvaluation`), and ``commands``, a list of further protocols, each with a ``name`` and a ``command`` that
writes its numbers to a json file. Commands may contain these placeholders: ``{python}``, this interpreter; ``{tools}``,
the folder ``tools``; ``{configs}``, the folder of the suite; ``{checkpoint}``; ``{seed}``; ``{out}``, a folder for the
command's files; and ``{json}``, the file that it has to write.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.files import file_digest, read_json
from lewel_plugins.running import provenance
from lewel_plugins.running.commands import fill_placeholders
from lewel_plugins.running.jobs import Job, digest
from lewel_plugins.running.setup import load_config

from .frozen_evaluation import FrozenEvaluation


class SuiteResults(NamedTuple):
    """Results of a suite.

    Attributes:
        metrics: Protocol → its numbers.
        failures: Protocol → the reason of its failure.
        pictures: Pictures that the commands have drawn.
        origins: Protocol → commit, machine and date of its measurement. Earlier versions did not record them.
    """

    metrics: dict[str, Any]
    failures: dict[str, str]
    pictures: list[Path]
    origins: dict[str, dict[str, str]]


class Suite:
    """A suite, to be run on a checkpoint.

    Each protocol is a job that is done once (:mod:`lewel_plugins.running.jobs`). Its inputs are the checkpoint's
    content, the seed, and the configs and options that concern it.

    Args:
        cfg: The suite.
        checkpoint: The checkpoint.
        seed: Seed of splits, linear classifiers and orders.
        out: Folder of the results.
        tools: The folder ``tools``.
        options: Overrides. ``PROTOCOL.KEY`` is set in the config of a command, ``KEY`` in that of the linear
            evaluation.
    """

    def __init__(
        self, cfg: Config, checkpoint: Path, seed: int, out: Path, tools: Path, options: Mapping[str, Any]
    ) -> None:
        self.cfg, self.checkpoint, self.seed, self.out, self.tools = cfg, checkpoint, seed, out, tools
        self.configs = Path(cfg.filename).resolve().parent
        self.commands = {entry.name: entry.command for entry in cfg.get('commands', [])}
        own, self.options = split_options(options, list(self.commands))
        self.frozen = FrozenEvaluation(cfg, checkpoint, seed, out, own)
        self.checkpoint_digest = file_digest(checkpoint)
        self.commit = provenance.commit()
        self._digests: dict[str, str] = {}

    def run(self, protocols: Sequence[str] | None = None) -> SuiteResults:
        """Run the protocols that are not done.

        Args:
            protocols: Names of some protocols; all by default.

        Raises:
            SetupError: A name is unknown, or a protocol on frozen features has failed.
        """
        results = SuiteResults({}, {}, [], {})
        for name in select_protocols(self.cfg, protocols):
            try:
                done = self._run_once(name)
            except (SetupError, ValueError) as error:
                if name not in self.commands:
                    raise
                results.failures[name] = str(error)
                print(f'{name} failed: {error}', flush=True)
                continue
            results.metrics[name] = done['metrics']
            if 'origin' in done:
                results.origins[name] = done['origin']
            results.pictures.extend(sorted(self._folder(name).rglob('*.png')))
        return results

    def _run_once(self, name: str) -> dict[str, Any]:
        job = Job(self.out / f'{name}.done.json', dict(digest=self._digest(name)))
        if job.is_done():
            print(f'{name}: done before', flush=True)
            return job.result()
        print(f'{name} ...', flush=True)
        # The checkout may change while this process runs, whose code it has read, and a command reads it anew.
        commit = provenance.commit() if name in self.commands else self.commit
        origin = dict(commit=commit, machine=provenance.machine(), date=provenance.now())
        start = time.monotonic()
        metrics = self._run_command(name) if name in self.commands else self.frozen.measure(name)
        job.finish(dict(metrics=metrics, seconds=time.monotonic() - start, origin=origin))
        return job.result()

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            if name in self.commands:
                command = self.commands[name]
                inputs = [command, file_contents(command, self.configs), self.options.get(name)]
            else:
                inputs = [self.frozen.cfg.pretty_text, self.cfg.pretty_text]
            self._digests[name] = digest(self.checkpoint_digest, self.seed, *inputs)
        return self._digests[name]

    def _folder(self, name: str) -> Path:
        """Return the folder of a command's files. It depends on the inputs, because commands go on from their files."""
        return self.out / f'{name}-{self._digest(name)[:10]}'

    def _run_command(self, name: str) -> dict[str, Any]:
        output = self.out / f'{name}.json'
        values = dict(
            python=sys.executable,
            tools=self.tools,
            configs=self.configs,
            checkpoint=self.checkpoint,
            out=self._folder(name),
            json=output,
            seed=self.seed,
        )
        words = fill_placeholders(shlex.split(self.commands[name]), values)
        return run_command([*words, *self.options.get(name, [])], output, self.out / f'{name}.log')


def select_protocols(suite: Config, selection: Sequence[str] | None) -> list[str]:
    """Return the names of the protocols to run, in the order of the suite.

    Raises:
        SetupError: A name is unknown, or occurs twice in the suite.
    """
    known = [*FrozenEvaluation.PROTOCOLS, *(entry.name for entry in suite.get('commands', []))]
    if len(set(known)) < len(known):
        raise SetupError(f'{suite.filename}: names of protocols must differ, got {known}')
    unknown = sorted(set(selection or ()) - set(known))
    if unknown:
        raise SetupError(f'unknown protocols {", ".join(unknown)}; {suite.filename} has {", ".join(known)}')
    return [name for name in known if selection is None or name in selection]


def split_options(options: Mapping[str, Any], commands: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Split ``--cfg-options`` by the config that they belong to.

    Args:
        options: The options.
        commands: Names of the protocols that are commands.

    Returns:
        The options of the linear evaluation's config, and command → words that pass it its own options.
    """
    own: dict[str, Any] = {}
    words: dict[str, list[str]] = {}
    for key, value in options.items():
        name, _, rest = key.partition('.')
        if name in commands and rest:
            words.setdefault(name, ['--cfg-options']).append(f'{rest}={option_text(value)}')
        else:
            own[key] = value
    return own, words


def option_text(value: Any) -> str:
    """Return a value as ``--cfg-options`` reads it."""
    if isinstance(value, (list, tuple)):
        left, right = '[]' if isinstance(value, list) else '()'
        return f'{left}{",".join(map(option_text, value))}{right}'
    return str(value)


def file_contents(command: str, configs: Path) -> list[str]:
    """Return what determines the content of the files that a command names: digests, and configs with their bases."""
    contents = []
    for word in shlex.split(command):
        file = word.replace('{configs}', str(configs))
        if not os.path.isfile(file):
            continue
        contents.append(file_digest(file))
        if file != word and file.endswith('.py'):
            try:
                contents.append(load_config(file).pretty_text)
            except Exception:  # a base is in a package that is not installed, which the command will report
                print(f'{file} cannot be read here', flush=True)
    return contents


def run_command(words: Sequence[str], output: Path, log: Path) -> dict[str, Any]:
    """Run the command of a protocol and return the numbers that it has written.

    Args:
        words: The command line.
        output: The json file that the command writes.
        log: File for what the command prints.

    Raises:
        SetupError: The command has failed, or has written no numbers.
    """
    output.unlink(missing_ok=True)
    with log.open('w', encoding='utf-8') as file:
        code = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT).returncode
    numbers = read_json(output)
    if code or not isinstance(numbers, dict):
        lines = log.read_text(encoding='utf-8', errors='replace').strip().splitlines() or ['no output']
        raise SetupError(f'exit code {code}: {lines[-1]} (full output in {log})')
    return numbers
