from collections import OrderedDict
from copy import deepcopy
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .batch_norm import embed_views

NORMS = ('train', 'eman')


class MomentumEncoder(nn.Module):
    """The teacher: an exponential moving average of the online backbone and neck.

    ξ ← αξ + (1 − α)θ, in one fused call. He et al. 2020 (MoCo), Eq. 2; LEWEL, Sec. 3.1; SMoG, Sec. 3.2; MSBReg,
    Sec. 3.1. The cosine schedule of α is from Grill et al. 2020 (BYOL), Sec. 3.3. The parameters of the teacher need no
    gradient and are in no optimizer.

    Args:
        backbone: Online backbone; copied.
        neck: Online neck; copied.
        momentum: 1 − α at the start of training, mmengine's convention: 0.02 is the papers' α = 0.98. In [0, 1].
        end_momentum: 1 − α at the end, reached along a cosine; None keeps ``momentum`` throughout.
        norm: How BN works in the teacher. ``train``: with the statistics of its own batch; only parameters are
            averaged. ``eman``: in eval mode; parameters *and* BN's running statistics are averaged (Cai et al. 2021).

    Raises:
        ValueError: A momentum outside [0, 1], or an unknown ``norm``.
    """

    updates: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        momentum: float,
        end_momentum: float | None = None,
        norm: str = 'train',
    ) -> None:
        super().__init__()
        for name, value in (('momentum', momentum), ('end_momentum', end_momentum)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f'teacher {name} is 1 − α and must be in [0, 1], got {value}')
        if norm not in NORMS:
            raise ValueError(f'teacher norm must be one of {NORMS}, got {norm!r}')
        self.module = nn.Sequential(OrderedDict(backbone=deepcopy(backbone), neck=deepcopy(neck)))
        self.module.requires_grad_(False)
        self.base_momentum, self.end_momentum, self.norm = momentum, end_momentum, norm
        self.momentum = momentum
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None
        self.train(self.training)

    def forward(self, x: Tensor):
        """Return the neck's output for images x, (N, 3, H, W), without gradient."""
        with torch.no_grad():
            return self.module(x)

    def each_view(self, views: list[Tensor]):
        """Return what the neck returns for K views (N, 3, H, W), (N, …), as (K, N, …), without gradient.

        BN computes its statistics per view, see :func:`embed_views`. With ``eman`` BN computes none, and a single call
        suffices for views of one size.

        Returns:
            A tensor (K, N, …), or a tuple of them if the neck has several outputs.
        """
        if self.norm == 'eman' and len({x.shape for x in views}) == 1:
            out = self(torch.cat(views))
            if isinstance(out, Tensor):
                return out.unflatten(0, (len(views), -1))
            return tuple(one.unflatten(0, (len(views), -1)) for one in out)
        outs = embed_views(self, [self.module], views)
        return torch.stack(outs) if isinstance(outs[0], Tensor) else tuple(map(torch.stack, zip(*outs)))

    def train(self, mode: bool = True) -> 'MomentumEncoder':
        """Set the mode; an ``eman`` teacher's networks stay in eval mode."""
        super().train(mode)
        if self.norm == 'eman':
            self.module.eval()
        return self

    def momentum_at(self, progress: float) -> float:
        """Return 1 − α after a share ``progress`` ∈ [0, 1] of training."""
        if self.end_momentum is None:
            return self.base_momentum
        return self.end_momentum + (self.base_momentum - self.end_momentum) * (cos(pi * progress) + 1) / 2

    @torch.no_grad()
    def update(self, backbone: nn.Module, neck: nn.Module, progress: float) -> None:
        """Move the teacher toward the online networks, once per optimizer step.

        Args:
            backbone: Online backbone.
            neck: Online neck.
            progress: Share of training done, in [0, 1], for the schedule of α.
        """
        if self._pairs is None:  # list the tensors once, not in every step
            self._pairs = self._averaged(self.module), self._averaged(nn.ModuleList([backbone, neck]))
        self.momentum = self.momentum_at(progress)
        torch._foreach_lerp_(*self._pairs, self.momentum)
        self.updates += 1

    @torch.no_grad()
    def copy_from(self, backbone: nn.Module, neck: nn.Module) -> None:
        """Make the teacher equal to the online networks, buffers included."""
        source = [*backbone.state_dict().values(), *neck.state_dict().values()]
        for mine, theirs in zip(self.module.state_dict().values(), source, strict=True):
            mine.copy_(theirs)

    def forget_tensors(self) -> None:
        """Have the next update list the tensors again; for use after modules are replaced (as by SyncBN)."""
        self._pairs = None

    def _averaged(self, module: nn.Module) -> list[Tensor]:
        tensors: list[Tensor] = list(module.parameters())
        return tensors + running_statistics(module) if self.norm == 'eman' else tensors

    def _apply(self, fn, recurse: bool = True):  # type: ignore[override]
        self.forget_tensors()  # moving to a device replaces buffers
        return super()._apply(fn, recurse)


def running_statistics(module: nn.Module) -> list[Tensor]:
    """Return the running means and variances of all BN layers in ``module``."""
    norms = (m for m in module.modules() if isinstance(m, _BatchNorm))
    return [t for m in norms for t in (m.running_mean, m.running_var) if t is not None]
