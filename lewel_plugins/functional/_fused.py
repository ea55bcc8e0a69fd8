"""autograd.Functions behind the equations: they compute a loss and its gradient in one pass.

Each computes the gradient in the forward pass, while the similarities are at hand, and keeps nothing else. So the
queue or the groups may change before the backward pass. Second derivatives are refused.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Numbers in one block of the queue, keys or similarities: what fits in a CPU's cache, and 256 MiB of float32 on a GPU.
_BLOCK, _BLOCK_DEVICE = 2**19, 2**26


class QueueInfoNCE(torch.autograd.Function):
    """InfoNCE of unit queries (…, N, d) and keys (…, N, d) against a queue (…, d, Q) of unit columns, and its accuracy.

    The queue is read in blocks, with a running maximum: no (N, Q) tensor is made.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, queue: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        positive = (q * k).sum(-1) / tau  # (…, N)
        queries = q / tau
        # Relative to the largest similarity so far: the sum of exponentials, and the sum of the keys weighted by them.
        top = torch.full_like(positive, float('-inf'))
        total, weighted = torch.zeros_like(positive), torch.zeros_like(q)
        blocks = _blocks(positive, queue)
        for keys in blocks:
            shares = queries @ keys  # (…, N, block)
            highest = torch.maximum(top, shares.amax(-1))
            shares.sub_(highest[..., None]).exp_()
            decay = (top - highest).exp_()
            total = decay * total + shares.sum(-1)
            weighted = decay[..., None] * weighted + shares @ keys.mT
            top = highest
        log_sum = top + total.log()
        rest = torch.sigmoid(log_sum - positive)[..., None]  # 1 − the positive's share in the softmax over 1 + Q
        scale = tau * q.shape[-2]
        grad_k = rest * -q / scale if ctx.needs_input_grad[1] else None
        grad_queue = None
        if ctx.needs_input_grad[2]:
            weights = (rest * q / scale).mT  # (…, d, N)
            grad_queue = torch.cat([weights @ (queries @ keys - log_sum[..., None]).exp() for keys in blocks], -1)
        ctx.save_for_backward(rest * (weighted / total[..., None] - k) / scale, grad_k, grad_queue)
        accuracy = (positive > top).to(positive.dtype).mean(-1)  # as ranked_first
        ctx.mark_non_differentiable(accuracy)
        return -F.logsigmoid(positive - log_sum).mean(-1), accuracy

    @staticmethod
    def backward(ctx, grad: Tensor, _: Tensor):  # type: ignore[override]
        _refuse_second_derivative('info_nce')
        grad = grad[..., None, None]
        return *(None if own is None else grad * own for own in ctx.saved_tensors), None


def _refuse_second_derivative(name: str) -> None:
    # With create_graph=True autograd would take the stored gradient for a constant, and go on.
    if torch.is_grad_enabled():
        raise RuntimeError(f'{name} has no second derivative: its gradient is computed in the forward pass')


def _blocks(positive: Tensor, queue: Tensor) -> tuple[Tensor, ...]:
    numbers = _BLOCK if queue.device.type == 'cpu' else _BLOCK_DEVICE
    columns = max(positive.numel(), queue[..., 0].numel())  # columns of similarities, and of keys
    return queue.split(max(numbers // columns, 1), -1)


class GroupContrast(torch.autograd.Function):
    """Cross-entropy of p (N, d) against groups (l, d), both unit rows, of which the rows ``places`` have a gradient.

    ``moved`` (R, d) are those rows, a group ``counts`` (R,) times. The similarities (N, l) are not kept.
    """

    @staticmethod
    def forward(ctx, p, moved, groups, places, counts, assignment, tau):  # type: ignore[override]
        scores = (p / tau) @ groups.T  # (N, l), the only tensor of this size
        own = scores.gather(1, assignment[:, None])
        highest = scores.amax(1, keepdim=True)
        total = scores.sub_(highest).exp_().sum(1, keepdim=True)
        scores.div_(total).scatter_add_(1, assignment[:, None], -torch.ones_like(own))  # ∂L_n / ∂score
        scale = 1 / (tau * len(p))
        grad_moved = (scores[:, places].T @ p).mul_(scale / counts[:, None])
        ctx.save_for_backward((scores @ groups).mul_(scale), grad_moved)
        return (total.log() + highest - own).mean()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        _refuse_second_derivative('group_contrast')
        grad_p, grad_moved = ctx.saved_tensors
        return grad * grad_p, grad * grad_moved, None, None, None, None, None
