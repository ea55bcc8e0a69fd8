"""Curves of one or several runs as SVG panels, which follow the colors of the page that they are put into."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from lewel_plugins.visualization.curves import Curve

from .verdicts import VIEW_HELD_OUT, VIEW_TRAIN, end_of

# Okabe and Ito, without yellow and black, which vanish on a light or on a dark page.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
MARKERS = ('o', 's', '^', 'D', 'v', 'P')
DASHES = ('-', '--', '-.', ':')
MOST_POINTS = 400  # points of a curve, over the number of runs
LEAST_POINTS = 40
_TEXT = '#010203'  # becomes the color of the page's text
# Names of runs may hold dollars, which are no formulas.
_SETTINGS = {'svg.fonttype': 'none', 'text.parse_math': False, 'font.family': 'sans-serif'}

SHADED = (
    'Shaded: the middle 90% of the ends of 134 trainings of this project without a fault (ResNet-10, images of 32 px), '
    'to be calibrated on larger ones. The circle and the dotted line mark the start.'
)


class Range(NamedTuple):
    """A usual range at the end of a training.

    Args:
        low: Its lower end.
        high: Its upper end.
        share_of: What the ends are shares of: ``backbone`` or ``embeddings``, whose largest RankMe; empty for none.
    """

    low: float
    high: float
    share_of: str = ''


@dataclass(frozen=True)
class Panel:
    """A quantity over training.

    Args:
        key: Short name, for ids.
        title: Title.
        names: Scalars and their labels. In a comparison only the first that a run has is drawn.
        note: What is usual, in a sentence.
        usual: Usual range at the end of a training, of the first scalar; to be calibrated.
        digits: Significant digits in texts.
        logarithmic: Whether the values are shown on a logarithmic scale.
    """

    key: str
    title: str
    names: tuple[tuple[str, str], ...]
    note: str
    usual: Range | None = None
    digits: int = 3
    logarithmic: bool = False


PANELS = (
    Panel(
        'loss',
        'Loss',
        (('loss', 'loss'),),
        'Losses of different methods cannot be compared, and that of a queue may rise.',
    ),
    Panel(
        'spread',
        'Spread (std of unit features × √d)',
        (('std', 'embeddings'), ('representation/std', 'backbone, validated')),
        '0 is a collapse, 1 an even spread; features after a ReLU stay below 1.',
        Range(0.72, 1.0),
    ),
    Panel(
        'directions',
        'Directions in use: embeddings (RankMe)',
        (('rank_me', 'embeddings'),),
        'Rising is normal; compare runs of one method only.',
        Range(0.12, 0.57, 'embeddings'),
    ),
    Panel(
        'backbone',
        'Directions in use: backbone (RankMe)',
        (('representation/rank_me', 'backbone, validated'),),
        'Rising is normal; compare runs of one method only.',
        Range(0.21, 0.44, 'backbone'),
    ),
    Panel(
        'alignment',
        'Alignment (distance of two views)',
        (('alignment', 'embeddings'),),
        'Lower: the views of an image are closer. Low alone is no merit, since a collapse has 0.',
        Range(0.11, 0.77),
    ),
    Panel(
        'uniformity',
        'Uniformity',
        (('uniformity', 'embeddings'), ('representation/uniformity', 'backbone, validated')),
        'Lower: images are further apart. Too low tears similar images apart.',
        Range(-3.4, -1.7),
    ),
    Panel(
        'spectrum',
        'Spectrum of the embeddings × d',
        (('spectrum_0', 'largest'), ('spectrum_25', 'at 25%'), ('spectrum_50', 'at 50%'), ('spectrum_75', 'at 75%')),
        '1 everywhere is an even spread; values that fall by orders of magnitude are directions that go out of use. '
        'At most as many values as a step has images are above 0.',
        logarithmic=True,
    ),
    Panel(
        'view',
        'Finds its other view, %',
        ((VIEW_TRAIN, 'training images'), (VIEW_HELD_OUT, 'held-out images')),
        'The task of the training itself, and no measure of quality.',
    ),
    Panel(
        'groups', 'Groups in use, share', (('groups_used', 'groups'),), 'Below 1, some groups of SMoG have no images.'
    ),
    Panel(
        'projectors',
        'Accuracy of projectors',
        tuple((f'projector/accuracy_{m}', f'projector {m}') for m in range(1, 9)),
        'Of the contrastive task of each projector of MPCL.',
    ),
    Panel(
        'weights',
        'Weight of projectors',
        tuple((f'projector/weight_{m}', f'projector {m}') for m in range(1, 9)),
        'Projectors with a low accuracy get more weight.',
    ),
    Panel(
        'cosine',
        'Mean cosine between projectors',
        (('projector/cosine', 'mean of pairs'),),
        'Near 0, no two projectors of MPCL are alike as they stand; up to a rotation they may be.',
    ),
)
KNN_PANEL = Panel(
    'knn',
    'Accuracy with labels, %',
    (
        *((f'knn/top1_k{k}', f'k-NN, k = {k}') for k in (20, 200, 5, 10)),
        ('knn/pixels_top1_k20', 'raw pixels, k = 20'),
        ('probe/top1', 'linear probe'),
    ),
    'With labels, in-domain k-NN and linear probes predict best what the features are worth.',
)
RATE_PANEL = Panel('speed', 'Seconds per step', (('time', 'step'), ('data_time', 'of it, waiting for images')), '')


class Drawn(NamedTuple):
    """A panel as SVG, its title, the finding in a sentence, and the numbers as a table."""

    svg: str
    title: str
    finding: str
    note: str
    header: list[str]
    rows: list[list[str]]


def draw_panel(
    panel: Panel, runs: Mapping[str, Mapping[str, Curve]], limits: Mapping[str, int | None] | None = None
) -> Drawn | None:
    """Draw a panel of one run, or of several overlaid.

    Args:
        panel: What to draw.
        runs: Curves by name of the scalar, by label of the run.
        limits: Largest RankMe of ``backbone`` and of ``embeddings``, for the usual range.

    Returns:
        The panel; None if no run has one of its scalars.
    """
    lines = _lines(panel, runs)
    if not lines:
        return None
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(4.4, 2.7), layout='constrained')
        axis = figure.subplots()
        shaded = len(runs) == 1 and _shade(axis, panel, limits or {})
        for i, (label, curve) in enumerate(lines):
            _draw_line(axis, curve, i, label, mark_start=len(runs) == 1)
        if panel.logarithmic:
            _log_scale(axis)
        _finish(axis, 'step', len(lines) > 1)
    limit = (limits or {}).get(panel.usual.share_of) if panel.usual and len(runs) == 1 else None
    findings = [_finding(label if len(lines) > 1 else '', curve, panel.digits, limit) for label, curve in lines]
    finding = '; '.join(findings[:4]) + (f'; and {len(findings) - 4} more' if len(findings) > 4 else '')
    header, rows = _table(lines, panel.digits)
    note = f'{panel.note} The usual range is shaded.' if shaded else panel.note
    svg = to_svg(figure, panel.key, f'{panel.title}: {finding}')
    return Drawn(svg, panel.title, finding, note, header, rows)


def draw_spectra(spectra: Mapping[str, Sequence[float]], key: str = 'features') -> str:
    """Draw spectra of features over their rank as SVG."""
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(4.4, 2.7), layout='constrained')
        axis = figure.subplots()
        for i, (label, values) in enumerate(spectra.items()):
            floor = 1e-6 * max(values, default=1)  # rounding errors
            points = [(rank, value) for rank, value in enumerate(values, 1) if value > floor]
            curve = _thin(([rank for rank, _ in points], [value for _, value in points]), MOST_POINTS)
            _draw_line(axis, curve, i, label, mark_start=False)
        _log_scale(axis)
        _finish(axis, 'rank', True)
    text = '; '.join(
        f'{label}: largest {max(values):.3g}, median {median(values):.2g}' for label, values in spectra.items()
    )
    return to_svg(figure, key, f'Spectrum of the covariance: {text}')


class Interval(NamedTuple):
    """A difference with its interval, in points.

    Attributes:
        label: What it is of.
        values: The difference by seed.
        mean: Their mean.
        low: Lower bound; None without an interval.
        high: Upper bound.
    """

    label: str
    values: Sequence[float]
    mean: float
    low: float | None
    high: float | None


def draw_intervals(intervals: Sequence[Interval], margin: float, alt: str, key: str = 'intervals') -> str:
    """Draw differences with their intervals as SVG, one per row, with lines at zero and at the margin.

    Args:
        intervals: The differences, from top to bottom.
        margin: The least gain that matters.
        alt: What the figure shows.
        key: Prefix of the ids.
    """
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(7.0, 0.9 + 0.28 * len(intervals)), layout='constrained')
        axis = figure.subplots()
        axis.axvline(0, color=_TEXT, linewidth=0.8)
        axis.axvline(margin, color=_TEXT, linewidth=0.8, linestyle=':')
        for row, interval in enumerate(intervals):
            color = COLORS[0]
            if interval.low is not None and interval.high is not None:
                axis.plot([interval.low, interval.high], [row, row], color=color, linewidth=1.5)
            axis.plot(interval.values, [row] * len(interval.values), '|', color=color, markersize=7, alpha=0.6)
            axis.plot([interval.mean], [row], 'o', color=color, markersize=5)
        axis.set_yticks(range(len(intervals)), [interval.label for interval in intervals], fontsize=8)
        axis.invert_yaxis()
        _finish(axis, 'points', False)
    return to_svg(figure, key, alt)


def _lines(panel: Panel, runs: Mapping[str, Mapping[str, Curve]]) -> list[tuple[str, Curve]]:
    most = max(LEAST_POINTS, MOST_POINTS // len(runs))
    lines = []
    for run, curves in runs.items():
        shown = [(label, _thin(_finite(curves[name]), most)) for name, label in panel.names if name in curves]
        shown = [(label, curve) for label, curve in shown if curve[0]]
        lines += shown if len(runs) == 1 else [(run, curve) for _, curve in shown[:1]]
    return lines


def _finite(curve: Curve) -> Curve:
    pairs = [(i, value) for i, value in zip(*curve) if math.isfinite(value)]
    return [i for i, _ in pairs], [value for _, value in pairs]


def _thin(curve: Curve, most: int) -> Curve:
    """Keep at most ``most`` points, evenly spaced, with the first and the last."""
    count = len(curve[0])
    if count <= most:
        return curve
    points = [round(i * (count - 1) / (most - 1)) for i in range(most)]
    return [curve[0][i] for i in points], [curve[1][i] for i in points]


def _shade(axis: Axes, panel: Panel, limits: Mapping[str, int | None]) -> bool:
    if panel.usual is None:
        return False
    low, high, share_of = panel.usual
    limit = limits.get(share_of) if share_of else 1
    if limit is None:
        return False
    axis.axhspan(low * limit, high * limit, color=COLORS[2], alpha=0.13, linewidth=0)
    return True


def _draw_line(axis: Axes, curve: Curve, i: int, label: str, mark_start: bool) -> None:
    color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
    every = max(1, len(curve[0]) // 6)  # a few markers, so that colors are not needed
    axis.plot(
        *curve,
        color=color,
        linestyle=DASHES[i // len(COLORS) % len(DASHES)] if i >= len(COLORS) else DASHES[i % 2],
        linewidth=1.4,
        marker=marker,
        markersize=3.5,
        markevery=every,
        label=label,
    )
    if mark_start and len(curve[0]) > 1:
        axis.plot(curve[0][:1], curve[1][:1], marker, color=color, markersize=7, fillstyle='none', label='_')
        axis.axhline(curve[1][0], color=color, linewidth=0.7, linestyle=(0, (1, 3)), label='_')


def _log_scale(axis: Axes) -> None:
    axis.set_yscale('log')
    low, high = axis.get_ylim()
    # Between 12 and 30 there is no power of ten.
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=6))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))  # without formulas


def _finish(axis: Axes, x_label: str, with_legend: bool) -> None:
    axis.set_xlabel(x_label, fontsize=9, color=_TEXT)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.tick_params(labelsize=9, colors=_TEXT)
    axis.grid(color=_TEXT, alpha=0.15, linewidth=0.6)
    for spine in axis.spines.values():
        spine.set(color=_TEXT, alpha=0.4)
    if with_legend:
        axis.legend(fontsize=8, framealpha=0, labelcolor=_TEXT)


def _finding(label: str, curve: Curve, digits: int, limit: int | None) -> str:
    """Return what a curve does in a few words, after its label if it is not the only one."""
    start, end = (f'{value:.{digits}g}' for value in (curve[1][0], median(end_of(curve))))
    most = '' if limit is None else f' of at most {limit}'
    if len(curve[1]) == 1:
        text = f'{start}{most} at step {curve[0][0]:,}'
    elif start == end:
        text = f'stays at {start}{most}'
    else:
        text = f'{"rises" if float(end) > float(start) else "falls"} from {start} to {end}{most}'
    return f'{label}: {text}' if label else text[0].upper() + text[1:]


def _table(lines: Sequence[tuple[str, Curve]], digits: int, most: int = 9) -> tuple[list[str], list[list[str]]]:
    """Return at most ``most`` rows of steps and values."""
    steps = sorted({i for _, curve in lines for i in curve[0]})
    if len(steps) > most:
        steps = [steps[round(k * (len(steps) - 1) / (most - 1))] for k in range(most)]
    columns = [dict(zip(*curve)) for _, curve in lines]
    rows = [[f'{i:,}', *(f'{c[i]:.{digits}g}' if i in c else '–' for c in columns)] for i in steps]
    return ['step', *(label for label, _ in lines)], rows


_PLACES = re.compile(r'\b(?:d|transform|x|y)="[^"]*"')
_NUMBER = re.compile(r'-?\d+\.\d{3,}')


def to_svg(figure: Figure, key: str, alt: str) -> str:
    """Return a figure as an SVG element to put into a page: its own ids, the page's color of text, no metadata.

    Args:
        figure: The figure, whose texts have the color of :data:`_TEXT`.
        key: Prefix of its ids, which no other SVG of the page may have.
        alt: What it shows.
    """
    figure.patch.set_alpha(0)
    for axis in figure.axes:
        axis.patch.set_alpha(0)
    buffer = io.StringIO()
    with rc_context({**_SETTINGS, 'svg.hashsalt': key}):
        figure.savefig(buffer, format='svg')
    text = buffer.getvalue()
    text = text[text.index('<svg') :].rstrip()
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.S)
    text = re.sub(r'<style[^>]*>.*?</style>', '', text, flags=re.S)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', text)
    text = re.sub(r'url\(#([^)]+)\)', rf'url(#{key}-\1)', text)
    text = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{key}-\1"', text)
    text = re.sub(_TEXT, 'currentColor', text, flags=re.I)
    text = _PLACES.sub(lambda place: _NUMBER.sub(lambda number: f'{float(number[0]):.2f}', place[0]), text)
    box = re.search(r'viewBox="([^"]+)"', text[: text.index('>')])
    opening = f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{_escape(alt)}">'
    return opening + text[text.index('>') + 1 :]


def _escape(text: str) -> str:
    for character, entity in (('&', '&amp;'), ('<', '&lt;'), ('>', '&gt;'), ('"', '&quot;')):
        text = text.replace(character, entity)
    return text
