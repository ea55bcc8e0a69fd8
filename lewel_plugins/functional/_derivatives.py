"""Refusal of second derivatives that would be wrong."""

import torch
from torch import Tensor


def refuse_second_derivative(name: str, reason: str) -> None:
    """Raise RuntimeError in a backward pass with ``create_graph=True``. Autograd would silently drop terms there."""
    if torch.is_grad_enabled():
        raise RuntimeError(f'{name} has no second derivative: {reason}')


class _OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, name: str) -> Tensor:
        ctx.name = name
        return x.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        refuse_second_derivative(ctx.name, 'the tensors of other ranks are constants in it')
        return grad, None


def once_differentiable(x: Tensor, name: str) -> Tensor:
    """Return a loss unchanged whose second derivatives raise RuntimeError, because it has constants of other ranks.

    Args:
        x: Any shape.
        name: What the error names.
    """
    return _OnceDifferentiable.apply(x, name)
