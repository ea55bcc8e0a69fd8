import math

import pytest
import torch

from lewel_plugins.models import GroupSchedule, group_schedule, scale_to_batch

pytestmark = pytest.mark.core

IMAGENET, CASES = 1281167, [(1281167, 4096, 100), (8000, 64, 12), (8000, 64, 24), (50000, 256, 800), (2000, 32, 20)]


def test_the_papers_settings_come_out_of_its_batch_and_length():
    """Within a tenth: 300 is 0.96 % of the steps, and 1 − 0.99^223 is 0.89."""
    schedule = group_schedule(IMAGENET, 4096, 100)
    assert schedule.interval == pytest.approx(300, rel=0.1)
    assert schedule.momentum == pytest.approx(0.001, rel=0.1)
    assert schedule.num_groups == pytest.approx(3000, rel=0.1)
    assert 1 - schedule.end_beta == pytest.approx(0.01, rel=0.1)
    assert schedule == (310, 0.00097, 2900, 0.9906)


@pytest.mark.parametrize(('images', 'batch', 'epochs'), CASES)
def test_keeps_the_ratios_up_to_two_digits(images, batch, epochs):
    interval, momentum, groups, end_beta = group_schedule(images, batch, epochs)
    steps = epochs * (images // batch)
    assert interval / steps == pytest.approx(0.01, rel=0.05) or interval * batch / groups == pytest.approx(10, rel=0.15)
    assert interval * momentum == pytest.approx(0.3, rel=0.05)
    assert batch / groups == pytest.approx(1.4, rel=0.05)
    expected_images_without_a_group = math.exp(batch * math.log1p(-1 / groups))
    replaced = 1 - end_beta ** (interval * (1 - expected_images_without_a_group))
    assert replaced == pytest.approx(0.89, abs=0.01)
    assert interval * batch >= 10 * groups


@pytest.mark.parametrize('iterations', [2, 8])
def test_accumulated_iterations_move_a_group_one_by_one(iterations):
    """β is that of the iterations in which a group has an image, counted in a simulation."""
    *others, end_beta = group_schedule(50000, 256, 100, iterations)
    *same, beta = group_schedule(50000, 256, 100)
    assert others == same and end_beta > beta
    interval, _, groups = others
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(groups, (interval * iterations, 256 // iterations), generator=generator)
    hits = torch.zeros(len(draws), groups).scatter_(1, draws, 1.0).sum(0).mean().item()
    assert 1 - end_beta**hits == pytest.approx(0.89, abs=0.01)  # as above, by two digits
    scaled = scale_to_batch(GroupSchedule(interval, 0.001, groups, beta), 256, 256, iterations)
    assert scaled[:3] == (interval, 0.001, groups)
    once = interval * (1 - (1 - 1 / groups) ** 256)  # hits without accumulation
    assert 1 - scaled.end_beta == pytest.approx(1 - beta ** (once / hits), rel=0.06)  # two digits, and the simulation


def test_bounds_of_a_short_training():
    assert group_schedule(8000, 64, 4).interval == 8  # not 5, of which a group would have 7 features
    assert group_schedule(200, 2, 2).num_groups == 2  # not 1


@pytest.mark.parametrize(
    ('arguments', 'names'),
    [
        ((100, 200, 10), ['batch_size', '100', '200']),
        ((100, 1, 10), ['batch_size', '1']),
        ((8000, 64, 0.1), ['0.1 epochs', '12 steps', '46 groups', '8 steps']),
        ((8000, 64, 0), ['0 epochs', '0 steps']),
    ],
    ids=str,
)
def test_errors(arguments, names):
    with pytest.raises(ValueError) as error:
        group_schedule(*arguments)
    assert all(name in str(error.value) for name in names)
