import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins.registry import MODELS


@MODELS.register_module('SplitBN')
class SplitBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of parts of the batch, as several ranks would have them, in one process.

    In training, image i is in part i mod ``num_splits``. The running statistics follow the mean over the parts, as an
    average over ranks would.

    Args:
        num_features: Number of channels.
        num_splits: Number of parts S; the batch must be a multiple of it.
        eps: Added to the variance.
        momentum: Weight of a batch in the running statistics.
    """

    def __init__(self, num_features: int, num_splits: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        if num_splits < 1:
            raise ValueError(f'SplitBN num_splits must be at least 1, got {num_splits}')
        self.num_splits = num_splits

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W).

        Raises:
            ValueError: In training, N is no multiple of ``num_splits``.
        """
        if not self.training:
            return super().forward(x)
        N, C, H, W = x.shape
        S = self.num_splits
        if N % S:
            raise ValueError(f'SplitBN needs batches of a multiple of num_splits = {S} images, got {N}')
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        mean, var, weight, bias = (t.repeat(S) for t in (self.running_mean, self.running_var, self.weight, self.bias))
        parts = x.reshape(N // S, S * C, H, W)  # the channels of S images side by side
        y = F.batch_norm(parts, mean, var, weight, bias, True, self.momentum, self.eps)
        self.running_mean.copy_(mean.view(S, C).mean(0))
        self.running_var.copy_(var.view(S, C).mean(0))
        self.num_batches_tracked += 1
        return y.reshape(N, C, H, W)
