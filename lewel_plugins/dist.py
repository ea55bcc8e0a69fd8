"""Collectives between ranks: differentiable gather and sum, ShuffleBN's shuffle, averaging and gathering of buffers.

All are identities in a single process, work on gloo and NCCL, and need the same shapes on every rank.

Gradients follow one convention: every rank back-propagates its own loss L_r and DDP averages the parameter
gradients, so that the optimizer sees the gradient of mean_r L_r *through all ranks' tensors*. (mmpretrain's
``GatherLayer`` drops the other ranks' share and yields 1/W of it.)

A ``start_…`` begins to send and returns at once; what it returns waits, when called, and gives the result. Every rank
starts and calls them in the same order.

``torch.compile`` leaves them out of its graphs: sums in them lose their gradient without a word (seen in
torch 2.11).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch._utils import _unflatten_dense_tensors


def world_size() -> int:
    """Number of ranks; 1 without a process group."""
    return torch_dist.get_world_size() if torch_dist.is_available() and torch_dist.is_initialized() else 1


def rank() -> int:
    """This process's rank; 0 without a process group."""
    return torch_dist.get_rank() if torch_dist.is_available() and torch_dist.is_initialized() else 0


def unwrap_model(model: nn.Module) -> Any:
    """Return the model inside a wrapper such as ``MMDistributedDataParallel``, or the model itself."""
    return model.module if is_model_wrapper(model) else model


@torch.compiler.disable
def _start_gather(x: Tensor) -> Callable[[], Tensor]:
    own = x.detach().contiguous()
    out = own.new_empty(world_size(), *own.shape)
    work = torch_dist.all_gather(list(out.unbind(0)), own, async_op=True)

    def receive() -> Tensor:
        work.wait()
        return out.flatten(0, 1)

    differentiable = torch.is_grad_enabled() and x.requires_grad
    return torch.compiler.disable((lambda: _AllGather.apply(x, receive)) if differentiable else receive)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, receive: Callable[[], Tensor]) -> Tensor:
        ctx.rows = x.shape[0]
        return receive()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        # gloo has no reduce_scatter in the torch versions supported.
        grad = grad.contiguous().clone()
        torch_dist.all_reduce(grad)
        return grad.narrow(0, rank() * ctx.rows, ctx.rows), None


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
    return start_gather(x)()


def start_gather(x: Tensor) -> Callable[[], Tensor]:
    """:func:`all_gather`, started now and waited for later."""
    return _start_gather(x) if world_size() > 1 else lambda: x


def in_batch_order(x: Tensor) -> Tensor:
    """Rows of all ranks from rank order to the order of one process.

    ``SeededSampler`` deals images out in turn: row i of rank r is row iW + r of the global batch.

    Args:
        x: As :func:`all_gather` returns it, (WN, …).

    Returns:
        (NW, …).
    """
    return x.unflatten(0, (world_size(), -1)).transpose(0, 1).flatten(0, 1)


def all_reduce_sum(x: Tensor, same_loss: bool = False) -> Tensor:
    """Sum over ranks, differentiable (the gradient is summed over ranks too).

    Args:
        x: Any shape, the same on every rank.
        same_loss: Every rank computes the same from the sum. Its gradient is then the same on every rank, and W times
            one of them is their sum: backward needs no communication.
    """
    return _all_reduce_sum(x, same_loss) if world_size() > 1 else x


@torch.compiler.disable
def _all_reduce_sum(x: Tensor, same_loss: bool) -> Tensor:
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
    start_average(tensors)()


def start_average(tensors: Sequence[Tensor]) -> Callable[[], None]:
    """:func:`average_`, started now; the tensors change when it is waited for."""
    if world_size() == 1 or not tensors:
        return lambda: None
    flat = torch.cat([x.flatten() for x in tensors])  # always a copy
    work = torch_dist.all_reduce(flat, async_op=True)

    def finish() -> None:
        work.wait()
        flat.div_(world_size())
        torch._foreach_copy_(list(tensors), list(_unflatten_dense_tensors(flat, list(tensors))))

    return finish


@torch.compiler.disable
def _start_exchange(x: Tensor) -> Callable[[], Tensor]:
    """Send a part of x to every rank and receive one from each; an involution for x's on all ranks.

    Rank r sends ``parts[(r + j) % W]`` rows to rank j, where ``parts`` is the near-equal split of N rows. That
    is symmetric in r and j, so every rank keeps N rows and a second exchange undoes the first.
    """
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        receive_last = _start_exchange(x.permute(0, 2, 3, 1))
        return lambda: receive_last().permute(0, 3, 1, 2)  # stays channels_last
    W, r, N = world_size(), rank(), x.shape[0]
    parts = [(N + i) // W for i in range(W)]
    sizes = [parts[(r + j) % W] for j in range(W)]
    out, x = torch.empty_like(x, memory_format=torch.contiguous_format), x.contiguous()
    work = torch_dist.all_to_all_single(out, x, output_split_sizes=sizes, input_split_sizes=sizes, async_op=True)

    @torch.compiler.disable
    def receive() -> Tensor:
        work.wait()
        return out

    return receive


def start_batch_shuffle(x: Tensor) -> Callable[[], tuple[Tensor, Tensor | None]]:
    """Start to shuffle a batch over ranks. MoCo, Sec. 3.3 (ShuffleBN).

    Each rank permutes its batch and exchanges 1/W of it with every other rank: BN of the key encoder then sees
    a random mixture of all ranks' images. Only images that change rank travel; the permutation is the rank's own,
    so nothing has to be agreed on.

    Args:
        x: (N, …), the same shape on every rank.

    Returns:
        What waits for the shuffled batch (N, …) and returns it, with what :func:`batch_unshuffle` needs.
    """
    if world_size() == 1:
        return lambda: (x, None)
    order = torch.randperm(x.shape[0], device=x.device)
    receive = _start_exchange(x[order])
    return lambda: (receive(), order)


def batch_unshuffle(y: Tensor, order: Tensor | None) -> Tensor:
    """Undo :func:`batch_shuffle` on what was computed from the shuffled batch.

    Args:
        y: (N, …).
        order: As :func:`start_batch_shuffle` gave it.
    """
    if order is None:
        return y
    out = torch.empty_like(y, memory_format=torch.contiguous_format)
    out[order] = _start_exchange(y)()
    return out
