"""Batch norm over the batch of all ranks, without waits for the device, on GPUs and on CPUs."""

import torch
import torch.distributed as torch_dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lewel_plugins import dist


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the batch of all ranks, for the same number of rows on every rank.

    torch's own layer also exchanges the ranks' numbers of rows, and waits for the device three times per call to find
    those that are not 0; it refuses CPU tensors. In this package every rank has the same number of rows, which each
    rank knows. On GPUs the kernels are those of torch, in the same order.

    In evaluation mode, and in one process, it is plain batch norm.
    """

    momentum: float  # None is refused by use_sync_batch_norm

    @torch.compiler.disable  # collectives are no part of graphs, see lewel_plugins.dist
    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C) or (N, C, …) by the mean and the variance of each channel over all ranks."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        if not self.training or dist.world_size() == 1:
            of_batch = self.training or self.running_mean is None
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, of_batch, self.momentum, self.eps
            )
        function = _SyncBatchNormGPU if x.is_cuda else _SyncBatchNormCPU
        return function.apply(x, self.weight, self.bias, self.running_mean, self.running_var, self.eps, self.momentum)


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
    for name, layer in module.named_modules():
        if type(layer) is nn.SyncBatchNorm:
            if layer.momentum is None:
                raise ValueError(f'SyncBatchNorm needs a momentum, and that of {name or "the layer"} is None')
            # Not a subclass of torch's layer, because DDP refuses those on a CPU.
            layer.__class__ = SyncBatchNorm  # type: ignore[assignment]
            del layer.process_group
    return module


def _rows(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _like(x: Tensor, grad: Tensor) -> Tensor:
    """Return a gradient in the memory format of x."""
    return grad.contiguous(memory_format=torch.channels_last if _is_channels_last(x) else torch.contiguous_format)


class _SyncBatchNormGPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps, momentum):  # type: ignore[override]
        x = x if _is_channels_last(x) else x.contiguous()
        W, C = dist.world_size(), x.shape[1]
        own = torch.cat(torch.batch_norm_stats(x, eps))  # means and 1/σ, (2C,)
        every = own.new_empty(W, 2 * C)
        torch_dist.all_gather_into_tensor(every.flatten(), own)
        means, inverse_stds = every.split(C, 1)
        mean, inverse_std = torch.batch_norm_gather_stats_with_counts(
            x, means, inverse_stds, running_mean, running_var, momentum, eps, own.new_full((W,), _rows(x))
        )
        ctx.save_for_backward(x, weight, mean, inverse_std)
        return torch.batch_norm_elemt(x, weight, bias, mean, inverse_std, eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        x, weight, mean, inverse_std = ctx.saved_tensors
        grad, affine = _like(x, grad), weight is not None
        sum_dy, sum_dy_xmu, grad_weight, grad_bias = torch.batch_norm_backward_reduce(
            grad, x, mean, inverse_std, weight, True, affine, affine
        )
        sums = torch.cat([sum_dy, sum_dy_xmu])
        torch_dist.all_reduce(sums)
        counts = torch.full((dist.world_size(),), _rows(x), dtype=torch.int32, device=x.device)
        grad_x = torch.batch_norm_backward_elemt(  # type: ignore[call-arg]
            grad, x, mean, inverse_std, weight, *sums.split(x.shape[1]), counts
        )
        return grad_x, grad_weight, grad_bias, None, None, None, None


class _SyncBatchNormCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps, momentum):  # type: ignore[override]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        rest, shape = _other_dims(x)
        variance, mean = torch.var_mean(wide, rest, correction=0)
        means, variances = dist.all_gather(torch.stack([mean, variance])[None]).unbind(1)  # (W, C) each
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        if running_mean is not None:
            rows = dist.world_size() * _rows(x)
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (rows / max(rows - 1, 1))).to(running_var.dtype), momentum)
        inverse_std = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse_std)
        out = (wide - mean.view(shape)) * inverse_std.view(shape)
        if weight is not None:
            out = torch.addcmul(bias.view(shape), out, weight.view(shape))
        return out.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        x, weight, mean, inverse_std = ctx.saved_tensors
        rest, shape = _other_dims(x)
        grad = _like(x, grad).to(mean.dtype)
        unit = (x.to(mean.dtype) - mean.view(shape)) * inverse_std.view(shape)
        sums = torch.stack([grad.sum(rest), (grad * unit).sum(rest)])  # also the gradients of bias and weight
        grad_bias, grad_weight = sums.clone()
        torch_dist.all_reduce(sums)
        mean_dy, mean_dy_unit = (sums / (dist.world_size() * _rows(x))).unbind(0)
        scale = inverse_std if weight is None else inverse_std * weight
        grad_x = (grad - mean_dy.view(shape) - unit * mean_dy_unit.view(shape)) * scale.view(shape)
        if weight is None:
            return grad_x.to(x.dtype), None, None, None, None, None, None
        return grad_x.to(x.dtype), grad_weight, grad_bias, None, None, None, None


def _other_dims(x: Tensor) -> tuple[list[int], list[int]]:
    """Return all dimensions but the channels, and the shape of a tensor (C,) beside x."""
    return [i for i in range(x.dim()) if i != 1], [1, -1, *[1] * (x.dim() - 2)]
