"""Every method trains on the pretended GPU as ``tools/train.py`` trains it on a real one, and resumes bit for bit.

A training has 12 iterations in epochs of 4, in bfloat16, with all default hooks in each iteration, k-NN after each
epoch, and the hooks of the method: K-means and resets of SMoG, weights of MPCL's projectors.
"""

from math import isfinite
from pathlib import Path

import pytest
import torch
from helpers.pretended_gpu.training import METHODS, Result, config, train
from helpers.pretraining import ITERATIONS, add_validation, different, write_images

LOGGED = dict(
    smog=('train/groups_used', 'train/groups_agreement'),
    lewel_b=('train/loss_global', 'train/loss_aligned'),
    mpcl_moco=('train/loss_contrastive', 'train/loss_pcr'),
    msbreg=('train/loss_singular', 'train/loss_brownian'),
)


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    write_images(folder)
    return folder


def check(result: Result, method: str) -> None:
    """Check that everything was on the GPU, in bfloat16 where it should be, and that the hooks have acted."""
    assert result.wrapper == 'AmpOptimWrapper' and not result.on_cpu
    for step in result.steps.values():
        assert step.features == {torch.bfloat16} and not step.low_precision_losses
    logs = result.logs
    assert all(isfinite(loss) for loss in logs['train/loss'])
    for name in ('train/std', 'train/rank_me', 'val/knn/top1', *LOGGED.get(method, ())):
        assert logs[name], name
    weights = result.state['model'].get('head.balance.weights')
    assert (weights is not None) == method.startswith('mpcl')
    assert weights is None or weights.unique().numel() > 1  # MPCLReweightHook has changed them


@pytest.mark.sampled(3)
@pytest.mark.parametrize('method', METHODS)
def test_a_resumed_training_equals_an_uninterrupted_one(method, images, tmp_path):
    straight, resumed = config(method, images, tmp_path / 'straight'), config(method, images, tmp_path / 'resumed')
    add_validation(straight)
    add_validation(resumed)
    expected = train(straight)
    assert sorted(expected.steps) == list(range(1, ITERATIONS + 1))
    check(expected, method)
    actual = train(resumed, resume=tmp_path / 'straight' / 'iter_6.pth')
    assert sorted(actual.steps) == list(range(7, ITERATIONS + 1))  # the checkpoint is in the middle of an epoch
    check(actual, method)
    assert different(actual.state, expected.state) == []
    assert {k: v for k, v in actual.logs.items() if 'loss' in k} == {
        k: v for k, v in expected.logs.items() if 'loss' in k
    }
