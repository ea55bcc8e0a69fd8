from types import SimpleNamespace

import pytest
import torch
from helpers import tiny
from mmengine.model import MMDistributedDataParallel
from torch import nn

from lewel_plugins.hooks import MomentumUpdateHook

pytestmark = pytest.mark.core


def fake_runner(model: nn.Module) -> SimpleNamespace:
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.1)
    return SimpleNamespace(model=model, iter=0, max_iters=4, optim_wrapper=SimpleNamespace(optimizer=optimizer))


def step(runner: SimpleNamespace) -> None:
    runner.optim_wrapper.optimizer.step()
    runner.iter += 1


def test_follows_the_optimizers_steps_and_the_schedule():
    model, hook = tiny.lewel_b(momentum=0.4), MomentumUpdateHook()
    runner = fake_runner(model)
    hook.before_train(runner)
    momenta = []
    for _ in range(4):
        step(runner)
        momenta.append(model.teacher.momentum)
    assert momenta == pytest.approx([model.teacher.momentum_at(p) for p in (0.25, 0.5, 0.75, 1.0)])
    assert model.teacher.updates.item() == 4
    runner.iter += 1  # an iteration without a step, as with gradient accumulation or an overflow
    assert model.teacher.updates.item() == 4


@pytest.mark.skipif(torch.__version__ < '2.4', reason='this torch has no fused optimizers on CPUs')
def test_a_fused_optimizer_skips_an_overflow_too():
    model, hook = tiny.lewel_b().float(), MomentumUpdateHook()
    runner = fake_runner(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, fused=True)
    runner.optim_wrapper.optimizer = optimizer
    hook.before_train(runner)
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0)
    for gradient, updates in ((1.0, 1), (float('inf'), 1), (1.0, 2)):
        before = model.backbone.conv.weight.clone()
        for p in optimizer.param_groups[0]['params']:
            p.grad = torch.full_like(p, gradient)
        scaler.scale(torch.zeros(1))  # makes its scale, as a loss does
        scaler.step(optimizer)
        scaler.update()
        assert model.teacher.updates.item() == updates
        assert torch.equal(model.backbone.conv.weight, before) == (gradient != 1)


@pytest.mark.parametrize('is_interrupted', [False, True])
def test_a_second_training_does_not_update_twice(is_interrupted):
    model, hook = tiny.lewel_b(), MomentumUpdateHook()
    runner = fake_runner(model)
    for i in range(2):
        hook.before_train(runner)
        step(runner)
        if i or not is_interrupted:
            hook.after_train(runner)
    assert model.teacher.updates.item() == 2
    step(runner)
    assert model.teacher.updates.item() == 2


def test_starts_from_the_online_weights_that_the_run_starts_from():
    model = tiny.lewel_b()
    tiny.randomize(model.backbone, seed=7)  # as loaded into the online network alone
    MomentumUpdateHook().before_train(fake_runner(model))
    assert torch.equal(model.teacher.module.backbone.conv.weight, model.backbone.conv.weight)


def test_sees_through_wrappers(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(tiny.lewel_b())
        runner = fake_runner(wrapped)
        MomentumUpdateHook().before_train(runner)
        step(runner)
        assert wrapped.module.teacher.updates.item() == 1
    finally:
        torch.distributed.destroy_process_group()


def test_other_models_are_left_alone():
    runner, hook = fake_runner(nn.Linear(2, 2)), MomentumUpdateHook()
    hook.before_train(runner)
    step(runner)
    hook.after_train(runner)
