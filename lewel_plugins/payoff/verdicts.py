"""From an estimate to one of four answers, in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lewel_plugins.comparison.student_t import quantile

from .statistics import Estimate, holm, standard_error, two_sided_p

State = Literal['pays', 'hurts', 'does not pay', 'undecided', 'no verdict']

LEAST_SEEDS = 3  # fewer give numbers without a verdict
MOST_SEEDS = 100  # up to which the number that would decide is searched
LEVEL = 0.05


@dataclass(frozen=True)
class Question:
    """A question: does ``arm`` gain over ``baseline``?

    Args:
        arm: Key of the arm.
        baseline: Key of the arm that it is compared with.
        task: Key of the task.
        subset: The labels, as in ``with all labels``.
        is_primary: Whether it is the one question that was fixed before the start.
    """

    arm: str
    baseline: str
    task: str
    subset: str
    is_primary: bool = False

    @property
    def subject(self) -> str:
        """What pays or does not."""
        return 'Continued pretraining' if self.arm == 'D' else 'Pretraining'

    @property
    def advice(self) -> str:
        """What to do if it hurts."""
        return 'Keep the given weights.' if self.baseline == 'B' else 'Keep random weights.'


@dataclass(frozen=True)
class Verdict:
    """An answer.

    Args:
        question: The question.
        state: ``pays``, ``hurts``, ``does not pay``, ``undecided``, or ``no verdict`` of too few seeds.
        estimate: The numbers.
        sentence: The answer in a sentence.
        adjusted_p: p-value of the claim, adjusted for the number of questions; None for the primary question.
    """

    question: Question
    state: State
    estimate: Estimate
    sentence: str
    adjusted_p: float | None = None


def judge(result: Estimate, margin: float) -> State:
    """Return the answer for a margin, in points, without an adjustment for other questions.

    Args:
        result: The estimate.
        margin: δ, the least gain that matters, positive.
    """
    if result.seeds < LEAST_SEEDS or result.low is None or result.high is None:
        return 'no verdict'
    if _has_no_noise(result):
        return 'undecided'
    if result.low > 0 and result.mean >= margin:
        return 'pays'
    if result.high < 0:
        return 'hurts'
    return 'does not pay' if result.high < margin else 'undecided'


def _has_no_noise(result: Estimate) -> bool:
    """Return whether no sample of the test images gives another difference: they are too few to show one."""
    return result.noise is not None and result.noise.variance == 0


def primary_verdict(
    question: Question, result: Estimate, margin: float, seconds_per_seed: float | None = None, command: str = ''
) -> Verdict:
    """Answer the primary question.

    Args:
        question: The question.
        result: Its estimate.
        margin: δ, positive.
        seconds_per_seed: Time of one more seed, for the advice; None if it is unknown.
        command: The command, without ``--seeds``, for the advice.
    """
    state = judge(result, margin)
    text = _sentence(question, state, result, margin)
    if state == 'undecided':
        text += _advice(result, margin, seconds_per_seed, command)
    return Verdict(question, state, result, text)


def exploratory_verdicts(questions: Sequence[Question], results: Sequence[Estimate], margin: float) -> list[Verdict]:
    """Answer the other questions, by Holm's adjustment for their number.

    Args:
        questions: The questions.
        results: Their estimates.
        margin: δ, positive.
    """
    states = [judge(result, margin) for result in results]
    judged = [i for i, state in enumerate(states) if state != 'no verdict']
    # The hypothesis that a claim rejects: a gain of the whole margin, or none at all.
    raw = [
        1.0 if _has_no_noise(results[i]) else two_sided_p(results[i], margin if states[i] == 'does not pay' else 0.0)
        for i in judged
    ]
    adjusted = dict(zip(judged, holm(raw)))
    verdicts = []
    for i, (question, result, state) in enumerate(zip(questions, results, states)):
        p = adjusted.get(i)
        is_chance = p is not None and state != 'undecided' and p >= LEVEL
        text = _sentence(question, 'undecided' if is_chance else state, result, margin)
        if is_chance:
            text += f' It is one of {len(judged)} questions, and too unclear for that (adjusted p = {p:.2f}).'
        verdicts.append(Verdict(question, 'undecided' if is_chance else state, result, text, p))
    return verdicts


def seeds_to_decide(result: Estimate, margin: float) -> int | None:
    """Return the least number of seeds that would decide if mean, s and v stay what they are; None if none would.

    Args:
        result: An undecided estimate.
        margin: δ, positive.
    """
    assert result.std is not None
    for seeds in range(result.seeds + 1, MOST_SEEDS + 1):
        error, df = standard_error(result.std, seeds, result.noise)
        half = quantile(0.975, df) * error
        imagined = result._replace(differences=(result.mean,) * seeds, low=result.mean - half, high=result.mean + half)
        if judge(imagined, margin) != 'undecided':
            return seeds
    return None


def _sentence(question: Question, state: State, result: Estimate, margin: float) -> str:
    mean, subset = f'{signed(result.mean)} points', question.subset
    if state == 'no verdict':
        each = ', '.join(signed(value) for value in result.differences)
        return f'No verdict {subset}: {mean} ({each}); {LEAST_SEEDS} seeds are the least.'
    interval = f'{signed(result.low)} to {signed(result.high)}'
    if state == 'pays':
        agree = f'{result.same_sign} of {result.seeds} seeds'
        return f'{question.subject} pays {subset}: {mean} (95% interval {interval}; {agree}).'
    if state == 'hurts':
        return f'{question.subject} hurts {subset}: {mean} ({interval}). {question.advice}'
    if state == 'does not pay':
        gain = f'a gain of {margin:g} {"point" if margin == 1 else "points"}'
        return f'It does not pay {subset}: {mean} ({interval}); {gain} is ruled out.'
    agree = f', although all {result.seeds} seeds agree' if result.same_sign == result.seeds else ''
    return f'Undecided {subset}: {mean} ({interval}){agree}.'


def _advice(result: Estimate, margin: float, seconds_per_seed: float | None, command: str) -> str:
    seeds = seeds_to_decide(result, margin)
    if seeds is None:
        return ' If the effect is what it seems, no number of seeds would decide: the test images are too few.'
    time = '' if seconds_per_seed is None else f' ({duration((seeds - result.seeds) * seconds_per_seed)} more)'
    text = f' If the effect is what it seems, {seeds} seeds{time} would decide'
    return f'{text}: {command} --seeds {seeds}' if command else f'{text}.'


def signed(value: float | None) -> str:
    """Return a number of points with its sign and one decimal."""
    assert value is not None
    text = f'{abs(value):.1f}'
    return f'−{text}' if value < 0 and float(text) else f'+{text}'


def duration(seconds: float) -> str:
    """Return a time in words, as in ``1 h 10 min``."""
    if round(seconds) < 60:
        return f'{max(1, round(seconds))} s'
    minutes = round(seconds / 60)
    if minutes < 60:
        return f'{minutes} min'
    return f'{minutes // 60} h {minutes % 60} min' if minutes % 60 else f'{minutes // 60} h'
