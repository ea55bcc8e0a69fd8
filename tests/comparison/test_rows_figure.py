"""The picture of rows: dots at the values of the seeds, bars at their means; and the same from a json file."""

import json
import sys

import pytest
from helpers.tool_runs import ROOT, run
from matplotlib import image

from lewel_plugins.comparison.figure import draw_rows, rows_figure
from lewel_plugins.comparison.spec import Metric
from lewel_plugins.comparison.table import Results, RowResult, as_json, from_json

pytestmark = pytest.mark.core
ACCURACY, LINEAR = Metric('knn/top1', '20-NN, %'), Metric('evaluation/linear', 'linear, %')


def made_up() -> Results:
    rows = [
        RowResult('a', True, 'a', values={0: {'knn/top1': 50.0}, 1: {'knn/top1': 54.0}}),
        RowResult('pixels', False, 'a', values={0: {'knn/top1': 33.0}}),
        RowResult('not run', True, 'a'),
    ]
    return Results('Made up', (0, 1), (ACCURACY, LINEAR), rows)


def test_dots_are_seeds_and_bars_are_means():
    (axis,) = rows_figure(made_up()).axes  # nothing was measured for the other metric
    marks = [(line.get_marker(), list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines]
    assert marks == [
        ('o', [50.0, 54.0], [0, 0]),
        ('|', [52.0], [0]),
        ('o', [33.0], [1]),
        ('|', [33.0], [1]),
        ('o', [], []),
    ]
    assert axis.get_title() == '20-NN, %'
    assert [label.get_text() for label in axis.get_yticklabels()] == ['a', 'pixels', 'not run']
    bottom, top = axis.get_ylim()
    assert bottom > top  # the first row is on top


def test_nothing_to_draw(tmp_path):
    assert not draw_rows(Results('none', (0,), (LINEAR,), made_up().rows), tmp_path / 'none.png')
    assert not (tmp_path / 'none.png').exists()


def test_a_file_keeps_which_rows_have_seeds():
    results = made_up()
    a, pixels, unfinished = results.rows
    unfinished.values[1] = {'knn/top1': 52.0}  # the first of its two seeds
    again = from_json(json.loads(json.dumps(dict(title='', seeds=results.seeds, rows=as_json(results)))), [ACCURACY])
    for row in (pixels, unfinished):
        assert again.pairs(again.row(row.name), again.row('a'), ACCURACY) == results.pairs(row, a, ACCURACY)
    assert again.difference(again.row('not run'), ACCURACY).n == 1


def test_the_tool_draws_them_from_the_json_file(tmp_path):
    results = made_up()
    record = dict(title=results.title, seeds=results.seeds, rows=as_json(results))
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(record))
    again = from_json(json.loads(path.read_text()), results.metrics)
    assert [(row.name, row.values) for row in again.rows] == [(row.name, row.values) for row in results.rows]
    command = [sys.executable, str(ROOT / 'tools/measurements/rows_picture.py'), str(path), str(tmp_path / 'it.png')]
    done = run(*command, '--measures', 'knn/top1=20-NN, %', cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert image.imread(tmp_path / 'it.png').std() > 0.05
    wrong = run(*command, '--measures', 'knn/top5', cwd=tmp_path)
    assert wrong.returncode == 1
    assert wrong.stdout.splitlines()[-1] == f"error: {path} has no measure 'knn/top5'; it has knn/top1"
