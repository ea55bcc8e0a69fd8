"""The arguments of ``lewel worth``, checked before anything is read."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.payoff.settings import Settings, parse_settings
from lewel_plugins.payoff.splits import Subset, subsets
from lewel_plugins.planning import find_method
from lewel_plugins.planning.backbones import find_backbone

from .run_folder import RunFolder


@dataclass(frozen=True)
class Request:
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


def check_request(
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
) -> Request:
    """Check the arguments of :func:`worth`, without looking at the images.

    Raises:
        SetupError: An argument cannot be right, whatever the images are.
    """
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
    request = Request(
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
