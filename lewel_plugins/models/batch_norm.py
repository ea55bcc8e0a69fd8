"""Batch norm with statistics per view of a batch that holds several, in one process and over all ranks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
import torch.distributed as torch_dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lewel_plugins import dist

# Options of layers of mmpretrain, timm, and transformers that turn activation checkpointing on.
_CHECKPOINTING = ('with_cp', 'use_checkpoint', 'grad_checkpointing', 'gradient_checkpointing')


class ViewBatchNorm(_BatchNorm):
    """Batch norm of a batch that may hold several views, one after the other, with statistics per view.

    The output, the gradients and the running statistics are those of one call per view, in the order of the views.
    :func:`embed_views` sets ``views``; outside it, this is plain batch norm.
    """

    momentum: float  # layers with None are not converted
    views = 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (K·N, C) or (K·N, C, …), K views, by the mean and the variance of each view's channels."""
        if not self.training or self.views == 1:
            return super().forward(x)
        self._count_batches()
        return torch.cat([self._normalize(view) for view in x.chunk(self.views)])

    def _count_batches(self) -> None:
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(self.views)

    def _normalize(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        return F.batch_norm(x, *statistics, self.weight, self.bias, True, self.momentum, self.eps)

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept any number of dimensions: the layer may have been one- or two-dimensional."""


class SyncBatchNorm(ViewBatchNorm):
    """Batch norm over the batch of all ranks, for the same number of rows on every rank.

    torch's own layer also exchanges the ranks' numbers of rows, and waits for the device three times per call to find
    those that are not 0; it refuses CPU tensors. In this package every rank has the same number of rows, which each
    rank knows. On GPUs the kernels are those of torch, in the same order. All views need one exchange.

    In evaluation mode, and in one process, it is plain batch norm.
    """

    @torch.compiler.disable  # collectives are no part of graphs, see lewel_plugins.dist
    def forward(self, x: Tensor) -> Tensor:
        """Normalize (K·N, C) or (K·N, C, …), K views, by the mean and the variance of each view over all ranks."""
        if not self.training or dist.world_size() == 1:
            return super().forward(x)
        self._count_batches()
        function = _SyncBatchNormGPU if x.is_cuda else _SyncBatchNormCPU
        statistics = self.running_mean, self.running_var
        return function.apply(x, self.weight, self.bias, *statistics, self.eps, self.momentum, self.views)


def use_view_batch_norm(module: nn.Module) -> None:
    """Replace torch's batch norms in a module by :class:`ViewBatchNorm`, so that :func:`embed_views` calls it once.

    A layer with ``momentum=None``, a mean over all batches, stays, and so does one call per view.
    """
    _convert(module, (nn.BatchNorm1d, nn.BatchNorm2d), ViewBatchNorm)


def use_sync_batch_norm(module: nn.Module, convert: bool = False) -> nn.Module:
    """Replace torch's synchronized batch norms in a module by :class:`SyncBatchNorm`.

    Args:
        module: The module, whose layers are changed.
        convert: Replace plain batch norms, too.

    Raises:
        ValueError: A layer has ``momentum=None``, a mean over all batches.
    """
    if convert:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    _convert(module, (nn.SyncBatchNorm,), SyncBatchNorm)
    return module


@torch.compiler.disable(recursive=False)  # graphs begin in the network
def embed_views(network: Callable[[Tensor], Any], modules: Iterable[nn.Module], views: list[Tensor]) -> list:
    """Return what a network returns for each of K views, with one call for all neighboring views of one shape.

    One call launches fewer kernels on a GPU, and needs fewer exchanges between ranks, than one per view. In one process
    on a CPU there is nothing to save, and each view has its own call. So it has if a batch norm that computes
    statistics of the batch is not a :class:`ViewBatchNorm`, and under activation checkpointing, where the backward pass
    calls layers again, outside this function.

    Args:
        network: Maps a batch (N, …) to a tensor, or a tuple of tensors, whose rows depend on each other by batch norm
            only.
        modules: The modules that the network calls.
        views: K tensors (N, …), of one or several shapes.

    Returns:
        K outputs.
    """
    layers = [layer for module in modules for layer in module.modules()]
    norms = [layer for layer in layers if isinstance(layer, _BatchNorm)]
    saves = views[0].is_cuda or dist.world_size() > 1
    if not saves or any(layer.training and not isinstance(layer, ViewBatchNorm) for layer in norms):
        return [network(x) for x in views]
    if torch.is_grad_enabled() and any(map(_has_checkpointing, layers)):
        return [network(x) for x in views]
    outs: list = []
    for _, group in groupby(views, lambda x: x.shape):
        same = list(group)
        with _views_in_batch(norms, len(same)):
            out = network(torch.cat(same) if len(same) > 1 else same[0])
        if isinstance(out, Tensor):
            outs += out.chunk(len(same))
        else:
            outs += zip(*(one.chunk(len(same)) for one in out))
    return outs


def _has_checkpointing(layer: nn.Module) -> bool:
    """Return whether a layer may be called again in the backward pass: by its own option, or by that of mmengine."""
    options = vars(layer)  # mmengine's `activation_checkpointing` replaces `forward`
    return 'forward' in options or any(options.get(name) for name in _CHECKPOINTING)


@contextmanager
def _views_in_batch(norms: list[_BatchNorm], views: int) -> Iterator[None]:
    for layer in norms:
        layer.views = views  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in norms:
            layer.views = 1  # type: ignore[assignment]


def _convert(module: nn.Module, types: tuple[type, ...], to: type[ViewBatchNorm]) -> None:
    for name, layer in module.named_modules():
        if type(layer) in types:
            if layer.momentum is None:
                if to is ViewBatchNorm:
                    continue
                raise ValueError(f'{to.__name__} needs a momentum, and that of {name or "the layer"} is None')
            # Not a subclass of torch's SyncBatchNorm, because DDP refuses those on a CPU.
            layer.__class__ = to  # type: ignore[assignment]
            layer.__dict__.pop('process_group', None)


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _like(x: Tensor, grad: Tensor) -> Tensor:
    """Return a gradient in the memory format of x."""
    return grad.contiguous(memory_format=torch.channels_last if _is_channels_last(x) else torch.contiguous_format)


def _rows(x: Tensor, views: int) -> int:
    """Return the number of values of each channel in each view."""
    return x.numel() // (x.shape[1] * views)


class _SyncBatchNormGPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps, momentum, views):  # type: ignore[override]
        x = x if _is_channels_last(x) else x.contiguous()
        W, C = dist.world_size(), x.shape[1]
        own = torch.cat([one for view in x.chunk(views) for one in torch.batch_norm_stats(view, eps)])
        every = own.new_empty(W, views, 2, C)  # means and 1/σ
        torch_dist.all_gather_into_tensor(every.flatten(), own)
        counts = own.new_full((W,), _rows(x, views))
        y = torch.empty_like(x)
        statistics: list[Tensor] = []
        for i, (view, out) in enumerate(zip(x.chunk(views), y.chunk(views))):
            mean, inverse_std = torch.batch_norm_gather_stats_with_counts(
                view, every[:, i, 0], every[:, i, 1], running_mean, running_var, momentum, eps, counts
            )
            torch.batch_norm_elemt(view, weight, bias, mean, inverse_std, eps, out=out)
            statistics += mean, inverse_std
        ctx.views = views
        ctx.save_for_backward(x, weight, *statistics)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        x, weight, *statistics = ctx.saved_tensors
        affine, views = weight is not None, ctx.views
        parts = list(zip(_like(x, grad).chunk(views), x.chunk(views), statistics[::2], statistics[1::2]))
        reduced = [torch.batch_norm_backward_reduce(*part, weight, True, affine, affine) for part in parts]
        sums = torch.cat([one for sum_dy, sum_dy_xmu, *_ in reduced for one in (sum_dy, sum_dy_xmu)])
        torch_dist.all_reduce(sums)
        counts = torch.full((dist.world_size(),), _rows(x, views), dtype=torch.int32, device=x.device)
        grads = [
            torch.batch_norm_backward_elemt(*part, weight, *both, counts)  # type: ignore[call-arg]
            for part, both in zip(parts, sums.view(views, 2, -1))
        ]
        grad_x = grads[0] if views == 1 else torch.cat(grads)
        grad_weight, grad_bias = (_sum([one[i] for one in reduced]) if affine else None for i in (2, 3))
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


def _sum(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


class _SyncBatchNormCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps, momentum, views):  # type: ignore[override]
        wide = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (views, -1))
        rest, shape = _other_dims(wide)
        variance, mean = torch.var_mean(wide, rest, correction=0)  # (K, C) each
        means, variances = dist.all_gather(torch.stack([mean, variance])[None]).unbind(1)  # (W, K, C) each
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        if running_mean is not None:
            rows = dist.world_size() * _rows(x, views)
            for one, var in zip(mean.to(running_mean.dtype), (variance * (rows / max(rows - 1, 1)))):
                running_mean.lerp_(one, momentum)
                running_var.lerp_(var.to(running_var.dtype), momentum)
        inverse_std = (variance + eps).rsqrt()
        ctx.views = views
        ctx.save_for_backward(x, weight, mean, inverse_std)
        out = ((wide - mean.view(shape)) * inverse_std.view(shape)).flatten(0, 1)
        if weight is None:
            return out.clone() if out.dtype == x.dtype else out.to(x.dtype)  # no view, which no layer may overwrite
        affine = [-1, *[1] * (x.dim() - 2)]
        return torch.addcmul(bias.view(affine), out, weight.view(affine)).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        x, weight, mean, inverse_std = ctx.saved_tensors
        wide, grad = (one.to(mean.dtype).unflatten(0, (ctx.views, -1)) for one in (x, _like(x, grad)))
        rest, shape = _other_dims(wide)
        unit = (wide - mean.view(shape)) * inverse_std.view(shape)
        sums = torch.stack([grad.sum(rest), (grad * unit).sum(rest)])  # (2, K, C)
        grad_bias, grad_weight = sums.sum(1)
        torch_dist.all_reduce(sums)
        mean_dy, mean_dy_unit = (sums / (dist.world_size() * _rows(x, ctx.views))).unbind(0)
        scale = inverse_std if weight is None else inverse_std * weight
        grad_x = (grad - mean_dy.view(shape) - unit * mean_dy_unit.view(shape)) * scale.view(shape)
        grad_x = grad_x.flatten(0, 1).to(x.dtype)
        if weight is None:
            return grad_x, None, None, None, None, None, None, None
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


def _other_dims(x: Tensor) -> tuple[list[int], list[int]]:
    """Return all dimensions of (K, N, C, …) but views and channels, and the shape of a tensor (K, C) beside x."""
    return [i for i in range(x.dim()) if i not in (0, 2)], [x.shape[0], 1, -1, *[1] * (x.dim() - 3)]
