"""What mmengine and torch write into a checkpoint of a training can be read without running its code."""

import pytest
import torch
from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

import lewel_plugins.optim
from lewel_plugins.checkpoints import read_training_state

pytestmark = pytest.mark.core
ARGUMENTS = dict(
    ConstantParamScheduler=dict(),
    CosineAnnealingParamScheduler=dict(T_max=5),
    CosineRestartParamScheduler=dict(periods=[3, 4], restart_weights=[1, 0.5], eta_min=0),
    ExponentialParamScheduler=dict(gamma=0.9),
    LinearParamScheduler=dict(),
    MultiStepParamScheduler=dict(milestones=[2, 2, 4]),
    OneCycleParamScheduler=dict(eta_max=0.2, total_steps=10),
    PolyParamScheduler=dict(),
    ReduceOnPlateauParamScheduler=dict(),
    StepParamScheduler=dict(step_size=2),
)
OPTIMIZERS = {
    'SGD': lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    'AdamW': lambda p: torch.optim.AdamW(p, lr=0.1),
    'RMSprop': lambda p: torch.optim.RMSprop(p, lr=0.1),
    'LARS': lambda p: lewel_plugins.optim.LARS(p, lr=0.1, momentum=0.9),
}


def read_again(state, tmp_path):
    torch.save(dict(state_dict={}, state=state), tmp_path / 'a.pth')
    return read_training_state(tmp_path / 'a.pth')['state']


def trained(make):
    layer = nn.Linear(3, 2)
    optimizer = make(layer.parameters())
    layer(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return optimizer


def test_every_scheduler_of_mmengine_is_among_them():
    known = {name for name, cls in PARAM_SCHEDULERS.module_dict.items() if name.endswith('ParamScheduler')}
    assert known == set(ARGUMENTS)
    assert all(issubclass(PARAM_SCHEDULERS.get(name), _ParamScheduler) or 'Plateau' in name for name in known)


@pytest.mark.parametrize('name', ARGUMENTS)
def test_the_state_of_a_scheduler(name, tmp_path):
    optimizer = trained(OPTIMIZERS['SGD'])
    scheduler = PARAM_SCHEDULERS.get(name)(optimizer, param_name='lr', **ARGUMENTS[name])
    scheduler.step(*[dict(loss=1.0)] * ('Plateau' in name))
    state = scheduler.state_dict()
    again = read_again(state, tmp_path)
    assert again == state
    scheduler.load_state_dict(again)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_the_state_of_an_optimizer(name, tmp_path):
    state = trained(OPTIMIZERS[name]).state_dict()
    torch.testing.assert_close(read_again(state, tmp_path), state, rtol=0, atol=0)


def test_the_state_of_a_loss_scaler(tmp_path):
    state = torch.amp.GradScaler('cpu').state_dict() if hasattr(torch.amp, 'GradScaler') else {}
    assert read_again(state, tmp_path) == state
