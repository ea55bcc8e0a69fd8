import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StandardizedLinear(nn.Linear):
    """Linear layer whose weights have mean 0 and variance 1/in_features over each output's inputs.

    Ŵ_ij = (W_ij − μ_i) / (σ_i √in_features). Qiao et al. 2020 (Weight Standardization), Eq. 10, scaled as by Brock et
    al. 2021 (NF-Nets), Eq. 1: before a normalization the scale makes no difference; without one it keeps the variance.
    The arguments are those of ``nn.Linear``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in_features) to (…, out_features)."""
        variance, mean = torch.var_mean(self.weight, dim=1, correction=0, keepdim=True)
        scale = (variance * self.in_features).clamp_min(1e-12).rsqrt()
        return F.linear(x, (self.weight - mean) * scale, self.bias)
