import torch
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF


class ProjectorBalance(nn.Module):
    """Turn the contrastive losses of M projectors into one: PCR and the weights of PTB. MPCL, Eqs. 2 to 4.

    A head computes one loss and one accuracy per projector and calls this module. Its :meth:`accumulators` are averaged
    over ranks after every optimizer step, and ``MPCLReweightHook`` calls :meth:`rebalance`. Weights and the sums of an
    unfinished epoch are buffers, so that they are in the checkpoint.

    Args:
        num_projectors: M.
        pcr_weight: λ, the weight of PCR.
        squared_pcr: Whether PCR uses squared cosines.
        literal_eq4: Whether to keep another factor 1/M, see :func:`lewel_plugins.functional.projector_terms`.

    Raises:
        ValueError: ``pcr_weight`` is negative.
    """

    weights: Tensor
    images: Tensor
    correct: Tensor
    cosines: Tensor

    def __init__(
        self, num_projectors: int, pcr_weight: float = 0.01, squared_pcr: bool = False, literal_eq4: bool = False
    ) -> None:
        super().__init__()
        if not pcr_weight >= 0:
            raise ValueError(f'pcr_weight must not be negative, got {pcr_weight}')
        self.pcr_weight, self.squared_pcr, self.literal_eq4 = pcr_weight, squared_pcr, literal_eq4
        M = num_projectors
        self.register_buffer('weights', torch.full((M,), 1 / M))
        self.register_buffer('images', torch.zeros(()))
        self.register_buffer('correct', torch.zeros(M))
        self.register_buffer('cosines', torch.zeros(M, M))

    def forward(self, losses: Tensor, accuracies: Tensor, *z: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a step, and add to the sums of the epoch.

        Args:
            losses: Contrastive loss of each projector, (M,).
            accuracies: Contrastive accuracy of each projector, (M,).
            z: Embeddings of the online network, (M, N, d), of one view or of several; PCR is averaged over the views.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        self._count(accuracies, [view.detach() for view in z])
        views = [LF.projector_regularization(view, self.squared_pcr) for view in z]
        contrastive, regularization = LF.projector_terms(
            losses, self.weights, torch.stack(views).mean(), self.pcr_weight, self.literal_eq4
        )
        return dict(loss_contrastive=contrastive, loss_pcr=regularization)

    @torch.no_grad()
    def _count(self, accuracies: Tensor, z: list[Tensor]) -> None:
        N = z[0].shape[1]
        self.images += N
        self.correct += accuracies * N
        for view in z:
            self.cosines += LF.projector_cosines(view).sum(0) / len(z)

    def accumulators(self) -> list[Tensor]:
        """Return the sums that each rank accumulates on its own; their means over ranks keep all ratios."""
        return [self.images, self.correct, self.cosines]

    @torch.no_grad()
    def rebalance(self, epsilon: float | None) -> dict[str, list]:
        """End an epoch: set the weights from its accuracies, and reset the sums.

        Args:
            epsilon: ε of Eq. 3; None leaves the weights equal.

        Returns:
            ``accuracy`` (M), the new ``weight`` (M) and ``cosine`` (M × M), as lists. Only this waits
            for the device.
        """
        M = len(self.weights)
        dist.average_(self.accumulators())  # they differ between ranks during gradient accumulation
        images = self.images.clamp_min(1)
        accuracy, cosine = self.correct / images, self.cosines / images
        if epsilon is not None:
            self.weights.copy_(LF.training_balance(accuracy, epsilon))
        rows = torch.cat([accuracy[None], self.weights[None], cosine]).tolist()
        for total in self.accumulators():
            total.zero_()
        return dict(accuracy=rows[0], weight=rows[1], cosine=rows[2 : 2 + M])
