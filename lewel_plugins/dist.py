"""Collectives between ranks: differentiable gather and sum, ShuffleBN's shuffle, averaging and gathering of buffers.

In a single process each is the identity. All work with gloo and NCCL, and require the same shapes on every rank.

Gradients follow one convention: every rank back-propagates its own loss L_r and DDP averages the parameter
gradients, so that the optimizer gets the gradient of mean_r L_r *through the tensors of all ranks*. (mmpretrain's
``GatherLayer`` drops the share of the other ranks and yields 1/W of this gradient.)

A function named ``start_…`` begins a transfer and returns immediately, with a function that waits for the transfer and
returns its result. Every rank must start the transfers, and call the returned functions, in the same order.

All collectives are excluded from the graphs of ``torch.compile``, in which sums would silently lose their gradient
(observed with torch 2.11).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch._utils import _unflatten_dense_tensors


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return torch_dist.get_world_size() if torch_dist.is_available() and torch_dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, 0 without a process group."""
    return torch_dist.get_rank() if torch_dist.is_available() and torch_dist.is_initialized() else 0


def unwrap_model(model: nn.Module) -> Any:
    """Return the model inside a wrapper such as ``MMDistributedDataParallel``, or the model itself."""
    return model.module if is_model_wrapper(model) else model


@torch.compiler.disable
def _start_gather(x: Tensor) -> Callable[[], Tensor]:
    own = x.detach().contiguous()
    out = own.new_empty(world_size() * len(own), *own.shape[1:])
    if own.is_cuda:
        # The gather into a list has a second buffer under NCCL, and a copy for each rank.
        work = torch_dist.all_gather_into_tensor(out, own, async_op=True)
    else:
        work = torch_dist.all_gather(list(out.view(world_size(), *own.shape).unbind(0)), own, async_op=True)

    def receive() -> Tensor:
        work.wait()
        return out

    differentiable = torch.is_grad_enabled() and x.requires_grad
    return torch.compiler.disable((lambda: _AllGather.apply(x, receive)) if differentiable else receive)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, receive: Callable[[], Tensor]) -> Tensor:
        ctx.rows = x.shape[0]
        return receive()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        # gloo has no reduce_scatter in the supported versions of torch.
        grad = grad.clone(memory_format=torch.contiguous_format)
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
    """Gather the rows of all ranks in rank order, with gradients.

    Args:
        x: (N, …), the same shape on every rank.

    Returns:
        (WN, …). The gradient of x is that of its own rows here, summed over the losses of all ranks.
    """
    return start_gather(x)()


def start_gather(x: Tensor) -> Callable[[], Tensor]:
    """Start :func:`all_gather` and return a function that completes it."""
    return _start_gather(x) if world_size() > 1 else lambda: x


def in_batch_order(x: Tensor) -> Tensor:
    """Reorder the rows of all ranks from rank order to the order of a single process.

    ``SeededSampler`` deals images out in turn: row i of rank r is row iW + r of the global batch.

    Args:
        x: Result of :func:`all_gather`, (WN, …).

    Returns:
        (NW, …).
    """
    return x.unflatten(0, (world_size(), -1)).transpose(0, 1).flatten(0, 1)


def all_reduce_sum(x: Tensor, same_loss: bool = False) -> Tensor:
    """Sum a tensor over ranks, with gradients, which are summed over ranks as well.

    Args:
        x: Any shape, the same on every rank.
        same_loss: Whether every rank computes the same loss from the sum. The gradient is then the same on every rank,
            so its sum over ranks is W times that of one rank, and the backward pass needs no communication.
    """
    return _all_reduce_sum(x, same_loss) if world_size() > 1 else x


@torch.compiler.disable
def _all_reduce_sum(x: Tensor, same_loss: bool) -> Tensor:
    return (_AllReduceSumToOneLoss if same_loss else _AllReduceSum).apply(x)


def gather(x: Tensor) -> list[Tensor]:
    """Gather the tensors of all ranks on rank 0, in rank order; other ranks get an empty list. Not differentiable.

    Args:
        x: Any shape and type, the same on every rank.

    Raises:
        ValueError: On every rank, if the ranks' sizes differ.
    """
    if world_size() == 1:
        return [x]
    # NCCL would wait forever, and gloo return memory that nobody has written.
    sizes = all_gather(torch.tensor([x.numel()], device=x.device)).tolist()
    if len(set(sizes)) > 1:
        raise ValueError(f'a gather needs tensors of one shape, and those of the ranks have {sizes} entries')
    if not x.numel():
        return [x] * world_size() if rank() == 0 else []
    # Tensors travel as bytes, because gloo supports few types.
    flat = x.detach().contiguous().flatten().view(torch.uint8)
    parts = [torch.empty_like(flat) for _ in range(world_size())] if rank() == 0 else []
    torch_dist.gather(flat, parts or None)
    return [part.view(x.dtype).view(x.shape) for part in parts]


def average_(tensors: Sequence[Tensor]) -> None:
    """Replace tensors with their mean over ranks, in place and in one all-reduce.

    Args:
        tensors: Floating-point tensors of one dtype and device, e.g. all running statistics of a network.
    """
    start_average(tensors)()


def start_average(tensors: Sequence[Tensor]) -> Callable[[], None]:
    """Start :func:`average_` and return a function that completes it; the tensors change when it is called."""
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
    """Start sending a part of x to every rank and receiving a part from each. A second exchange undoes the first.

    Rank r sends ``parts[(r + j) % W]`` rows to rank j, where ``parts`` is the near-equal split of N rows. This number
    is symmetric in r and j, so every rank ends up with N rows, and the exchange is its own inverse.
    """
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        receive_last = _start_exchange(x.permute(0, 2, 3, 1))
        return lambda: receive_last().permute(0, 3, 1, 2)  # keeps channels_last
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
    """Start shuffling a batch across ranks. MoCo, Sec. 3.3 (ShuffleBN).

    Each rank permutes its batch and exchanges 1/W of it with every other rank, so that BN of the key encoder sees a
    random mixture of the images of all ranks. Only images that change rank travel. Every rank draws its own
    permutation, so that ranks need not agree on one.

    Args:
        x: Batch, (N, …), the same shape on every rank.

    Returns:
        A function that waits for the transfer and returns the shuffled batch (N, …) and the order that
        :func:`batch_unshuffle` needs.
    """
    if world_size() == 1:
        return lambda: (x, None)
    order = torch.randperm(x.shape[0], device=x.device)
    receive = _start_exchange(x[order])
    return lambda: (receive(), order)


def batch_unshuffle(y: Tensor, order: Tensor | None) -> Tensor:
    """Undo the shuffle of :func:`start_batch_shuffle` on results that were computed from the shuffled batch.

    Args:
        y: Results, (N, …).
        order: The order that came with the shuffled batch.
    """
    if order is None:
        return y
    out = torch.empty_like(y, memory_format=torch.contiguous_format)
    out[order] = _start_exchange(y)()
    return out
