"""A training step of each method on the device: in bfloat16, and in float32 against float64 on the CPU."""

import pytest
import torch
import torch.nn.functional as F
from helpers import small

METHODS = list(small.METHODS)


def loss_and_gradient(model, inputs, dtype) -> tuple[float, torch.Tensor]:
    losses = small.losses_of(model, inputs, dtype)
    gradient = small.gradient_of(model, losses)
    return sum(value.item() for value in losses.values()), gradient


@pytest.mark.parametrize('method', METHODS)
def test_two_steps_in_bfloat16_train(method, device):
    model = small.build(method).to(device)
    model.before_training()
    inputs = [x.to(device) for x in small.views(method)]
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trainable.values(), 0.01, momentum=0.9)
    for _ in range(2):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        losses = small.losses_of(model, inputs, torch.bfloat16)
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        assert losses and next(iter(losses.values())).device.type == device
        gradient = small.gradient_of(model, losses)
        assert gradient.isfinite().all() and gradient.norm() > 0
        assert [name for name, p in trainable.items() if p.grad is None] == []
        optimizer.step()
        model.after_optimizer_step(0.5)
        state = model.state_dict()
        weights = [name for name, p in trainable.items() if p.dim() > 1]
        assert [name for name in weights if torch.equal(before[name], state[name])] == []
        teacher = [name for name in state if name.startswith('teacher.module.backbone.') and name.endswith('weight')]
        assert all(not torch.equal(before[name], state[name]) for name in teacher if state[name].dim() == 4)


@pytest.mark.parametrize('method', METHODS)
def test_float32_is_close_to_float64_on_the_cpu(method, device):
    # Without L_b, whose directions a GPU draws by another generator.
    changes = dict(lambda_b=0.0) if method == 'MSBReg' else {}
    exact, exact_gradient = loss_and_gradient(
        small.build(method, **changes).double(), [x.double() for x in small.views(method)], torch.float64
    )
    loss, gradient = loss_and_gradient(
        small.build(method, **changes).to(device), [x.to(device) for x in small.views(method)], torch.float32
    )
    assert loss == pytest.approx(exact, rel=1e-4)
    assert (gradient - exact_gradient).norm() < 0.03 * exact_gradient.norm()


@pytest.mark.parametrize('method', METHODS)
def test_bfloat16_is_close_to_float32(method, device):
    inputs = [x.to(device) for x in small.views(method)]
    loss, gradient = loss_and_gradient(small.build(method).to(device), inputs, torch.float32)
    rounded, rounded_gradient = loss_and_gradient(small.build(method).to(device), inputs, torch.bfloat16)
    cosine = F.cosine_similarity(gradient, rounded_gradient, dim=0).item()
    assert rounded == pytest.approx(loss, rel=0.03)
    assert rounded != loss
    assert cosine > 0.8
