"""Lines and files that no training writes are left out of a report."""

import json

import pytest
from helpers.report_runs import write_run

from lewel_plugins.api.training import Run
from lewel_plugins.reporting.report import main_verdict
from lewel_plugins.reporting.run_data import read_runs

pytestmark = pytest.mark.core
HUGE = f'1{"0" * 400}'
OTHERS = [
    *('[1, 2]', '3', '"text"', 'null', 'NaN', f'{"[" * 100_000}', '{"lr": 0.1, "loss": 2}'),
    *(f'{{"lr": 0.1, "loss": 2, "step": {step}}}' for step in ('"x"', 'null', '[1]', 'NaN', 'Infinity', '-5', HUGE)),
]


def test_lines_of_scalars_that_are_no_records(tmp_path):
    curves = read_runs([write_run(tmp_path / 'run')])[0].curves
    scalars = tmp_path / 'run' / '20260131_120000' / 'vis_data' / 'scalars.json'
    whole = scalars.read_text()
    for lines in ('\n'.join([whole, *OTHERS]), '\n'.join([*OTHERS, whole])):
        scalars.write_text(lines)
        assert read_runs([tmp_path / 'run'])[0].curves == curves
        assert Run(tmp_path / 'run', 'finished').metrics['knn/top1_k20'] == 50.0


@pytest.mark.parametrize('value', ['NaN', 'Infinity', '"1"', HUGE, '[1]', 'null'])
def test_values_that_are_no_finite_numbers(tmp_path, value):
    run = write_run(tmp_path / 'run', finished=False)
    names = ('loss', 'epoch', 'memory', 'time', 'data_time', 'std', 'rank_me')
    line = ', '.join(f'"{name}": {value}' for name in names)
    with (run / '20260131_120000' / 'vis_data' / 'scalars.json').open('a') as scalars:
        scalars.write(f'\n{{"lr": 0.1, "iter": 1010, "step": 1010, {line}}}\n')
    assert main_verdict(run).level and read_runs([run])[0].total_steps


@pytest.mark.parametrize('value', [None, 3, 'x', [], {}, [None], ['x'], {'findings': 3}, {'steps': 1000}, [[]]])
def test_notes_of_another_form(tmp_path, value):
    run = write_run(tmp_path / 'run')
    expected = main_verdict(run)
    for name in ('check.json', 'sessions.json', 'plan.json'):
        (run / name).write_text(json.dumps(value))
    for content in (value, dict(steps=1000, verdicts=value)):
        (run / 'verdicts.json').write_text(json.dumps(content))
        assert main_verdict(run) == expected
    (data,) = read_runs([run])
    assert isinstance(data.check.get('findings', []), list) and (data.plan, data.seconds) == ({}, None)
