"""From what the user asks for to a plan and a config: shared by ``lewel pretrain`` and ``lewel check``."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lewel_plugins.payoff.quiet import quiet
from lewel_plugins.planning import Facts, Folder, Machine, Plan, Request, Weights, plan
from lewel_plugins.planning.arguments import optional_path, path_list, settings_of
from lewel_plugins.planning.backbones import name_of
from lewel_plugins.planning.drawing import split_groups
from lewel_plugins.planning.findings import Finding, refuse_errors
from lewel_plugins.planning.headers import size_findings
from lewel_plugins.planning.listing import check_exists
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.planning.scan import Scan, scan
from lewel_plugins.planning.weights import weights_file

from .training import Say, count_gpus

if TYPE_CHECKING:
    from mmengine.config import Config

    from lewel_plugins.checkpoints import StartingWeights
    from lewel_plugins.planning.compose import Images

    from .image_classes import ImageClasses

MONITORED = 1000  # images that are watched at most
_BANK = 20_000  # labeled images that are compared with at most
_OF_MONITORS = ('val_dataloader', 'val_cfg', 'val_evaluator', 'default_hooks', 'custom_hooks')
_MANY = 10**9  # images, and pixels of a side: a folder that allows whatever one can
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
        overrides: Sequence[str] | None,
        gpus: int | str | None,
        weights: str | os.PathLike | None = None,
        labels: str | os.PathLike | None = None,
        **request: Any,
    ) -> 'Options':
        """Return the options of a call, with arguments as in :func:`pretrain`.

        Raises:
            SetupError: An argument cannot be right, whatever the folder holds.
        """
        options = cls(
            path_list('IMAGES', images),
            Request(gpus=count_gpus(gpus), **request).checked(),
            settings_of(overrides),
            optional_path('--from', weights),
            optional_path('--labels', labels),
        )
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
        classes: Classes of images, for the monitors; None without labels.
    """

    options: Options
    scan: Scan
    facts: Facts
    plan: Plan
    findings: list[Finding]
    weights: 'StartingWeights | None' = None
    classes: 'ImageClasses | None' = None

    @property
    def root(self) -> str:
        """The folder that all images are in."""
        return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in self.scan.images])

    def parts(self) -> tuple[list[str], list[str], list[str]]:
        """Return the images to train on, those that are held out, and some of the former for the monitors.

        Images are drawn by the hash of their content. Copies are on one side, also if there was no time to find them.
        As many are monitored as are held out, if some are: another view is easier to find among fewer images.
        """
        count = self.plan['holdout']
        monitored = count or MONITORED
        held_out, others = split_groups(self.scan.draw.groups(self.scan.images, count + monitored), count)
        unseen = set(held_out)
        return [path for path in self.scan.images if path not in unseen], held_out, others[:monitored]

    def labeled_parts(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Return labeled images and their classes: a bank, and queries that are not in it; empty without labels.

        Queries are held out, if there are such images; otherwise a fifth of the labeled images, at most 1,000.
        """
        if self.classes is None:
            return [], []
        targets = {path: self.classes.targets.get(os.path.realpath(path)) for path in self.scan.images}
        rows = {path: target for path, target in targets.items() if target is not None}
        train, held_out, _ = self.parts()
        queries = [path for path in held_out if path in rows]
        others = [path for path in (train if queries else self.scan.images) if path in rows]
        groups = self.scan.draw.groups(others, _BANK + MONITORED)
        first, bank = split_groups(groups, 0 if queries else min(MONITORED, len(rows) // 5))
        return [(path, rows[path]) for path in bank[:_BANK]], [(path, rows[path]) for path in queries or first]

    def with_facts(self, **facts: Any) -> 'Preparation':
        """Return the preparation with further facts, and the plan that follows from them.

        Raises:
            SetupError: The training cannot start with them.
        """
        return resolve(self.options, self.scan, replace(self.facts, **facts), self.weights, self.classes)

    def config(self, images: 'Images', start: str | None = None) -> 'Config':
        """Return the config of the training.

        Args:
            images: The data sets.
            start: File with the weights to start from, if there are some.

        Raises:
            SetupError: A setting of the user cannot be right.
        """
        from lewel_plugins.planning.compose import compose

        settings = _settings(self.options)
        if images.monitored is None:
            settings = {key: value for key, value in settings.items() if key.split('.')[0] not in _OF_MONITORS}
        return compose(self.plan, images, self.options.request.seed, start, settings)


def check_settings(options: Options, resolved: Plan) -> None:
    """Refuse settings of the user that the whole config has no place for.

    Args:
        options: What the user asks for.
        resolved: The plan of the config.

    Raises:
        SetupError: A setting is unknown, or its value is of another kind.
    """
    if not options.overrides:
        return
    from lewel_plugins.planning.compose import Images, compose

    part = dict(type='lewel_plugins.ImageList', list_file='', data_root='')
    held_out = part if resolved['holdout'] else None
    labeled = part if options.labels is not None else None
    compose(resolved, Images(part, part, held_out, labeled, labeled), weights='', settings=_settings(options))


def _settings(options: Options) -> dict[str, Any]:
    from lewel_plugins.running.command_line import parse_settings

    return parse_settings(options.overrides, '--set')


def prepare(options: Options, seconds: float = 120, say: Say = print) -> Preparation:
    """Look at folder and machine, and plan the training. Nothing is written.

    Args:
        options: What the user asks for.
        seconds: Time for the whole check, of which this takes at most about 60%.
        say: Receives a line before a download.

    Raises:
        SetupError: The training cannot start, for the reason in the message.
    """
    start = check_early(options, say)
    contents = scan(options.images, seconds)
    refuse_errors(contents.findings)
    return prepare_scanned(options, contents, start)


def check_early(options: Options, say: Say = print) -> 'StartingWeights | None':
    """Refuse what no folder allows, before the images are looked at, and return the weights to start from.

    Args:
        options: What the user asks for.
        say: Receives a line before a download.

    Raises:
        SetupError: Images do not exist, the weights cannot be read or are of another network, or a setting is unknown.
    """
    check_exists(options.images)
    if options.weights is not None or options.overrides:
        _import_models()
    start = starting_weights(options, say)
    folder = Folder(_MANY, _MANY, median_short_side=_MANY)
    request = replace(options.request, epochs=None, hours=None, batch_size=None, gpus=0, workers=None, holdout=None)
    check_settings(options, plan(Facts(folder, Machine(), facts_of(options, start)), request))
    return start


def _import_models() -> None:
    """Import the models of mmpretrain, which warn at their first import of what this package does not use."""
    with quiet(print, None):
        import lewel_plugins.models  # noqa: F401


def prepare_scanned(options: Options, contents: Scan, start: 'StartingWeights | None') -> Preparation:
    """Plan the training on a folder that has been looked at, on this machine.

    Raises:
        SetupError: The training cannot start, for the reason in the message.
    """
    _import_models()
    facts = Facts(contents.folder, machine_facts(options.request.gpus), facts_of(options, start))
    return resolve(options, contents, facts, start, _classes(options, contents))


def _classes(options: Options, contents: Scan) -> 'ImageClasses | None':
    """Return the classes of images, if there are labels.

    Raises:
        SetupError: See :func:`read_image_classes`.
    """
    if options.labels is None:
        return None
    from .image_classes import read_image_classes

    return read_image_classes(options.labels, contents.images, options.images, contents.listing.title)


def resolve(
    options: Options,
    contents: Scan,
    facts: Facts,
    start: 'StartingWeights | None' = None,
    classes: 'ImageClasses | None' = None,
) -> Preparation:
    """Plan the training that follows from facts.

    Raises:
        SetupError: The training cannot start, for the reason in the message.
    """
    resolved = plan(facts, options.request)
    sizes = size_findings(contents.headers, resolved['image_size'])
    labels = [] if classes is None else [classes.finding]
    findings = [*contents.findings, *sizes, *labels, *resolved.findings]
    refuse_errors(findings)
    check_settings(options, resolved)
    return Preparation(options, contents, facts, resolved, findings, start, classes)


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
    backbone = name_of(start.settings, options.weights, options.request.backbone or '')
    return Weights(options.weights, backbone, start.settings, start.normalization)
