from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.functional.mpcl import check_pcr_form


class ProjectorBalance(nn.Module):
    """Turn the contrastive losses of M projectors into one: PCR and the weights of PTB. MPCL, Eqs. 2 to 4.

    A head computes one loss and one accuracy per projector and calls this module. Its :meth:`accumulators` are averaged
    over ranks after every optimizer step, and ``MPCLReweightHook`` calls :meth:`rebalance`. Weights and the sums of an
    unfinished epoch are buffers, so that they are in the checkpoint.

    Args:
        num_projectors: M.
        pcr: Form of PCR: ``cross_correlation``, ``cosine`` or ``squared_cosine``, or the control ``within_projector``,
            see :func:`lewel_plugins.functional.projector_regularization`. Correlations are those of the batch of all
            ranks, cosines those of each rank's images. Under gradient accumulation, each forward pass is a batch, and
            the mean of the penalties is not that of the accumulated batch.
        pcr_weight: λ, the weight of PCR.
        literal_eq4: Whether to keep another factor 1/M, see :func:`lewel_plugins.functional.projector_terms`.

    Raises:
        ValueError: ``pcr_weight`` is negative, or ``pcr`` is unknown.
    """

    weights: Tensor
    images: Tensor
    correct: Tensor
    cosines: Tensor
    hsic: Tensor

    def __init__(
        self,
        num_projectors: int,
        pcr: str = 'cross_correlation',
        pcr_weight: float = 0.01,
        literal_eq4: bool = False,
    ) -> None:
        super().__init__()
        if not pcr_weight >= 0:
            raise ValueError(f'pcr_weight must not be negative, got {pcr_weight}')
        self.pcr, self.pcr_weight, self.literal_eq4 = check_pcr_form(pcr), pcr_weight, literal_eq4
        M = num_projectors
        self.register_buffer('weights', torch.full((M,), 1 / M))
        self.register_buffer('images', torch.zeros(()))
        self.register_buffer('correct', torch.zeros(M))
        self.register_buffer('cosines', torch.zeros(M, M))
        self.register_buffer('hsic', torch.zeros(M, M))

    def forward(
        self, losses: Tensor, accuracies: Tensor, *z: Tensor, standardized: Sequence[tuple[Tensor, Tensor]] = ()
    ) -> dict[str, Tensor]:
        """Compute the losses of a step, and add to the sums of the epoch.

        Args:
            losses: Contrastive loss of each projector, (M,).
            accuracies: Contrastive accuracy of each projector, (M,).
            z: Embeddings of the online network, (M, N, d), of one view or of several; PCR is averaged over the views.
            standardized: Where a head has them, the results of :func:`standardize_views` for each view.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        self._count(accuracies, [view.detach() for view in z])
        contrastive, regularization = LF.projector_terms(
            losses, self.weights, self._regularization(z, standardized), self.pcr_weight, self.literal_eq4
        )
        return dict(loss_contrastive=contrastive, loss_pcr=regularization)

    def _regularization(self, z: Sequence[Tensor], standardized: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return (1/M) Σ_m PCR^m, (), as a mean over the views."""
        if self.pcr in ('cosine', 'squared_cosine'):
            views = [LF.projector_regularization(view, self.pcr) for view in z]
        else:
            sum_over_ranks = partial(dist.all_reduce_sum, same_loss=True)
            views = [
                LF.projector_regularization(y, self.pcr, y_all, sum_over_ranks, standardized=True)
                for y, y_all in standardized or map(standardize_views, z)
            ]
        return torch.stack(views).mean()

    @torch.no_grad()
    def _count(self, accuracies: Tensor, z: list[Tensor]) -> None:
        N = z[0].shape[1]
        self.images += N
        self.correct += accuracies * N
        for view in z:
            self.cosines += LF.projector_cosines(view).sum(0) / len(z)
            self.hsic += LF.hsic(view) * N / len(z)

    @torch.no_grad()
    def restart(self) -> None:
        """Make the weights equal, and forget the sums of an unfinished epoch."""
        self.weights.fill_(1 / len(self.weights))
        for total in self.accumulators():
            total.zero_()

    def accumulators(self) -> list[Tensor]:
        """Return the sums that each rank accumulates on its own; their means over ranks keep all ratios."""
        return [self.images, self.correct, self.cosines, self.hsic]

    @torch.no_grad()
    def rebalance(self, epsilon: float | None, percent: bool = False) -> dict[str, list]:
        """End an epoch: set the weights from its accuracies, and reset the sums.

        Args:
            epsilon: ε of Eq. 3; None leaves the weights equal.
            percent: Whether ε is in per cent of accuracy.

        Returns:
            ``accuracy`` (M), the new ``weight`` (M), ``cosine`` (M × M) and ``cka`` (M × M, NaN where it is undefined),
            as lists. Only this waits for the device.
        """
        M = len(self.weights)
        dist.average_(self.accumulators())  # they differ between ranks during gradient accumulation
        images = self.images.clamp_min(1)
        accuracy, cosine = self.correct / images, self.cosines / images
        if epsilon is not None:
            self.weights.copy_(LF.training_balance(accuracy, epsilon / 100 if percent else epsilon))
        rows = torch.cat([accuracy[None], self.weights[None], cosine, LF.cka(self.hsic)]).tolist()
        for total in self.accumulators():
            total.zero_()
        return dict(accuracy=rows[0], weight=rows[1], cosine=rows[2 : 2 + M], cka=rows[2 + M :])


def standardize_views(z: Tensor) -> tuple[Tensor, Tensor]:
    """Standardize embeddings over the batch of all ranks.

    Args:
        z: Embeddings of one view or of several, (…, M, N, d).

    Returns:
        The standardized embeddings, (…, M, N, d), and those of all ranks in rank order, (…, M, WN, d), without
        gradient.
    """
    y = LF.standardize(z, dist.world_size(), dist.all_reduce_sum)
    return y, dist.all_gather(y.detach().movedim(-2, 0)).movedim(0, -2)
