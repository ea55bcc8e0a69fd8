"""From what the user asks for to a plan and a config: shared by ``lewel pretrain`` and ``lewel check``."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import Facts, Plan, Request, find_method, plan
from lewel_plugins.planning.backbones import find_backbone
from lewel_plugins.planning.findings import Finding, refuse_errors
from lewel_plugins.planning.headers import size_findings
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.planning.scan import Scan, scan

if TYPE_CHECKING:
    from mmengine.config import Config

_NOT_SHAPING = ('gpus', 'workers')  # a run may go on on other devices and with other workers


@dataclass(frozen=True)
class Options:
    """What the user asks for.

    Args:
        images: Folders, image files, and ``.txt`` lists.
        request: The options that the plan takes.
        overrides: Settings of the config, each ``KEY=VALUE``.
    """

    images: tuple[str, ...]
    request: Request
    overrides: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        images: str | os.PathLike | Sequence[str | os.PathLike],
        overrides: Sequence[str],
        gpus: int | str | None,
        **request: Any,
    ) -> 'Options':
        """Return the options of a call, with arguments as in :func:`pretrain`.

        Raises:
            SetupError: An argument cannot be right, whatever the folder holds.
        """
        arguments = [images] if isinstance(images, (str, os.PathLike)) else list(images)
        options = cls(
            tuple(os.fspath(name) for name in arguments), Request(gpus=_count(gpus), **request), tuple(overrides)
        )
        find_method(options.request.method)
        if options.request.backbone is not None:
            find_backbone(options.request.backbone)
        return options

    def shaping(self) -> dict[str, Any]:
        """Return, as json values, what shapes the weights."""
        request = {name: value for name, value in asdict(self.request).items() if name not in _NOT_SHAPING}
        return {**request, 'images': list(self.images), 'overrides': list(self.overrides)}


@dataclass(frozen=True)
class Preparation:
    """A training that could start.

    Args:
        options: What was asked for.
        scan: What is in the folder.
        facts: What the plan follows from.
        plan: The plan.
        findings: What the user should know.
    """

    options: Options
    scan: Scan
    facts: Facts
    plan: Plan
    findings: list[Finding]

    def config(self, list_file: str, root: str) -> 'Config':
        """Return the config of the training.

        Args:
            list_file: List of the images to train on.
            root: Folder that its paths start from.

        Raises:
            SetupError: A setting of the user cannot be right.
        """
        from lewel_plugins.planning.compose import compose
        from lewel_plugins.running.command_line import parse_settings

        dataset = dict(type='lewel_plugins.ImageList', list_file=list_file, data_root=root)
        config = compose(self.plan, dataset, self.options.request.seed)
        config.merge_from_dict(parse_settings(self.options.overrides, '--set'))
        return config


def prepare(options: Options, seconds: float = 120) -> Preparation:
    """Look at folder and machine, and plan the training. Nothing is written.

    Args:
        options: What the user asks for.
        seconds: Time for the whole check, of which this takes at most about 60%.

    Raises:
        SetupError: The training cannot start; the message says why.
    """
    found = scan(options.images, seconds)
    facts = Facts(found.folder, machine_facts())
    resolved = plan(facts, options.request)
    findings = [*found.findings, *size_findings(found.headers, resolved['image_size'], resolved['stem'])]
    refuse_errors(findings)
    return Preparation(options, found, facts, resolved, findings)


def print_plan(resolved: Plan, findings: Sequence[Finding], say: Any) -> None:
    """Print every setting with its reason, and what the user should know."""
    for setting in resolved:
        value = len(setting.value) if isinstance(setting.value, tuple) else setting.value
        say(f'  {setting.name.replace("_", " "):<20} {value!s:<14} {setting.reason}')
    for finding in findings:
        say(str(finding))
    for warning in resolved.warnings:
        say(f'warning: {warning}')


def _count(gpus: int | str | None) -> int | None:
    if gpus in ('all', None):
        return None
    if isinstance(gpus, int):
        return gpus
    raise SetupError(f"gpus must be a number or 'all', got {gpus!r}")
