"""Collectives between ranks: differentiable gather and sum, ShuffleBN's shuffle, averaging and gathering of buffers.

All are identities in a single process, work on gloo and NCCL, and need the same shapes on every rank.

Gradients follow one convention: every rank back-propagates its own loss L_r and DDP averages the parameter
gradients, so that the optimizer sees the gradient of mean_r L_r *through all ranks' tensors*. (mmpretrain's
``GatherLayer`` drops the other ranks' share and yields 1/W of it.)
"""

from collections.abc import Sequence

import torch
import torch.distributed as torch_dist
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


def world_size() -> int:
    """Number of ranks; 1 without a process group."""
    return torch_dist.get_world_size() if torch_dist.is_available() and torch_dist.is_initialized() else 1


def rank() -> int:
    """This process's rank; 0 without a process group."""
    return torch_dist.get_rank() if torch_dist.is_available() and torch_dist.is_initialized() else 0


def _gather(x: Tensor) -> Tensor:
    out = x.new_empty(world_size(), *x.shape)
    torch_dist.all_gather(list(out.unbind(0)), x.contiguous())
    return out.flatten(0, 1)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = x.shape[0]
        return _gather(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        # gloo has no reduce_scatter in the torch versions supported.
        grad = grad.contiguous().clone()
        torch_dist.all_reduce(grad)
        return grad.narrow(0, rank() * ctx.rows, ctx.rows)


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        torch_dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        grad = grad.clone(memory_format=torch.contiguous_format)
        torch_dist.all_reduce(grad)
        return grad


class _AllReduceSumToOneLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        torch_dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * world_size()


def all_gather(x: Tensor) -> Tensor:
    """Rows of all ranks in rank order, differentiable.

    Args:
        x: (N, …), the same shape on every rank.

    Returns:
        (WN, …). Its gradient reaches every rank's x, summed over ranks.
    """
    if world_size() == 1:
        return x
    return _AllGather.apply(x) if torch.is_grad_enabled() and x.requires_grad else _gather(x)


def gather_batch(x: Tensor) -> Tensor:
    """Rows of all ranks in the order of one process, differentiable.

    ``SeededSampler`` deals images out in turn: row i of rank r is row iW + r of the global batch.

    Args:
        x: (N, …), the same shape on every rank.

    Returns:
        (NW, …), with the gradient of :func:`all_gather`.
    """
    return all_gather(x).unflatten(0, (world_size(), -1)).transpose(0, 1).flatten(0, 1)


def all_reduce_sum(x: Tensor, same_loss: bool = False) -> Tensor:
    """Sum over ranks, differentiable (the gradient is summed over ranks too).

    Args:
        x: Any shape, the same on every rank.
        same_loss: Every rank computes the same from the sum. Its gradient is then the same on every rank, and W times
            one of them is their sum: backward needs no communication.
    """
    if world_size() == 1:
        return x
    return (_AllReduceSumToOneLoss if same_loss else _AllReduceSum).apply(x)


def gather(x: Tensor) -> list[Tensor]:
    """The tensors of all ranks in rank order on rank 0, an empty list on the others; not differentiable.

    Args:
        x: Any shape and type, the same on every rank.
    """
    if world_size() == 1 or not x.numel():
        return [x] * world_size() if rank() == 0 else []
    # As bytes: gloo knows few types, and any bits will do.
    flat = x.detach().contiguous().flatten().view(torch.uint8)
    parts = [torch.empty_like(flat) for _ in range(world_size())] if rank() == 0 else []
    torch_dist.gather(flat, parts or None)
    return [part.view(x.dtype).view(x.shape) for part in parts]


def average_(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their mean over ranks, in place, in one all-reduce.

    Args:
        tensors: Floating tensors of one dtype and device, e.g. all running statistics of a network.
    """
    if world_size() == 1 or not tensors:
        return
    flat = _flatten_dense_tensors(list(tensors))
    torch_dist.all_reduce(flat)
    flat /= world_size()
    torch._foreach_copy_(list(tensors), list(_unflatten_dense_tensors(flat, list(tensors))))


def _exchange(x: Tensor) -> Tensor:
    """Send a part of x to every rank and receive one from each; an involution for x's on all ranks.

    Rank r sends ``parts[(r + j) % W]`` rows to rank j, where ``parts`` is the near-equal split of N rows. That
    is symmetric in r and j, so every rank keeps N rows and a second exchange undoes the first.
    """
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return _exchange(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # stays channels_last
    W, r, N = world_size(), rank(), x.shape[0]
    parts = [(N + i) // W for i in range(W)]
    sizes = [parts[(r + j) % W] for j in range(W)]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    torch_dist.all_to_all_single(out, x.contiguous(), output_split_sizes=sizes, input_split_sizes=sizes)
    return out


def batch_shuffle(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Shuffle a batch over ranks. MoCo, Sec. 3.3 (ShuffleBN).

    Each rank permutes its batch and exchanges 1/W of it with every other rank: BN of the key encoder then sees
    a random mixture of all ranks' images. Only images that change rank travel; the permutation is the rank's own,
    so nothing has to be agreed on.

    Args:
        x: (N, …), the same shape on every rank.

    Returns:
        The shuffled batch, (N, …), and what :func:`batch_unshuffle` needs.
    """
    if world_size() == 1:
        return x, None
    order = torch.randperm(x.shape[0], device=x.device)
    return _exchange(x[order]), order


def batch_unshuffle(y: Tensor, order: Tensor | None) -> Tensor:
    """Undo :func:`batch_shuffle` on what was computed from the shuffled batch.

    Args:
        y: (N, …).
        order: As :func:`batch_shuffle` returned it.
    """
    if order is None:
        return y
    out = torch.empty_like(y, memory_format=torch.contiguous_format)
    out[order] = _exchange(y)
    return out
