"""Intervals and verdicts of ``lewel worth``: against scipy, against figures of this project, and in simulations."""

import numpy as np
import pytest

from lewel_plugins.comparison.student_t import quantile, survival
from lewel_plugins.payoff.statistics import (
    ImageNoise,
    accuracy_noise,
    bootstrap_noise,
    estimate,
    holm,
    image_noise,
    resamples,
    sign_flip_p,
    standard_error,
    two_sided_p,
)
from lewel_plugins.payoff.verdicts import (
    Question,
    duration,
    exploratory_verdicts,
    judge,
    primary_verdict,
    seeds_to_decide,
)

pytestmark = pytest.mark.core

# docs/results/all-methods_garment-scenes.json: differences from random weights by seed, in points.
LEWEL_M_10PCT = (1.95, 5.60, 2.15)
BYOL_10PCT = (-1.10, -0.20, -0.25)
LEWEL_M_BOX_AP = (2.2, 4.2, 3.5)
TEN_PERCENT = Question('C', 'A', 'semi', 'with 10% of the labels')
ALL = Question('D', 'B', 'finetune', 'with all labels', is_primary=True)


@pytest.mark.parametrize('df', [1, 2, 2.5, 4, 7.3, 30, 91.2, 1999, 1e5])
def test_student_t_is_that_of_scipy(df):
    reference = pytest.importorskip('scipy.stats').t
    for t in (-3.0, 0.0, 0.3, 1.0, 2.5, 12.0):
        assert survival(t, df) == pytest.approx(reference.sf(t, df), rel=1e-10)
    for p in (0.5, 0.9, 0.975, 0.999):
        assert quantile(p, df) == pytest.approx(reference.ppf(p, df), rel=1e-9, abs=1e-9)


def test_student_t_refuses_what_it_has_no_answer_for():
    with pytest.raises(ValueError, match='df must be positive, got 0'):
        survival(1.0, 0)
    with pytest.raises(ValueError, match=r'p must be at least 0\.5 and below 1, got 1'):
        quantile(1, 3)


def test_interval_is_that_of_an_independent_computation():
    stats = pytest.importorskip('scipy.stats')
    d = np.array([0.5, -1.0, 2.0, 0.25])
    noise = ImageNoise(700.0, 150)
    a, b = d.var(ddof=1) / 4, 700.0 / 150
    df = (a + b) ** 2 / (a**2 / 3 + b**2 / 149)
    low, high = stats.t.interval(0.95, df, d.mean(), np.sqrt(a + b))
    result = estimate(d, noise)
    assert (result.low, result.high) == pytest.approx((low, high), rel=1e-9)
    assert result.df == pytest.approx(df) and result.same_sign == 3
    only_seeds = estimate(d)
    assert (only_seeds.low, only_seeds.high) == pytest.approx(
        stats.t.interval(0.95, 3, d.mean(), stats.sem(d)), rel=1e-9
    )
    assert two_sided_p(only_seeds) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=1e-9)
    assert two_sided_p(only_seeds, 1.0) == pytest.approx(stats.ttest_1samp(d, 1.0).pvalue, rel=1e-9)


@pytest.mark.parametrize(('seeds', 'half'), [(3, 2.48), (5, 1.24), (8, 0.84)])
def test_half_width_of_seeds_alone(seeds, half):
    error, df = standard_error(1.0, seeds, None)
    assert quantile(0.975, df) * error == pytest.approx(half, abs=0.005)


def test_a_thousand_images_that_differ_in_a_tenth_are_two_points():
    noise = ImageNoise(0.1 * 100**2, 1000)
    error, df = standard_error(0.0, 5, noise)
    assert quantile(0.975, df) * error == pytest.approx(1.96, abs=0.01)


def test_image_noise_of_single_images_is_the_sample_variance():
    paired = np.random.default_rng(0).normal(size=50)
    noise = image_noise(paired, range(50))
    assert noise.variance == pytest.approx(paired.var(ddof=1)) and noise.groups == 50


def test_images_of_equal_groups_count_once():
    means = np.random.default_rng(0).normal(size=20)
    noise = image_noise(np.repeat(means, 5), np.repeat(np.arange(20), 5))
    assert noise.variance == pytest.approx(means.var(ddof=1)) and noise.groups == 20
    assert image_noise(means, [3] * 20) == ImageNoise(0.0, 1)


def test_image_noise_of_unequal_groups_is_the_spread_of_the_mean():
    rng = np.random.default_rng(0)
    sizes, repeats = rng.integers(1, 9, 60), 4000
    groups = np.repeat(np.arange(60), sizes)
    means = []
    for _ in range(repeats):
        means.append(rng.normal(size=60)[groups].mean())
    variances = [image_noise(rng.normal(size=60)[groups], groups).of_mean for _ in range(200)]
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.1)


def test_noise_of_an_accuracy_is_that_of_two_more_images_a_win_and_a_loss():
    paired = np.array([100.0, 0, 0, -100, 0, 100, 0, 0, 0, 0])
    mean = paired.mean()
    squares = np.square(np.append(paired - mean, [100, -100])).sum()
    assert accuracy_noise(paired, range(10)) == ImageNoise(pytest.approx(squares / 11), 10)
    # Groups of one size count as their means, and no group tells the arms apart here.
    assert accuracy_noise(np.zeros(40), np.repeat(range(20), 2)) == ImageNoise(pytest.approx(2e4 / 21), 20)
    assert accuracy_noise(np.zeros(4), [1] * 4) == ImageNoise(0.0, 1)


def test_noise_of_an_accuracy_hardly_changes_with_a_thousand_images():
    paired = np.repeat([100.0, -100, 0], [60, 40, 900])
    plain, noise = image_noise(paired, range(1000)), accuracy_noise(paired, range(1000))
    assert noise.variance == pytest.approx(plain.variance, rel=0.02)
    assert estimate([2.0] * 5, noise).low == pytest.approx(estimate([2.0] * 5, plain).low, abs=0.02)


def test_bootstrap_of_a_mean_is_its_variance():
    paired = np.random.default_rng(0).normal(size=80)
    groups = np.repeat(np.arange(40), 2)
    counts = resamples(groups, repeats=2000)
    assert (counts.sum(1) == 80).all() and (counts[:, ::2] == counts[:, 1::2]).all()
    noise = bootstrap_noise(counts @ paired / 80, groups)
    assert noise.of_mean == pytest.approx(image_noise(paired, groups).of_mean, rel=0.1) and noise.groups == 40


def test_holm_is_that_of_a_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_sign_flips_have_a_p_from_six_seeds_on():
    assert sign_flip_p([1.0] * 5) is None
    assert sign_flip_p([1.0, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    assert sign_flip_p([1.0, -1, 1, -1, 1, -1]) == 1.0


def test_lewel_m_with_a_tenth_of_the_labels_is_undecided():
    verdict = primary_verdict(TEN_PERCENT, estimate(LEWEL_M_10PCT), 1.0, 35 * 60, 'lewel worth …')
    assert verdict.state == 'undecided'
    assert verdict.sentence == (
        'Undecided with 10% of the labels: +3.2 points (−1.9 to +8.3), although all 3 seeds agree. If the effect is '
        'what it seems, 5 seeds (1 h 10 min more) would decide: lewel worth … --seeds 5'
    )


def test_byol_does_not_pay_by_seeds_alone_and_is_undecided_with_the_test_images():
    verdict = primary_verdict(Question('D', 'B', 'semi', 'with all labels'), estimate(BYOL_10PCT), 1.0)
    assert verdict.sentence == (
        'It does not pay with all labels: −0.5 points (−1.8 to +0.7); a gain of 1 point is ruled out.'
    )
    discordant = 0.1 * 100**2 - np.mean(BYOL_10PCT) ** 2
    result = estimate(BYOL_10PCT, ImageNoise(discordant, 2000))
    assert judge(result, 1.0) == 'undecided' and result.high == pytest.approx(1.0, abs=0.05)


def test_lewel_m_pays_in_box_ap():
    verdict = primary_verdict(Question('C', 'A', 'boxes', 'with all labels'), estimate(LEWEL_M_BOX_AP), 1.0)
    assert verdict.state == 'pays'
    assert (
        verdict.sentence == 'Pretraining pays with all labels: +3.3 points (95% interval +0.8 to +5.8; 3 of 3 seeds).'
    )


def test_words_of_hurts_and_of_too_few_seeds():
    hurts = primary_verdict(ALL, estimate((-2.0, -2.4, -2.8)), 1.0)
    assert hurts.sentence == (
        'Continued pretraining hurts with all labels: −2.4 points (−3.4 to −1.4). Keep the given weights.'
    )
    few = primary_verdict(ALL, estimate((2.0, 3.0)), 1.0)
    assert few.state == 'no verdict'
    assert few.sentence == 'No verdict with all labels: +2.5 points (+2.0, +3.0); 3 seeds are the least.'
    assert primary_verdict(ALL, estimate((2.0,)), 1.0).state == 'no verdict'


def test_a_gain_below_the_margin_does_not_pay_though_it_is_certain():
    assert judge(estimate((0.4, 0.5, 0.45)), 1.0) == 'does not pay'
    assert judge(estimate((0.4, 0.5, 0.45)), 0.1) == 'pays'


def test_no_gain_is_ruled_out_by_test_images_that_never_differ():
    """The variance of a bootstrap has no imagined images, and that of an accuracy is 0 for a single group."""
    same, gain = estimate([0.0] * 5, ImageNoise(0.0, 30)), estimate((5.0, 5.1, 4.9), ImageNoise(50.0, 30))
    assert judge(same, 1.0) == 'undecided'
    assert primary_verdict(ALL, same, 1.0).sentence.endswith('would decide: the test images are too few.')
    assert judge(estimate([0.0] * 5, ImageNoise(0.0, 1)), 1.0) == 'undecided'
    question = Question('C', 'A', 'boxes', 'with all labels')
    verdicts = exploratory_verdicts([question] * 2, [same, gain], 1.0)
    assert [verdict.state for verdict in verdicts] == ['undecided', 'pays'] and verdicts[0].adjusted_p == 1.0


def test_too_few_test_images_are_named():
    result = estimate((2.0, 2.1, 1.9), ImageNoise(9000.0, 40))
    assert seeds_to_decide(result, 1.0) is None
    text = primary_verdict(ALL, result, 1.0).sentence
    assert text.endswith('no number of seeds would decide: the test images are too few.')


def test_exploratory_answers_are_adjusted_for_their_number():
    clear, near = estimate((5.0, 5.1, 4.9, 5.05, 4.95)), estimate((1.0, 3.0, 2.0, 4.0, 0.5))
    question = Question('C', 'A', 'knn', 'with all labels')
    assert exploratory_verdicts([question], [near], 1.0)[0].state == 'pays'
    verdicts = exploratory_verdicts([question] * 8, [clear] + [near] * 7, 1.0)
    assert verdicts[0].state == 'pays' and verdicts[1].state == 'undecided'
    assert 'It is one of 8 questions' in verdicts[1].sentence
    few = exploratory_verdicts([question, question], [estimate((1.0, 2.0)), near], 1.0)
    assert [verdict.state for verdict in few] == ['no verdict', 'pays'] and few[0].adjusted_p is None


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.2, '1 s'), (59, '59 s'), (59.7, '1 min'), (600, '10 min'), (4200, '1 h 10 min'), (7200, '2 h')],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def simulate(gain: float, s: float, seeds: int, repeats: int, seed: int, discordant: float = 0.0) -> dict[str, float]:
    """Return the share of each state among repeats of an experiment with a true gain and 1,000 test images."""
    rng = np.random.default_rng(seed)
    noise = ImageNoise(discordant * 100**2, 1000) if discordant else None
    states: dict[str, float] = {}
    for _ in range(repeats):
        mean = gain + rng.normal(0, noise.of_mean**0.5 if noise else 0)
        state = judge(estimate(rng.normal(mean, s, seeds), noise), 1.0)
        states[state] = states.get(state, 0) + 1 / repeats
    return states


@pytest.mark.parametrize('s', [1.0, 2.0])
@pytest.mark.parametrize('seeds', [3, 5])
def test_equal_arms_pay_in_at_most_five_of_a_hundred_repeats(seeds, s):
    assert simulate(0.0, s, seeds, 1000, seed=seeds).get('pays', 0) <= 0.05
    assert simulate(0.0, s, seeds, 1000, seed=seeds, discordant=0.1).get('pays', 0) <= 0.05


def test_a_planted_gain_of_five_points_pays():
    assert simulate(5.0, 1.0, 3, 200, seed=0)['pays'] >= 0.95
    assert simulate(5.0, 1.0, 5, 200, seed=0, discordant=0.1)['pays'] >= 0.95


def test_a_gain_of_three_is_found_as_often_as_promised():
    """The design states 75, 100 and 100 per cent for 3, 5 and 8 seeds with s = 1, by simulations of its own."""
    assert simulate(3.0, 1.0, 3, 1000, seed=1)['pays'] == pytest.approx(0.75, abs=0.05)
    assert simulate(3.0, 1.0, 5, 300, seed=1)['pays'] >= 0.98
    assert simulate(3.0, 2.0, 3, 1000, seed=1)['pays'] == pytest.approx(0.31, abs=0.05)


def share_of(state: str, gain: float, images: int, differ: float = 0.0, repeats: int = 400) -> float:
    """Return the share of a state among repeats in which every seed predicts the test images alike.

    Args:
        state: The state.
        gain: True gain, as the share of images that only the arm predicts, less those that only the baseline does.
        images: Number of test images.
        differ: Share of images that the arms predict differently without a gain.
        repeats: Number of repeats.
    """
    rng = np.random.default_rng(images)
    count = 0
    for _ in range(repeats):
        draws = rng.random(images)
        paired = 100.0 * (draws < gain + differ / 2) - 100.0 * (draws > 1 - differ / 2)
        count += judge(estimate([paired.mean()] * 5, accuracy_noise(paired, range(images))), 1.0) == state
    return count / repeats


@pytest.mark.parametrize('images', [10, 20, 50, 100, 300, 1000])
def test_a_gain_is_not_ruled_out_by_images_that_do_not_show_it(images):
    """The sample variance alone rules a gain of 3 points out in 74, 54, 23 and 5 per cent of the first four."""
    for gain in (0.015, 0.03):
        assert share_of('does not pay', gain, images) <= 0.025


@pytest.mark.parametrize('images', [20, 100, 300])
def test_equal_arms_do_not_pay_by_few_images(images):
    assert share_of('pays', 0.0, images, differ=0.02) <= 0.025
    assert share_of('pays', 0.0, images, differ=0.2) <= 0.05


def test_equal_predictions_on_many_images_rule_a_gain_out():
    assert share_of('does not pay', 0.0, 300, repeats=5) == 1 and share_of('does not pay', 0.0, 270, repeats=5) == 0
    assert share_of('pays', 0.05, 1000, differ=0.05, repeats=100) >= 0.95
