"""The arguments of ``lewel worth``, checked before anything is read."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.payoff.settings import Settings, parse_settings
from lewel_plugins.payoff.splits import Subset, subsets
from lewel_plugins.planning import Request as PretrainingRequest
from lewel_plugins.planning.arguments import (
    optional_path,
    path_list,
    path_text,
    positive_number,
    settings_of,
    whole_number,
)
from lewel_plugins.planning.listing import check_exists
from lewel_plugins.planning.weights import weights_file

from .worth_pretrained import check_run

MOST_SEEDS = 1000


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
    images: str | os.PathLike | Sequence[str | os.PathLike],
    labels: str | os.PathLike,
    weights: str | os.PathLike | None,
    pretrained: str | os.PathLike | None,
    fractions: Sequence[float],
    seeds: int,
    margin: float,
    group_by: str | None,
    hours: float | None,
    overrides: Sequence[str] | None,
) -> Request:
    """Check the arguments of :func:`worth`, without looking at the images.

    Raises:
        SetupError: An argument cannot be right, whatever the images are.
    """
    seeds = whole_number('--seeds', seeds, 1, MOST_SEEDS)
    margin = positive_number('--margin', margin)
    hours = None if hours is None else positive_number('--hours', hours)
    settings, rest = parse_settings(settings_of(overrides))
    PretrainingRequest(gpus=settings.gpus, **settings.pretraining()).checked()
    start, run = optional_path('--from', weights), optional_path('--pretrained', pretrained)
    if run is not None:
        check_run(run, start, settings)
        weights_file(run)
    request = Request(
        path_list('IMAGES', images),
        path_text('--labels', labels),
        start,
        run,
        _shares(fractions),
        None if group_by is None else path_text('--group-by', group_by),
        settings,
        tuple(rest),
        seeds,
        margin,
        hours,
    )
    request.candidates()
    check_exists([*request.images, request.labels])
    if start is not None:
        weights_file(start)
    return request


def _shares(fractions: Any) -> tuple[float, ...]:
    """Return the shares of the labels; their bounds are checked with the subsets."""
    values = fractions if isinstance(fractions, (list, tuple)) else [fractions]
    if not values:
        raise SetupError('--fractions takes one number or several, got none')
    return tuple(positive_number('--fractions', value) for value in values)
