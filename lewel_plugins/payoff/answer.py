"""From the scores of all cells to the table and the verdicts."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from lewel_plugins.comparison.statistics import summarize

from .design import MEASURES, TASKS, Design
from .statistics import Estimate, accuracy_noise, bootstrap_noise, estimate, resamples, sign_flip_p
from .verdicts import Question, Verdict, exploratory_verdicts, primary_verdict


class Outcome(NamedTuple):
    """The result of a cell.

    Attributes:
        arm: Key of the arm, or of a floor.
        task: Key of the task.
        subset: The labels, as in ``with all labels``.
        seed: The seed.
        points: Accuracy or mIoU in percent, or AP × 100.
        images: What the noise of the test images is computed from, as in :class:`Score`.
        seconds: Time that it took.
    """

    arm: str
    task: str
    subset: str
    seed: int
    points: float
    images: Any
    seconds: float


@dataclass(frozen=True)
class Answer:
    """The verdicts and the numbers behind them.

    Args:
        verdicts: Answers, the primary one first.
        table: One row per arm, task and subset, with ``mean``, ``std``, ``n`` and the values by seed.
        remarks: What a reader must know about all of them.
    """

    verdicts: list[Verdict]
    table: list[dict[str, Any]]
    remarks: list[str]


def answer(
    design: Design,
    outcomes: Sequence[Outcome],
    test_groups: Sequence[int],
    margin: float,
    seconds_per_seed: float | None = None,
    command: str = '',
    remarks: Sequence[str] = (),
    resample: Callable[[Any, np.ndarray], np.ndarray] | None = None,
) -> Answer:
    """Answer all questions of a design.

    Args:
        design: What was measured.
        outcomes: The results of its cells.
        test_groups: Group of each test image.
        margin: δ in points, positive.
        seconds_per_seed: Time of one more seed, for the advice.
        command: The command, for the advice.
        remarks: What a reader must know.
        resample: Returns the points of an outcome on samples of the test images, (S,), given its ``images`` and how
            often each image counts, (S, N); None if the points are the mean of digits.
    """
    cells = {(o.arm, o.task, o.subset, o.seed): o for o in outcomes}
    questions = design.questions()
    if resample is None:
        estimates = [_estimate(question, cells, test_groups, design.seeds) for question in questions]
    else:
        counts = resamples(test_groups)
        samples = {key: resample(outcome.images, counts) for key, outcome in cells.items()}
        estimates = [_bootstrap(question, cells, samples, test_groups, design.seeds) for question in questions]
    primary = primary_verdict(questions[0], estimates[0], margin, seconds_per_seed, command)
    others = exploratory_verdicts(questions[1:], estimates[1:], margin)
    return Answer([primary, *others], table_of(outcomes), list(remarks))


def _estimate(question: Question, cells: Mapping[tuple, Outcome], test_groups: Sequence[int], seeds: int) -> Estimate:
    """Return the paired difference of two arms over seeds, with the noise of the test images."""
    pairs = []
    for seed in range(seeds):
        arms = (question.arm, question.baseline)
        pairs.append([_digits(cells[arm, question.task, question.subset, seed].images) for arm in arms])
    paired = np.array([100.0 * (arm - baseline) for arm, baseline in pairs])  # (seeds, images)
    return estimate(paired.mean(1).tolist(), accuracy_noise(paired.mean(0), test_groups))


def _bootstrap(
    question: Question,
    cells: Mapping[tuple, Outcome],
    samples: Mapping[tuple, np.ndarray],
    test_groups: Sequence[int],
    seeds: int,
) -> Estimate:
    """Return the paired difference of two arms over seeds, with the noise of the test images by their bootstrap."""
    pairs = [[(arm, question.task, question.subset, seed) for arm in (question.arm, question.baseline)]
             for seed in range(seeds)]  # fmt: skip
    differences = [cells[arm].points - cells[baseline].points for arm, baseline in pairs]
    resampled = np.mean([samples[arm] - samples[baseline] for arm, baseline in pairs], 0)
    return estimate(differences, bootstrap_noise(resampled, test_groups))


def _digits(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(float) - ord('0')


def table_of(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return one row per arm, task and subset."""
    values: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for outcome in outcomes:
        values[outcome.arm, outcome.task, outcome.subset][outcome.seed] = outcome.points
    rows = []
    for (arm, task, subset), by_seed in values.items():
        summary = summarize(list(by_seed.values()))
        assert summary is not None
        rows.append(dict(arm=arm, task=task, subset=subset, **summary._asdict(), values=by_seed))
    return rows


def describe_arm(arm: str, title: str, outcomes: Sequence[Outcome], subset: str) -> str:
    """Return a line with the mean points of an arm by each task."""
    parts = []
    for task, name in TASKS.items():
        values = [o.points for o in outcomes if (o.arm, o.task, o.subset) == (arm, task, subset)]
        if values:
            parts.append(f'{name} {fmean(values):.1f}{MEASURES[task].unit}')
    return f'  {arm}  {title}: {", ".join(parts)} {subset}' if parts else ''


def as_json(result: Answer) -> dict[str, Any]:
    """Return an answer as json values."""
    return dict(
        verdicts=[_verdict_json(verdict) for verdict in result.verdicts], table=result.table, remarks=result.remarks
    )


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    question, numbers = verdict.question, verdict.estimate
    return dict(
        arm=question.arm,
        baseline=question.baseline,
        task=question.task,
        subset=question.subset,
        primary=question.is_primary,
        verdict=verdict.state,
        sentence=verdict.sentence,
        mean=numbers.mean,
        low=numbers.low,
        high=numbers.high,
        differences=list(numbers.differences),
        std=numbers.std,
        same_sign=numbers.same_sign,
        test_groups=numbers.noise.groups if numbers.noise else None,
        test_variance=numbers.noise.variance if numbers.noise else None,
        degrees_of_freedom=numbers.df,
        adjusted_p=verdict.adjusted_p,
        sign_flip_p=sign_flip_p(numbers.differences),
    )
