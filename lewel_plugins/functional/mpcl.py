"""MPCL: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple Projectors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_same_shape
from ._precision import full_precision


@full_precision
def projector_cosines(z: Tensor) -> Tensor:
    """Cosines between the M embeddings of each image, one per projector: Z of MPCL, Sec. III-B.

    Args:
        z: Embeddings, (M, N, d).

    Returns:
        (N, M, M), symmetric, ones on the diagonal.
    """
    unit = F.normalize(z, dim=2).transpose(0, 1)  # (N, M, d)
    return unit @ unit.mT


@full_precision
def projector_regularization(z: Tensor, squared: bool = False) -> Tensor:
    """Projector contrastive regularization (PCR), averaged over the projectors. MPCL, Eq. 2.

    (1/M) Σ_m 1/(M − 1) Σ_{l≠m} cos(z^m_b, z^l_b), mean over the batch. Gradients flow into both. For M = 1 it is 0.

    Args:
        z: Embeddings of M projectors, (M, N, d).
        squared: Whether to square the cosines, so that orthogonal embeddings are the minimum, not opposed ones. Eq. 2
            has signed cosines.

    Returns:
        Loss, ().
    """
    M, N, _ = z.shape
    cosines = projector_cosines(z)
    others = 1 - torch.eye(M, dtype=cosines.dtype, device=cosines.device)
    values = cosines.square() if squared else cosines
    return (values * others).sum() / (N * max(M * (M - 1), 1))


@full_precision
def training_balance(accuracy: Tensor, epsilon: float = 0.5) -> Tensor:
    """Weigh the losses of the projectors by their accuracies: projector training balance (PTB). MPCL, Eq. 3.

    Args:
        accuracy: Mean contrastive accuracy of each projector over the last epoch, in [0, 1], (M,).
        epsilon: Temperature ε; the smaller it is, the more weight goes to the worst projector.

    Returns:
        Weights w, (M,), positive with sum 1.
    """
    if not epsilon > 0:
        raise ValueError(f'epsilon must be positive, got {epsilon}')
    return ((1 - accuracy) / epsilon).softmax(0)


@full_precision
def projector_terms(
    losses: Tensor, weights: Tensor, regularization: Tensor, pcr_weight: float = 0.01, literal_eq4: bool = False
) -> tuple[Tensor, Tensor]:
    """The two terms of the total loss: Σ_m w^m L^m and (λ/M) Σ_m PCR^m. MPCL, Eq. 4, as a mean over the batch.

    Read literally, Eq. 4 has another factor 1/M before the first sum. But the weights of Eq. 3 sum to one already, so
    steps would shrink M-fold. With M = 1 and w = 1, the first term is the loss of the base framework and the second 0.

    Args:
        losses: Contrastive loss L^m of each projector, (M,).
        weights: w, (M,).
        regularization: (1/M) Σ_m PCR^m, (), from :func:`projector_regularization`.
        pcr_weight: λ.
        literal_eq4: Whether to keep this factor 1/M.

    Returns:
        Two losses, (); their sum is the total.
    """
    check_same_shape('losses', losses, 'weights', weights)
    contrastive = (weights * losses).sum()
    return (contrastive / len(losses) if literal_eq4 else contrastive), pcr_weight * regularization


@full_precision
def orthogonalize(weight: Tensor) -> Tensor:
    """Make M weight matrices orthogonal to each other as vectors; each keeps its length. MPCL, Table II, "Orth.".

    This is Gram-Schmidt in the order of the matrices, by a Cholesky factor of their M × M cosines.

    Args:
        weight: (M, out, in), linearly independent.

    Returns:
        (M, out, in).
    """
    vectors = weight.flatten(1)
    lengths = vectors.norm(dim=1, keepdim=True)
    unit = vectors / lengths
    factor = torch.linalg.cholesky_ex(unit @ unit.T)[0]  # cholesky would wait for the device
    return (torch.linalg.solve_triangular(factor, unit, upper=False) * lengths).view_as(weight)
