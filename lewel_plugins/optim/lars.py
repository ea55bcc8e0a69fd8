from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from lewel_plugins.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class LARS(Optimizer):
    """Layer-wise adaptive rate scaling. You et al. 2017, Large Batch Training of Convolutional Networks, Sec. 5.

    λ = η‖w‖ / (‖g‖ + ρ‖w‖),  v ← μv + λ(g + ρw),  w ← w − γv,

    with the trust coefficient η. λ = 1 if a norm is zero, and in groups with ``adapt=False`` (plain SGD with
    momentum, which BYOL uses for biases and norms). The learning rate γ stands outside v, as in torch's SGD and in
    BYOL's recipe, which the papers here follow, so that v does not contain the learning rates of past steps. For a
    constant γ this equals a γ inside v, as in the algorithm box of You et al. Norms stay on the device, and a step
    takes a few foreach calls per group.

    Args:
        params: Parameters, or groups with any of the options below.
        lr: Learning rate γ, positive.
        momentum: μ, in [0, 1).
        weight_decay: ρ, at least 0.
        adapt: Whether to apply λ; set per group.
        eta: Trust coefficient η, 0.001 in the papers' recipes.
        clip: Whether λγ is at most γ, as in solo-learn's recipes: λ is then min(λ/γ, 1).

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        adapt: bool = True,
        eta: float = 0.001,
        clip: bool = False,
    ) -> None:
        for name, value, valid, accepted in (
            ('lr', lr, lr > 0, 'positive'),
            ('momentum', momentum, 0 <= momentum < 1, 'in [0, 1)'),
            ('weight_decay', weight_decay, weight_decay >= 0, 'at least 0'),
            ('eta', eta, eta > 0, 'positive'),
        ):
            if not valid:
                raise ValueError(f'LARS {name} must be {accepted}, got {value}')
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, adapt=adapt))
        self.eta, self.clip = eta, clip

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take a step, and return the loss of the closure if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group['params'] if p.grad is not None]
            if params:
                self._step_group(params, group)
        return loss

    def _step_group(self, params: list[Tensor], group: dict) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        decay, momentum = group['weight_decay'], group['momentum']
        updates = self._momentum_buffers(params) if momentum else [torch.zeros_like(p) for p in params]
        torch._foreach_mul_(updates, momentum)
        if group['adapt']:
            weight_norms = torch.stack(torch._foreach_norm(params))  # (number of parameters,)
            grad_norms = torch.stack(torch._foreach_norm(grads))
            trust = self.eta * weight_norms / (grad_norms + decay * weight_norms)
            if self.clip:
                trust = (trust / group['lr']).clamp(max=1.0)
            trust = trust.where((weight_norms > 0) & (grad_norms > 0), 1.0)
            # Directly into the buffers, because g + ρw would be another copy of all weights.
            torch._foreach_addcmul_(updates, grads, list(trust.unbind()))
            if decay:
                torch._foreach_addcmul_(updates, params, list((decay * trust).unbind()))
        else:
            torch._foreach_add_(updates, grads)
            if decay:
                torch._foreach_add_(updates, params, alpha=decay)
        torch._foreach_add_(params, updates, alpha=-group['lr'])

    def _momentum_buffers(self, params: list[Tensor]) -> list[Tensor]:
        for p in params:
            if 'momentum_buffer' not in self.state[p]:
                self.state[p]['momentum_buffer'] = torch.zeros_like(p)
        return [self.state[p]['momentum_buffer'] for p in params]
