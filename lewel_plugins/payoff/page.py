"""The answer as one HTML file, without network or scripts."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lewel_plugins.reporting.figures import Interval, draw_intervals
from lewel_plugins.running.provenance import now
from lewel_plugins.version import __version__

from .answer import Answer
from .design import ARMS, FLOORS, MEASURES, TASKS
from .verdicts import Question, Verdict, duration, signed

SECTIONS = (
    ('accuracy', 'Each arm'),
    ('questions', 'All questions'),
    ('rates', 'Rates and lengths'),
    ('compute', 'Time'),
    ('expect', 'What to expect'),
    ('limits', 'What these numbers can and cannot show'),
)
LEVELS = {
    'pays': ('good', '●'),
    'hurts': ('bad', '■'),
    'does not pay': ('caution', '▲'),
    'undecided': ('unknown', '◆'),
    'no verdict': ('unknown', '◆'),
}
EXPECT = (
    'For: in-domain SSL after ImageNet SSL +6.7 points (dermatology), +1.1 AUC (X-ray) [Azizi]; continuing from '
    'existing weights best on 15 of 16 data sets [HPT]; COCO images alone beat supervised ImageNet for detection, by '
    'denoising, "more robust" to small data than comparing embeddings [El-Nouby]; up to +14 points with few labels in '
    'agriculture [Güldenring]; small in-domain data above large general data for specialized tasks [Konstantakos]; '
    '2,040 images for a ViT [Cao].',
    'Against: with few labels supervised ImageNet weights won at segmentation [Kalapos]; satellite images: modest '
    'gains, cost perhaps unjustified [Lahrichi]; plants: supervised pretraining generally better [plants]; '
    'fine-grained classes: far behind [Cole]; COCO detectors from random weights catch up with longer training, even '
    'on 10% of the data [He]; the utility is largest with few labels [Newell].',
    'Here: LEWEL_M over random weights +31.1 linear, +32.3 with 1%, +3.2 with 10% of the labels (garment scenes).',
)
LIMITS = (
    'Intervals are mean ± t·√(s²/n + v/G): s over n seeds, v over the G groups of test images that resemble each '
    'other, of the seed-averaged paired score (accuracy: with two groups more, one won and one lost, as Bonett and '
    'Price have it; AP and mIoU: by 1,000 bootstrap samples of the groups), degrees of freedom by Welch and '
    'Satterthwaite. With seeds alone the interval is ±2.5 s for 3 seeds, ±1.24 s for 5 and ±0.84 s for 8; for accuracy '
    '1,000 test images alone give ±2 points if two networks differ on 10% of them.',
    'One seed sets pretraining, label draw, head and order for all arms. Test images, and images that resemble them, '
    'are not pretrained on: equal content, difference hashes within 4 of 64 bits, runs of near-copies, and what '
    '--group-by keeps together. Whether given weights have seen the images elsewhere cannot be checked.',
    'Fine-tuning with fewer than 16 images per step keeps the statistics of batch norm, in all arms. No arm is '
    'dropped before its pretraining has ended, and pretraining is judged at its end only: whether a shorter one would '
    'do as well is not measured.',
)
SOURCES = (
    'Sources: Azizi 2101.05224 · HPT 2103.12718 · El-Nouby 2112.10740 · Güldenring, Comput. Electron. Agric. 2021 · '
    'Konstantakos 2404.17202 · Cao 2201.10728 · Kalapos 2209.00314 · Lahrichi, Is Self-Supervised Pre-training on '
    'Satellite Imagery Better than ImageNet?, 2025 · plants: Benchmarking Self-Supervised Contrastive Learning '
    'Methods for Image-Based Plant Phenotyping · Cole 2105.05837 · He 1811.08883 · Newell 2003.14323.'
)


def render(
    answer: Answer,
    margin: float,
    test_images: int,
    rates: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, Mapping[str, float]],
) -> str:
    """Return the page.

    Args:
        answer: Verdicts and table.
        margin: δ, in points.
        test_images: Number of test images.
        rates: The search of each arm and task, as ``ARM_TASK``, with ``rate``, ``scores``, ``length``, ``lengths``.
        seconds: Time of ``pretraining`` and ``tasks`` by arm.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files(__package__) / 'page.html.jinja').read_text(encoding='utf-8'))
    css = (files('lewel_plugins.reporting') / 'page.css').read_text(encoding='utf-8')
    primary = answer.verdicts[0]
    noise = primary.estimate.noise
    return template.render(
        css=Markup(css),
        measure=MEASURES[primary.question.task],
        version=__version__,
        date=now(),
        sections=SECTIONS,
        primary=_verdict(primary),
        remarks=answer.remarks,
        test_images=f'{test_images:,}',
        test_groups=f'{noise.groups if noise else test_images:,}',
        **_arms(answer.table),
        intervals=Markup(_draw(answer.verdicts, margin)),
        margin=f'{margin:g} {"point" if margin == 1 else "points"}',
        questions_header=['question', 'mean', '95% interval', 'same sign', 'adjusted p', 'verdict'],
        questions_rows=[_question_row(verdict) for verdict in answer.verdicts],
        others=[f'{_title(verdict.question)}. {verdict.sentence}' for verdict in answer.verdicts[1:]],
        **_rates(rates),
        compute_rows=[
            [f'{arm}: {ARMS[arm]}', _time(parts.get('pretraining')), _time(parts.get('tasks'))]
            for arm, parts in seconds.items()
        ],
        expect=EXPECT,
        limits=LIMITS,
        sources=SOURCES,
    )


def _verdict(verdict: Verdict) -> dict[str, str]:
    level, symbol = LEVELS[verdict.state]
    differences = ', '.join(signed(value) for value in verdict.estimate.differences)
    return dict(
        level=level,
        symbol=symbol,
        state=verdict.state,
        sentence=verdict.sentence,
        question=_long_title(verdict.question),
        differences=differences,
    )


def _long_title(question: Question) -> str:
    """Return a question with the arms in words."""
    arms = f'{ARMS[question.arm]} ({question.arm}) against {ARMS[question.baseline]} ({question.baseline})'
    return f'{arms}, by {TASKS[question.task]}, {question.subset}'


def _title(question: Question) -> str:
    return f'{question.arm} − {question.baseline} by {TASKS[question.task]}, {question.subset}'


def _arms(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the table of all arms: one row per arm and task, one column per subset."""
    subsets = list(dict.fromkeys(row['subset'] for row in table if row['arm'] not in FLOORS))
    cells = {(row['arm'], row['task'], row['subset']): _cell(row) for row in table}
    names = {**ARMS, **FLOORS}
    lines = sorted({(arm, task) for arm, task, _ in cells}, key=lambda key: (list(TASKS).index(key[1]), _order(key[0])))
    rows = [
        [f'{TASKS[task]}: {arm if arm in ARMS else names[arm]}', *(cells.get((arm, task, s), '–') for s in subsets)]
        for arm, task in lines
    ]
    legend = [f'{arm}: {ARMS[arm]}' for arm in ARMS if any(row['arm'] == arm for row in table)]
    return dict(arms_header=['task: arm', *subsets], arms_rows=rows, legend=legend)


def _order(arm: str) -> int:
    return [*FLOORS, *ARMS].index(arm)


def _cell(row: Mapping[str, Any]) -> str:
    return f'{row["mean"]:.1f}' if row['std'] is None else f'{row["mean"]:.1f} ± {row["std"]:.1f}'


def _draw(verdicts: Sequence[Verdict], margin: float) -> str:
    intervals = [
        Interval(_title(v.question), v.estimate.differences, v.estimate.mean, v.estimate.low, v.estimate.high)
        for v in verdicts
    ]
    return draw_intervals(intervals, margin, f'Differences in points. {verdicts[0].sentence}')


def _question_row(verdict: Verdict) -> list[str]:
    numbers = verdict.estimate
    interval = '–' if numbers.low is None else f'{signed(numbers.low)} to {signed(numbers.high)}'
    p = '–' if verdict.adjusted_p is None else f'{verdict.adjusted_p:.3f}'
    agree = f'{numbers.same_sign} of {numbers.seeds}'
    return [_title(verdict.question), signed(numbers.mean), interval, agree, p, verdict.state]


def _rates(rates: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = []
    for key, search in rates.items():
        arm, task = key.split('_', 1)
        scores = ', '.join(f'{rate}: {value:.1f}' for rate, value in search['scores'].items()) or 'too few labels'
        lengths = ', '.join(f'{length} ×: {value:.1f}' for length, value in search['lengths'].items()) or '–'
        rows.append([f'{arm}, {TASKS[task]}', scores, f'{search["rate"]:g}', lengths, f'{search["length"]:g} ×'])
    return dict(rates_header=['arm, task', 'by rate', 'rate', 'by length', 'length'], rates_rows=rows)


def _time(seconds: float | None) -> str:
    return duration(seconds) if seconds else '–'
