"""BYOL with multi-crop against naive loops, and against mmpretrain's BYOL where the two coincide."""

import pytest
import torch
from helpers import references as naive
from helpers import tiny, twins

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


def views(small: int = 3, seed: int = 0) -> list[torch.Tensor]:
    """Return two large views of 6 px, and small views of 4 px."""
    return [*tiny.images(3, seed=seed), *tiny.images(3, small, seed=seed + 1, size=4)]


@pytest.mark.parametrize('targets', ['all', 'large'])
@pytest.mark.parametrize('small', [0, 1, 3])
def test_step_equals_the_naive_step(small, targets):
    model = tiny.byol_multi_crop(targets=targets)
    p, z = tiny.naive_embeddings(model, views(small))
    expected = naive.multi_crop_loss(p, z if targets == 'all' else z[:2])
    theirs = tiny.gradients(expected, model)
    loss = model.loss(views(small))['loss']
    assert naive.largest_difference([loss], [expected]) < TOLERANCE
    assert naive.largest_difference(tiny.gradients(loss, model), theirs) < TOLERANCE


def test_without_small_views_it_is_mmpretrains_byol():
    model = tiny.byol_multi_crop(momentum=0.3)
    worst = twins.walk_together(model, twins.byol(model), steps=6)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize(('targets', 'sizes'), [('all', [6, 6, 4, 4, 4]), ('large', [6, 6])])
def test_targets_go_through_the_teacher_one_by_one(targets, sizes):
    """So batch norm has its statistics per view."""
    model, seen = tiny.byol_multi_crop(targets=targets), []
    model.teacher.register_forward_hook(lambda _, inputs, output: seen.append(tuple(inputs[0].shape[::3])))
    model.loss(views())
    assert seen == [(3, size) for size in sizes]


def test_all_views_are_targets_by_default():
    default, every, large = (tiny.byol_multi_crop(**c) for c in ({}, dict(targets='all'), dict(targets='large')))
    losses = [model.loss(views())['loss'].item() for model in (default, every, large)]
    assert losses[0] == losses[1] > losses[2] > 0
    with pytest.raises(ValueError, match="targets must be 'all' or 'large', got 'small'"):
        tiny.byol_multi_crop(targets='small')


@pytest.mark.parametrize('order', [(2, 3, 0, 1), (0, 2, 1, 3)], ids=str)
def test_large_views_come_first(order):
    all_views = views(2)
    with pytest.raises(ValueError, match=r'two large views first.*\(4, 4\)'):
        tiny.byol_multi_crop().loss([all_views[i] for i in order])


def test_one_view_is_too_few():
    with pytest.raises(ValueError, match='BYOLMultiCrop takes a list of 2 views or more .* got 1 views'):
        tiny.byol_multi_crop().loss(tiny.images(views=1))
