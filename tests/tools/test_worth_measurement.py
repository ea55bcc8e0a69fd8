"""What the measurement of ``lewel worth`` concludes from a fresh difference, and its fresh scenes."""

import importlib.util
import json

import pytest
from helpers.tool_runs import ROOT
from helpers.worth_images import CONFIG

from lewel_plugins.api.worth_pretrained import check_run, check_start
from lewel_plugins.checkpoints import read_starting_weights
from lewel_plugins.datasets.garment_scenes.sources import is_held_out
from lewel_plugins.errors import SetupError
from lewel_plugins.payoff.answer import Answer, as_json
from lewel_plugins.payoff.networks import write_random_network
from lewel_plugins.payoff.settings import Settings
from lewel_plugins.payoff.statistics import estimate
from lewel_plugins.payoff.verdicts import Question, primary_verdict

FOLDER = ROOT / 'tools' / 'measurements'
QUESTION = Question('C', 'A', 'knn', 'with all labels', is_primary=True)


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location('worth_measurement', FOLDER / 'worth.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdict(*differences):
    return primary_verdict(QUESTION, estimate(differences), 1.0)


def recorded(*differences):
    return as_json(Answer([verdict(*differences)], [], []))['verdicts'][0]


@pytest.mark.parametrize(
    ('answer', 'fresh', 'confirms'),
    [
        ((4, 5, 6), (0, 1, 2), True),  # pays
        ((4, 5, 6), (-2, -1, 0), False),
        ((-6, -5, -4), (-2, -1, 0), True),  # hurts
        ((-6, -5, -4), (0, 1, 2), False),
        ((-0.1, 0, 0.1), (0, 0.5, 1), True),  # does not pay
        ((-0.1, 0, 0.1), (1, 2, 3), False),
        ((-2, 1, 4), (-9, -8, -7), None),  # undecided
    ],
)
def test_a_fresh_difference_confirms_a_verdict_by_its_sign(tool, answer, fresh, confirms):
    assert tool.check(recorded(*answer), verdict(*fresh)).confirms is confirms


def test_two_differences_are_apart_beyond_the_noise_of_both(tool):
    # Both have s = 1 over 3 seeds: standard error √(2/3), 4 degrees of freedom, t = 2.776, thus 2.267 points.
    answer = recorded(4, 5, 6)
    assert tool.check(answer, verdict(1.74, 2.74, 3.74)).together
    assert not tool.check(answer, verdict(1.72, 2.72, 3.72)).together
    # The interval of the answer alone is ±2.484.
    assert tool.check(answer, verdict(1.52, 2.52, 3.52)).inside
    assert not tool.check(answer, verdict(1.51, 2.51, 3.51)).inside
    assert tool.check(recorded(0, 0, 0), verdict(0, 0, 0)).together


def test_a_planted_start_is_accepted_for_the_run_that_is_judged(tool, tmp_path):
    start = tmp_path / 'start.pth'
    write_random_network(CONFIG, 5, start)
    run = tmp_path / 'run'
    write_random_network(CONFIG, 6, run / 'epoch_1.pth')
    plan = {name: dict(value=value) for name, value in (('method', 'byol'), ('backbone', 'x'), ('image_size', 32))}
    (run / 'plan.json').write_text(json.dumps(dict(request={'from': None}, plan=plan)))
    (run / 'finished.json').write_text('{}')
    with pytest.raises(SetupError, match='run began with random weights'):
        check_run(str(run), str(start), Settings())
    for _ in range(2):
        tool.experiments.plant(run, start, tmp_path / 'planted')
    check_run(str(tmp_path / 'planted'), str(start), Settings())
    check_start(str(tmp_path / 'planted'), read_starting_weights(str(start)))


def test_each_held_out_garment_is_in_equally_many_fresh_scenes(tool):
    assert tool.scenes.FRESH % tool.scenes.FRESH_GARMENTS == 0
    assert is_held_out(10_000).sum() == tool.scenes.FRESH_GARMENTS
