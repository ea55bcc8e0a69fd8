import math
from pathlib import Path

import pytest
import torch
from helpers.toy_runner import toy_runner
from mmengine.hooks import Hook

from lewel_plugins.hooks.non_finite_hook import non_finite_names
from lewel_plugins.visualization.curves import read_curves

pytestmark = pytest.mark.core


class _Spoil(Hook):
    """Change the model after an iteration."""

    priority = 'VERY_HIGH'

    def __init__(self, at: int, name: str, value: float) -> None:
        self.at, self.name, self.value = at, name, value

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            with torch.no_grad():
                runner.model.state_dict()[self.name].fill_(self.value)


def _train(folder: Path, spoil: Hook, interval: int = 1, **changes) -> None:
    runner = toy_runner(
        folder,
        max_iters=6,
        **{'default_hooks.checkpoint.interval': interval, 'default_hooks.non_finite': _HOOK, **changes},
    )
    runner.register_hook(spoil)
    runner.train()


_HOOK = dict(type='lewel_plugins.NonFiniteHook')


def test_loss_stops_training_and_names_the_last_checkpoint(tmp_path):
    # Every second iteration is saved; the weights turn NaN after iteration 4 is saved, so that 5 has a NaN loss.
    spoil = _Spoil(4, 'backbone.conv1.weight', float('nan'))
    spoil.priority = 'LOWEST'
    with pytest.raises(FloatingPointError) as error:
        _train(tmp_path, spoil, interval=2)
    message = str(error.value)
    assert 'the loss is not finite at iteration 5: loss = nan' in message
    assert f'The last good checkpoint is {tmp_path}/iter_4.pth' in message
    assert 'lr = 0.05' in message
    steps, losses = read_curves(tmp_path)['loss']
    assert steps[-1] == 5 and math.isnan(losses[-1])
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == ['iter_2.pth', 'iter_4.pth']


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_no_bad_checkpoint_is_written(tmp_path, value):
    # A weight of the teacher and an unused running statistic, which the loss of this iteration does not show.
    with pytest.raises(FloatingPointError) as error:
        _train(tmp_path, _Spoil(3, 'neck.bn0.running_var', value))
    assert (
        'no checkpoint is written at iteration 3: NaN or infinite entries in state_dict.neck.bn0.running_var ('
        in str(error.value)
    )
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']


def test_before_any_checkpoint(tmp_path):
    spoil = _Spoil(1, 'backbone.conv1.weight', float('nan'))
    with pytest.raises(FloatingPointError, match='No checkpoint has been written yet'):
        _train(tmp_path, spoil, interval=10)


def test_a_healthy_run_is_left_alone(tmp_path):
    _train(tmp_path, Hook(), interval=3)
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == ['iter_3.pth', 'iter_6.pth']


def test_names_of_bad_tensors():
    big = torch.full((3,), 3e38)  # finite, though its sum is not
    state = dict(
        model=dict(good=big, ints=torch.tensor([1]), empty=torch.zeros(0), half=torch.ones(2).half()),
        optimizer=dict(state={0: dict(momentum=torch.tensor([0.0, float('nan')]))}, lr=0.1),
        list=[torch.zeros(2), torch.tensor([-float('inf')], dtype=torch.float64)],
    )
    assert non_finite_names(state) == ['optimizer.state.0.momentum', 'list.1']
    assert non_finite_names(dict(a=big)) == [] and non_finite_names({}) == []
