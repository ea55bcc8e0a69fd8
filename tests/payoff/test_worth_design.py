"""What is measured, what it costs, which rate is chosen, and what is answered: all without a network."""

import json

import numpy as np
import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.payoff.answer import Outcome, answer, as_json, describe_arm
from lewel_plugins.payoff.cost import Choice, Part, Seconds, Sizes, cost, describe, total, within_hours
from lewel_plugins.payoff.design import Design
from lewel_plugins.payoff.finetuning_length import steps_of
from lewel_plugins.payoff.page import render
from lewel_plugins.payoff.rates import search_rate
from lewel_plugins.payoff.settings import Settings, parse_settings
from lewel_plugins.payoff.splits import subsets

pytestmark = pytest.mark.core

SUBSETS = tuple(subsets((1, 5), (0.1, 1)))
DESIGN = Design(('A', 'B', 'C', 'D'), ('knn', 'linear', 'finetune'), SUBSETS, seeds=5)


def test_the_primary_question_is_fixed_and_the_first():
    questions = DESIGN.questions()
    primary = questions[0]
    assert (primary.arm, primary.baseline, primary.task, primary.subset) == ('D', 'B', 'finetune', 'with all labels')
    assert primary.is_primary and not any(question.is_primary for question in questions[1:])
    assert len(questions) == 3 * 3 * 4 == len(set(questions))
    without = Design(('A', 'C'), ('knn', 'linear'), SUBSETS, 3).primary()
    assert (without.arm, without.baseline, without.task) == ('C', 'A', 'linear')


def test_cells_come_seed_by_seed():
    cells = list(DESIGN.cells(['A', 'B'], ['knn', 'linear'], range(2)))
    assert len(cells) == 2 * 2 * 2 * 4 == len({cell.name for cell in cells})
    assert [cell.seed for cell in cells] == [0] * 16 + [1] * 16
    assert cells[0].name == 'A_knn_1-per-class_seed0'
    assert not list(DESIGN.cells(['A'], ['boxes'], [0])) and not list(DESIGN.cells(['A'], ['knn'], [5]))


def test_shots_then_c_then_seeds_are_dropped():
    steps = list(DESIGN.smaller())
    assert [what for what, _ in steps] == [
        'few labels per class',
        'pretraining from random weights (C)',
        'seeds beyond 4',
        'seeds beyond 3',
    ]
    last = steps[-1][1]
    assert last.arms == ('A', 'B', 'D') and last.seeds == 3 and [s.key for s in last.subsets] == ['0.1', 'all']
    assert [what for what, _ in Design(('A', 'C'), ('knn',), SUBSETS[2:], 3).smaller()] == []


def test_cost_by_hand():
    design = Design(('A', 'C'), ('knn', 'linear', 'finetune'), SUBSETS[3:], seeds=2)
    sizes = Sizes(labeled=100, test=30, subsets=[64], steps=dict(C=1000), linear_steps=500)
    parts = {
        (part.arm, part.stage): part.seconds for part in cost(design, sizes, Seconds(0.5, 0.01, 0.001, 0.0001), 10)
    }
    assert parts['C', 'pretraining'] == 2 * 1000 * 0.5 and ('A', 'pretraining') not in parts
    assert parts['A', 'features'] == pytest.approx(2 * 100 * 0.001)
    assert parts['A', 'linear'] == pytest.approx((2 + 2) * 500 * 0.0001)
    images = 10 * 64
    search = images * 0.01 * 0.8 * (4 * 0.5 + 1 + 3)
    assert parts['A', 'fine-tuning'] == pytest.approx(search + 2 * 3 * images * 0.01 + 2 * 30 * 0.001)


def test_given_weights_are_one_network():
    sizes = Sizes(labeled=100, test=30, subsets=[64], steps=dict(C=10, D=1))
    parts = cost(Design(('A', 'B', 'D'), ('knn',), SUBSETS[3:], 5), sizes, Seconds(1, 1, 1, 1))
    assert [(p.arm, p.stage, p.seconds) for p in parts] == [
        ('A', 'features', 500),
        ('B', 'features', 100),
        ('D', 'pretraining', 5),
        ('D', 'features', 500),
    ]


def test_a_network_that_is_pretrained_already_is_one_and_costs_no_pretraining():
    sizes = Sizes(labeled=100, test=30, subsets=[64], steps={})
    parts = cost(Design(('A', 'C'), ('knn',), SUBSETS[3:], 5), sizes, Seconds(1, 1, 1, 1))
    assert [(p.arm, p.stage, p.seconds) for p in parts] == [('A', 'features', 500), ('C', 'features', 100)]


def test_the_largest_design_that_the_time_allows():
    choices = [Choice(DESIGN, [Part('A', 'x', 3600.0 * hours)], ['a'] * (9 - hours)) for hours in (9, 5, 2)]
    assert within_hours(choices, None) is choices[0] and within_hours(choices, 9) is choices[0]
    assert within_hours(choices, 8.9) is choices[1] and within_hours(choices, 2) is choices[2]
    with pytest.raises(SetupError, match=r'--hours is 1, but without a and .* an answer takes about 2 h'):
        within_hours(choices, 1)
    assert describe(choices[2].parts) == ['  A  x            2 h', '  in all          2 h']
    assert total(choices[0].parts) == 9 * 3600


@pytest.mark.parametrize(
    ('size', 'expected'), [(5, (5, 100, 500)), (64, (64, 100, 6400)), (6400, (64, 20, 128000)), (1280, (64, 50, 64000))]
)
def test_length_of_finetuning(size, expected):
    assert steps_of(size) == expected
    assert steps_of(size, 3).epochs == 3


def test_search_of_a_rate():
    tried = []

    def score(peak):
        def of_rate(rate):
            tried.append(rate)
            return -abs(np.log(rate / peak))

        return of_rate

    assert search_rate((0.04, 0.4, 4.0), score(0.4))[0] == 0.4 and tried == [0.04, 0.4, 4.0]
    rate, scores = search_rate((0.04, 0.4, 4.0), score(50))
    assert rate == 40.0 and list(scores) == [0.04, 0.4, 4.0, 40.0]
    rate, scores = search_rate((0.01, 0.03, 0.1), score(1e-9))
    assert rate == pytest.approx(0.003333) and len(scores) == 4
    assert search_rate((0.04, 0.4, 4.0), lambda rate: 50.0)[0] == 0.004


def test_settings():
    settings, rest = parse_settings(
        ['method=byol', 'epochs=3', 'shots=2,4', 'transductive=True', 'model.x=1', 'test_share=0.5']
    )
    assert settings == Settings('byol', epochs=3, shots=(2, 4), transductive=True, test_share=0.5)
    assert rest == ['model.x=1'] and parse_settings(['shots=3'])[0].shots == (3,)
    assert settings.pretraining()['epochs'] == 3


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('epochs', r"--set takes KEY=VALUE, got 'epochs'"),
        ('epoch=3', r"--set does not know 'epoch'; did you mean epochs\?"),
        ('zzz=3', r"--set does not know 'zzz'; it takes method, backbone"),
        ('epochs=many', r"epochs takes a whole number, got 'many'"),
        ('epochs=2.5', r"epochs takes a whole number, got '2\.5'"),
        ('transductive=maybe', r"transductive takes True or False, got 'maybe'"),
        ('shots=a,b', r"shots takes numbers such as 1,5,20, got 'a,b'"),
        ('test_share=1', r'test_share must be between 0 and 1, got 1'),
        ('finetune_epochs=0', r'finetune_epochs must be at least 1, got 0'),
    ],
)
def test_a_wrong_setting_is_refused(word, message):
    with pytest.raises(SetupError, match=message):
        parse_settings([word])


def outcomes(design, gain, seed=0):
    """Return results in which the arm that is pretrained gains some points, on 1,000 test images."""
    rng = np.random.default_rng(seed)
    results = []
    for arm in design.arms:
        share = 0.6 + (gain / 100 if arm in 'CD' else 0)
        for task in design.tasks:
            for subset in design.subsets:
                for number in range(design.seeds):
                    ease = np.random.default_rng(99).random(1000)  # the same images are easy for all networks
                    hits = (ease + 0.01 * rng.normal(size=1000)) < share
                    text = ''.join('1' if hit else '0' for hit in hits)
                    results.append(Outcome(arm, task, subset.words, number, 100 * hits.mean(), text, 1.0))
    return results


def test_a_planted_gain_pays_and_equal_arms_do_not():
    design = Design(('A', 'C'), ('knn', 'linear'), SUBSETS[2:], 5)
    result = answer(design, outcomes(design, 5), range(1000), 1.0)
    assert result.verdicts[0].state == 'pays' and result.verdicts[0].question.is_primary
    assert [verdict.state for verdict in result.verdicts[1:]] == ['pays'] * 3
    numbers = result.verdicts[0].estimate
    assert numbers.mean == pytest.approx(5, abs=1) and numbers.noise.groups == 1000
    equal = answer(design, outcomes(design, 0), range(1000), 1.0)
    assert all(verdict.state == 'does not pay' for verdict in equal.verdicts)


def test_the_difference_is_that_of_the_images():
    design = Design(('A', 'C'), ('knn',), SUBSETS[3:], 3)
    texts = {('A', 0): '0011', ('A', 1): '0011', ('A', 2): '0011', ('C', 0): '1111', ('C', 1): '0111', ('C', 2): '0011'}
    cells = [Outcome(arm, 'knn', 'with all labels', seed, 0.0, text, 1.0) for (arm, seed), text in texts.items()]
    numbers = answer(design, cells, [0, 0, 1, 2], 1.0).verdicts[0].estimate
    assert numbers.differences == (50.0, 25.0, 0.0)
    paired = np.array([100 / 3, 200 / 3, 0, 0])
    sums = np.array([paired[:2].sum() - 50, -25, -25])
    squares = np.square([*(sums * 3 / 4), 100, -100]).sum()  # two groups more, a win and a loss
    assert numbers.noise.variance == pytest.approx(squares / 4) and numbers.noise.groups == 3


def test_json_and_lines_of_an_answer():
    design = Design(('A', 'C'), ('knn', 'linear'), SUBSETS[2:], 6)
    results = outcomes(design, 5)
    content = json.loads(json.dumps(as_json(answer(design, results, range(1000), 1.0))))
    assert content['verdicts'][0]['primary'] and content['verdicts'][0]['sign_flip_p'] == pytest.approx(2 / 64)
    assert len(content['table']) == 2 * 2 * 2 and content['table'][0]['n'] == 6
    line = describe_arm('A', 'random weights', results, 'with all labels')
    assert line.startswith('  A  random weights: 20-NN ') and line.endswith('% with all labels')
    assert describe_arm('B', 'x', results, 'with all labels') == ''


def test_page():
    design = Design(('A', 'C'), ('knn', 'linear'), SUBSETS[2:], 3)
    result = answer(design, outcomes(design, 5), range(1000), 1.0, remarks=['A <b>remark</b>.'])
    rates = {'A_linear': dict(scores={'0.04': 50.0, '0.4': 60.0}, rate=0.4, lengths={}, length=1)}
    html = render(result, 1.0, 1000, rates, dict(A=dict(tasks=3.0), C=dict(tasks=3.0, pretraining=90.0)))
    assert result.verdicts[0].sentence in html and 'A &lt;b&gt;remark&lt;/b&gt;.' in html
    assert '<script' not in html and 'http' not in html.replace('http-equiv', '').replace('http://www.w3.org', '')
    assert html.count('<h1') == 1 and 'COCO detectors from random weights catch up' in html
    assert '0.04: 50.0, 0.4: 60.0' in html and '2 min' in html and len(html) < 200_000
