"""The ``autograd.Function`` classes behind the equations, which compute a loss and its gradient in one pass.

Each computes the gradient in the forward pass, while the similarities are in memory, and saves only the gradient. So
the queue or the groups may change before the backward pass. Second derivatives raise an error.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._derivatives import refuse_second_derivative

# Most entries in a block, of keys or of similarities: what fits in a CPU's cache, and 256 MiB of float32 on a GPU.
_BLOCK, _BLOCK_DEVICE = 2**19, 2**26

_REASON = 'its gradient is computed in the forward pass'  # and saved: autograd would take it as a constant


class QueueInfoNCE(torch.autograd.Function):
    """InfoNCE of unit queries (…, N, d) and keys (…, N, d) against a queue (…, d, Q) of unit columns, and its accuracy.

    The queue is read in blocks, with a running maximum, so that no (N, Q) tensor exists.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, queue: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        positive = (q * k).sum(-1) / tau  # (…, N)
        queries = q / tau
        # Sum of the exponentials, and of the keys weighted by them, both relative to the largest similarity so far.
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
        accuracy = (positive > top).to(positive.dtype).mean(-1)  # the same rule as in ranked_first
        ctx.mark_non_differentiable(accuracy)
        return -F.logsigmoid(positive - log_sum).mean(-1), accuracy

    @staticmethod
    def backward(ctx, grad: Tensor, _: Tensor):  # type: ignore[override]
        refuse_second_derivative('info_nce', _REASON)
        grad = grad[..., None, None]
        return *(None if own is None else grad * own for own in ctx.saved_tensors), None


def _blocks(positive: Tensor, queue: Tensor) -> tuple[Tensor, ...]:
    entries = _BLOCK if queue.device.type == 'cpu' else _BLOCK_DEVICE
    column = max(positive.numel(), queue[..., 0].numel())  # entries per column of the similarities, or of the keys
    return queue.split(max(entries // column, 1), -1)


class GroupContrast(torch.autograd.Function):
    """Cross-entropy of unit rows p (N, d) against unit groups (l, d), of which those at ``places`` have a gradient.

    ``moved`` (R, d) holds the latter, each ``counts`` (R,) times. The similarities (N, l) are not saved.
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
        refuse_second_derivative('group_contrast', _REASON)
        grad_p, grad_moved = ctx.saved_tensors
        return grad * grad_p, grad * grad_moved, None, None, None, None, None
