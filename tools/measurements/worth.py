"""Answers of `lewel worth` on garment scenes, and the same questions on scenes that it has not seen.

Every row is one question of one experiment: the difference of two arms in points, with its 95% interval. `answer` is
that of the command. The two columns after it are measured on fresh scenes, whose garments are in no other scene: with
the networks of the answer (those that are fine-tuned are trained again with the same seeds), and with new seeds of
label draws and heads, and of pretraining where the experiment pretrains. A fresh difference confirms `pays` if it is
above 0, `hurts` if it is below 0, and `does not pay` if it is below δ = 1; `undecided` claims nothing. `inside`: it
lies in the interval of the answer. Fresh differences have noise of their own, which the interval of the answer does not
contain, so that fewer than 95% of them lie inside. `together`: the two differ by at most the 95% interval of their
difference. The first question of an experiment is its primary one, in bold.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from payoff import experiments, scenes
from payoff.experiments import Experiment
from payoff.fresh import measure_fresh
from steps.report import Report

from lewel_plugins.api.worth_session import RESULT
from lewel_plugins.comparison.student_t import quantile
from lewel_plugins.files import read_json
from lewel_plugins.payoff.design import TASKS
from lewel_plugins.payoff.quiet import quiet
from lewel_plugins.payoff.verdicts import Verdict, signed

MARGIN = 1.0


class Check(NamedTuple):
    """How a fresh difference compares with an answer."""

    confirms: bool | None
    inside: bool
    together: bool


def check(verdict: dict[str, Any], fresh: Verdict) -> Check:
    """Compare a verdict with a fresh difference.

    Args:
        verdict: The answer, as `worth.json` has it.
        fresh: The same question on fresh images.
    """
    mean = fresh.estimate.mean
    confirms = {'pays': mean > 0, 'hurts': mean < 0, 'does not pay': mean < MARGIN}.get(verdict['verdict'])
    return Check(confirms, verdict['low'] <= mean <= verdict['high'], _together(verdict, fresh))


def _together(verdict: dict[str, Any], fresh: Verdict) -> bool:
    """Return whether two estimates differ by no more than their noise, by the t of Welch and Satterthwaite."""
    old = (verdict['high'] - verdict['low']) / 2 / quantile(0.975, verdict['degrees_of_freedom'])
    result = fresh.estimate
    assert result.error is not None and result.df is not None
    variances = (old**2, verdict['degrees_of_freedom']), (result.error**2, result.df)
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return bool(verdict['mean'] == result.mean)
    df = total**2 / sum(variance**2 / freedom for variance, freedom in variances)
    return bool(abs(verdict['mean'] - result.mean) <= quantile(0.975, df) * total**0.5)


def add_rows(report: Report, experiment: Experiment, answer: dict[str, Any], fresh: list[list[Verdict]]) -> None:
    """Add a row per question of an experiment."""
    measured = [{_key(asdict(each.question)): each for each in part} for part in fresh]
    for verdict in answer['verdicts']:
        others = [part.get(_key(verdict)) for part in measured]
        question = f'{verdict["arm"]} − {verdict["baseline"]}, {TASKS[verdict["task"]]}, {verdict["subset"]}'
        question = f'**{question}**' if verdict['primary'] else question
        numbers = _numbers(verdict['mean'], verdict['low'], verdict['high'])
        words = [_words(verdict, other) for other in others] + ['–'] * (2 - len(others))
        row = dict(experiment=experiment.name, answer=verdict, fresh=[_row(verdict, other) for other in others])
        report.add(row, experiment.what, question, verdict['verdict'], numbers, *words)


def _key(question: dict[str, Any]) -> tuple[str, ...]:
    return tuple(question[name] for name in ('arm', 'baseline', 'task', 'subset'))


def _row(verdict: dict[str, Any], fresh: Verdict | None) -> dict[str, Any] | None:
    if fresh is None:
        return None
    numbers = fresh.estimate
    return dict(
        check(verdict, fresh)._asdict(),
        mean=numbers.mean,
        low=numbers.low,
        high=numbers.high,
        differences=list(numbers.differences),
    )


def _words(verdict: dict[str, Any], fresh: Verdict | None) -> str:
    if fresh is None:
        return '–'
    result, numbers = check(verdict, fresh), fresh.estimate
    words = [] if result.confirms is None else ['confirmed' if result.confirms else 'contradicted']
    words += ['inside' if result.inside else 'together' if result.together else 'apart']
    return f'{_numbers(numbers.mean, numbers.low, numbers.high)} {", ".join(words)}'


def _numbers(mean: float, low: float | None, high: float | None) -> str:
    return f'{signed(mean)} ({signed(low)} to {signed(high)})'


def main() -> None:
    parser = argparse.ArgumentParser(description='Compare the answers of lewel worth with fresh scenes.')
    parser.add_argument('--work', type=Path, default=Path('work_dirs/worth'), help='default: %(default)s')
    names = [experiment.name for experiment in experiments.experiments(Path())]
    parser.add_argument('--only', nargs='+', choices=names, help='experiments to run, in this order (default: all)')
    parser.add_argument(
        '--same-networks', nargs='*', default=[], metavar='NAME', help='experiments without new networks'
    )
    parser.add_argument(
        '--frozen', nargs='*', default=[], metavar='NAME', help='experiments without training networks again'
    )
    parser.add_argument('--out', type=Path, help='json file to write, with the table in markdown beside it')
    args = parser.parse_args()
    scenes.make(args.work)
    report = Report('Answers of `lewel worth` on garment scenes', 'experiment', 'question', 'answer', 'difference',
                    'fresh scenes', 'fresh scenes, new seeds')  # fmt: skip
    commands = {}
    every = {experiment.name: experiment for experiment in experiments.experiments(args.work)}
    for name in args.only or every:
        experiment = every[name]
        if experiment.weights or experiment.pretrained:
            experiments.make_networks(args.work)
        folder = args.work / experiment.name
        commands[experiment.name] = experiments.run(experiment, folder)
        new_seeds, frozen = experiment.name not in args.same_networks, experiment.name in args.frozen
        work = args.work / f'{experiment.name}_fresh'
        with quiet(print, args.work / f'{work.name}.log') as say:
            fresh = measure_fresh(experiment, folder, work, new_seeds, frozen, say)
        add_rows(report, experiment, read_json(folder / RESULT), fresh)  # type: ignore[arg-type]
        report.write(args.out, __doc__.partition('\n')[2], commands=commands)


if __name__ == '__main__':
    main()
