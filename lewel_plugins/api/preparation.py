"""From what the user asks for to a plan and a config: shared by ``lewel pretrain`` and ``lewel check``."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import Facts, Plan, Request, Weights, find_method, plan
from lewel_plugins.planning.backbones import find_backbone, name_of
from lewel_plugins.planning.findings import Finding, plural, refuse_errors
from lewel_plugins.planning.headers import size_findings
from lewel_plugins.planning.labels import read_labels
from lewel_plugins.planning.listing import check_exists
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.planning.scan import Scan, scan
from lewel_plugins.planning.weights import weights_file

from .training import Say, count_gpus

if TYPE_CHECKING:
    from mmengine.config import Config

    from lewel_plugins.checkpoints import StartingWeights
    from lewel_plugins.planning.compose import Images

MONITORED = 1000  # images that are watched at most
_BANK, _LEAST_LABELED = 20_000, 50  # labeled images that are compared with at most; those that a 20-NN makes sense with
_NOT_SHAPING = ('gpus', 'workers')  # a run may go on on other devices and with other workers


@dataclass(frozen=True)
class Options:
    """What the user asks for.

    Args:
        images: Folders, image files, and ``.txt`` lists.
        request: The options that the plan takes.
        overrides: Settings of the config, each ``KEY=VALUE``.
        weights: Weights to start from; None for random ones.
        labels: Classes of images, for the monitors; None without.
    """

    images: tuple[str, ...]
    request: Request
    overrides: tuple[str, ...] = ()
    weights: str | None = None
    labels: str | None = None

    @classmethod
    def of(
        cls,
        images: str | os.PathLike | Sequence[str | os.PathLike],
        overrides: Sequence[str],
        gpus: int | str | None,
        weights: str | os.PathLike | None = None,
        labels: str | os.PathLike | None = None,
        **request: Any,
    ) -> 'Options':
        """Return the options of a call, with arguments as in :func:`pretrain`.

        Raises:
            SetupError: An argument cannot be right, whatever the folder holds.
        """
        arguments = [images] if isinstance(images, (str, os.PathLike)) else list(images)
        options = cls(
            tuple(os.fspath(name) for name in arguments),
            Request(gpus=count_gpus(gpus), **request),
            tuple(overrides),
            _text(weights),
            _text(labels),
        )
        find_method(options.request.method)
        if options.request.backbone is not None:
            find_backbone(options.request.backbone)
        if options.weights is not None:
            weights_file(options.weights)
        if options.labels is not None:
            check_exists([options.labels])
        return options

    def shaping(self) -> dict[str, Any]:
        """Return, as json values, what shapes the weights."""
        request = {name: value for name, value in asdict(self.request).items() if name not in _NOT_SHAPING}
        return {
            **request,
            'images': list(self.images),
            'overrides': list(self.overrides),
            'from': self.weights,
            'labels': self.labels,
        }


@dataclass(frozen=True)
class Preparation:
    """A training that could start.

    Args:
        options: The request.
        scan: What is in the folder.
        facts: What the plan follows from.
        plan: The plan.
        findings: What the user should know.
        weights: Weights to start from; None for random ones.
        classes: Class of each image that has one, by its absolute path; empty without labels.
    """

    options: Options
    scan: Scan
    facts: Facts
    plan: Plan
    findings: list[Finding]
    weights: 'StartingWeights | None' = None
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The folder that all images are in."""
        return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in self.scan.images])

    def parts(self) -> tuple[list[str], list[str], list[str]]:
        """Return the images to train on, those that are held out, and some of the former for the monitors."""
        ordered, count = by_hash(self.scan.images, self.root), self.plan['holdout']
        held_out = set(ordered[:count])
        train = [path for path in self.scan.images if path not in held_out]
        return train, ordered[:count], ordered[count : count + MONITORED]

    def labeled_parts(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Return labeled images and their classes: a bank, and queries that are not in it; empty without labels.

        Queries are held out, if there are such images; otherwise a fifth of the labeled images, at most 1,000.
        """
        _, held_out, _ = self.parts()
        ordered = [path for path in by_hash(self.scan.images, self.root) if os.path.abspath(path) in self.classes]
        rows = [(path, self.classes[os.path.abspath(path)]) for path in ordered]
        count = len(set(held_out) & set(ordered)) or min(MONITORED, len(rows) // 5)
        return rows[count : count + _BANK], rows[:count]

    def with_facts(self, **facts: Any) -> 'Preparation':
        """Return the preparation with further facts, and the plan that follows from them.

        Raises:
            SetupError: The training cannot start with them.
        """
        planned = resolve(self.options, self.scan, replace(self.facts, **facts), self.weights)
        return replace(planned, classes=self.classes)

    def config(self, images: 'Images', start: str | None = None) -> 'Config':
        """Return the config of the training.

        Args:
            images: The data sets.
            start: File with the weights to start from, if there are some.

        Raises:
            SetupError: A setting of the user cannot be right.
        """
        from lewel_plugins.planning.compose import compose
        from lewel_plugins.running.command_line import parse_settings

        config = compose(self.plan, images, self.options.request.seed, start)
        config.merge_from_dict(parse_settings(self.options.overrides, '--set'))
        return config


def prepare(options: Options, seconds: float = 120, say: Say = print) -> Preparation:
    """Look at folder and machine, and plan the training. Nothing is written.

    Args:
        options: What the user asks for.
        seconds: Time for the whole check, of which this takes at most about 60%.
        say: Receives a line before a download.

    Raises:
        SetupError: The training cannot start, for the reason in the message.
    """
    contents = scan(options.images, seconds)
    refuse_errors(contents.findings)
    start = starting_weights(options, say)
    facts = Facts(contents.folder, machine_facts(), facts_of(options, start))
    return replace(resolve(options, contents, facts, start), classes=_classes(options, contents))


def _classes(options: Options, contents: Scan) -> dict[str, int]:
    """Return the class of each image that has one, by its absolute path.

    Raises:
        SetupError: The labels cannot be read, or fewer images have one than the k-NN of the monitors needs.
    """
    if options.labels is None:
        return {}
    labels = read_labels(options.labels, options.images)
    classes = {os.path.abspath(path): target for path, target in zip(labels.paths, labels.targets)}
    count = sum(os.path.abspath(path) in classes for path in contents.images)
    if count < _LEAST_LABELED:
        raise SetupError(
            f'--labels {options.labels} has a class for {plural(count, "image")} of {contents.listing.title}; '
            f'{_LEAST_LABELED} are the least'
        )
    return classes


def resolve(options: Options, contents: Scan, facts: Facts, start: 'StartingWeights | None' = None) -> Preparation:
    """Plan the training on a folder that has been looked at.

    Raises:
        SetupError: The training cannot start, for the reason in the message.
    """
    resolved = plan(facts, options.request)
    sizes = size_findings(contents.headers, resolved['image_size'], resolved['stem'])
    findings = [*contents.findings, *sizes, *resolved.findings]
    refuse_errors(findings)
    return Preparation(options, contents, facts, resolved, findings, start)


def starting_weights(options: Options, say: Say) -> 'StartingWeights | None':
    """Read the weights to start from, if there are some.

    Raises:
        SetupError: They cannot be read, or are of no known network.
    """
    if options.weights is None:
        return None
    from lewel_plugins.checkpoints import read_starting_weights

    return read_starting_weights(options.weights, weights_file(options.weights), say)


def facts_of(options: Options, start: 'StartingWeights | None') -> Weights | None:
    """Return what a plan needs to know of the weights to start from."""
    if start is None or options.weights is None:
        return None
    return Weights(options.weights, name_of(start.settings, options.weights), start.settings, start.normalization)


def by_hash(paths: Sequence[str], root: str) -> list[str]:
    """Return paths in the order of the hashes of their names, which is the same wherever the folder is."""

    def key(path: str) -> bytes:
        return hashlib.sha256(os.fsencode(os.path.relpath(path, root))).digest()

    return sorted(paths, key=lambda path: (key(path), path))


def _text(path: str | os.PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)
