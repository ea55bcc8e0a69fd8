"""Contrastive losses, for one projector or for M at once: InfoNCE with a queue or a batch, and Barlow Twins."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_same_shape, check_temperature
from ._derivatives import once_differentiable
from ._fused import QueueInfoNCE
from ._precision import full_precision

Similarities = tuple[Tensor, Tensor]


@full_precision
def info_nce(q: Tensor, k: Tensor, queue: Tensor, tau: float, unit_queue: bool = False) -> Tensor:
    """InfoNCE with a queue of negatives. LEWEL, Eq. 4; MPCL, Eq. 1; He et al. 2020 (MoCo), Eq. 1.

    −log( e^{cos(q,k)/τ} / (e^{cos(q,k)/τ} + Σ_j e^{cos(q, queue_j)/τ}) ), mean over the batch. The queue is read once,
    in blocks; no (N, Q) similarities are kept, and the queue may change before the backward pass.

    Args:
        q: Queries, (N, d), or (M, N, d) for M projectors.
        k: Their positive keys, (N, d) or (M, N, d).
        queue: Negative keys as columns, (d, Q) or (M, d, Q).
        tau: Temperature τ.
        unit_queue: Whether the columns of the queue are unit vectors already. Normalizing a long queue in every step
            would take longer than the comparison.

    Returns:
        Loss, () or (M,).

    Raises:
        ValueError: The shapes do not fit, or τ is not positive.

    Example:
        >>> q, k, queue = torch.randn(32, 128), torch.randn(32, 128), torch.randn(128, 65536)
        >>> loss = info_nce(q, k, queue, tau=0.2)
    """
    return info_nce_and_accuracy(q, k, queue, tau, unit_queue)[0]


@full_precision
def info_nce_and_accuracy(
    q: Tensor, k: Tensor, queue: Tensor, tau: float, unit_queue: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute :func:`info_nce` and its accuracy in one pass over the queue. MPCL, Eq. 1 and acc of Eq. 3.

    Args:
        q: Queries, (…, N, d).
        k: Their positive keys, (…, N, d).
        queue: Negative keys as columns, (…, d, Q).
        tau: Temperature τ.
        unit_queue: Whether the columns of the queue are unit vectors already.

    Returns:
        Loss, (…), and the share of the queries whose positive is more similar than every negative, (…), as in
        :func:`ranked_first`.
    """
    check_same_shape('q', q, 'k', k)
    check_temperature(tau)
    if queue.shape[:-1] != (*q.shape[:-2], q.shape[-1]):
        raise ValueError(f'queue must be (…, d, Q) with d = {q.shape[-1]}, got {tuple(queue.shape)}')
    if not unit_queue:
        queue = F.normalize(queue, dim=-2)
    return QueueInfoNCE.apply(F.normalize(q, dim=-1), F.normalize(k, dim=-1), queue, tau)


@full_precision
def batch_similarities(q: Tensor, keys: Tensor, tau: float, first: int = 0) -> Similarities:
    """Cosines over τ of queries with the keys of a batch. Chen et al. 2021 (MoCo v3), Algorithm 1; MPCL, Eqs. 1 and 3.

    The positive of q[n] is keys[first + n]; all other keys are its negatives.

    Args:
        q: Queries, (…, N, d).
        keys: Keys of the batch over all ranks, (…, WN, d), in rank order.
        tau: Temperature τ.
        first: Row of this rank's first key: rank · N.

    Returns:
        Similarities with the positives, (…, N), and with the negatives, (…, N, WN), −∞ at the positive.

    Raises:
        ValueError: The shapes do not fit, or the batch is one image, which has no negative.
    """
    check_temperature(tau)
    N, total = q.shape[-2], keys.shape[-2]
    if (*q.shape[:-2], q.shape[-1]) != (*keys.shape[:-2], keys.shape[-1]) or not 0 <= first <= total - N:
        raise ValueError(
            f'keys must be (…, WN, d) with the positives of q from row {first} on, got q {tuple(q.shape)} and keys '
            f'{tuple(keys.shape)}'
        )
    if total < 2:
        raise ValueError(f'the negatives are the other images of the batch, which must hold at least 2, got {total}')
    logits = F.normalize(q, dim=-1) @ F.normalize(keys, dim=-1).mT / tau
    positive = logits.diagonal(first, -2, -1)
    columns = torch.arange(total, device=q.device)
    own = columns == columns[first : first + N, None]  # (N, WN)
    return positive, logits.masked_fill(own, float('-inf'))


@full_precision
def nce(positive: Tensor, negatives: Tensor) -> Tensor:
    """InfoNCE from similarities: −log(e^p / (e^p + Σ_j e^{n_j})), mean over the batch. MPCL, Eq. 1.

    Args:
        positive: Similarities with the positives, (…, N).
        negatives: Similarities with the negatives, (…, N, Q).

    Returns:
        Loss, (…).
    """
    # −log(e^p / (e^p + e^n)) = −log σ(p − n) needs no concatenation to (N, 1 + Q).
    return -F.logsigmoid(positive - negatives.logsumexp(-1)).mean(-1)


@torch.no_grad()
def ranked_first(positive: Tensor, negatives: Tensor) -> Tensor:
    """Share of the queries whose positive is more similar than every negative: acc of MPCL, Eq. 3.

    A tie is a miss, so a collapsed projector has accuracy 0. The result has no gradient.

    Args:
        positive: Similarities with the positives, (…, N).
        negatives: Similarities with the negatives, (…, N, Q).

    Returns:
        Accuracy in [0, 1], (…).
    """
    return (positive > negatives.amax(-1)).to(positive.dtype).mean(-1)


def _identity(x: Tensor) -> Tensor:
    return x


@full_precision
def standardize(
    x: Tensor, ranks: int = 1, sum_over_ranks: Callable[[Tensor], Tensor] = _identity, eps: float = 1e-5
) -> Tensor:
    """Give each channel zero mean and unit variance over the batch. Zbontar et al. 2021 (Barlow Twins), Eq. 2.

    Args:
        x: Embeddings, (…, N, d).
        ranks: Number of ranks W, with N rows on each.
        sum_over_ranks: Differentiable sum of a tensor over the ranks; by default the identity, for one process.
        eps: Added to the variance (with divisor WN), as batch norm does.

    Returns:
        Standardized embeddings, (…, N, d).
    """
    count = ranks * x.shape[-2]
    centered = x - sum_over_ranks(x.sum(-2, keepdim=True)) / count
    variance = sum_over_ranks(centered.square().sum(-2, keepdim=True)) / count  # around the mean, without cancellation
    return centered * (variance + eps).rsqrt()


@full_precision
def barlow_twins(
    x: Tensor,
    y: Tensor,
    redundancy_weight: float = 0.0051,
    x_all: Tensor | None = None,
    y_all: Tensor | None = None,
    sum_over_ranks: Callable[[Tensor], Tensor] = _identity,
) -> Tensor:
    """Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij² with C = xᵀy / N. Zbontar et al. 2021 (Barlow Twins), Eqs. 1 and 2.

    The (d, d) matrix C, where d is several thousand, is never computed: ‖xᵀy‖² = ⟨xxᵀ, yyᵀ⟩ has (N, N) factors.

    Args:
        x: Standardized embeddings of one view, (…, N, d).
        y: Standardized embeddings of the other view, (…, N, d).
        redundancy_weight: λ.
        x_all: x of all W ranks, (…, WN, d), in any order, without gradient; None for one rank. With it, second
            derivatives raise an error.
        y_all: y of all ranks, in the same order.
        sum_over_ranks: Differentiable sum of a tensor over the ranks; the loss is then the same on each.

    Returns:
        Loss of the batch of all ranks, (…).

    Raises:
        ValueError: x and y have different shapes, or only one of x_all and y_all is given.
    """
    check_same_shape('x', x, 'y', y)
    if (x_all is None) != (y_all is None):
        raise ValueError('x_all and y_all must be given together')
    one_rank = x_all is None
    x_all, y_all = (x, y) if x_all is None or y_all is None else (x_all.detach(), y_all.detach())
    count = x_all.shape[-2]
    diagonal = sum_over_ranks((x * y).sum(-2) / count)  # (…, d)
    # This rank's rows of both Gram matrices, (…, N, WN).
    own = ((x @ x_all.mT) * (y @ y_all.mT)).sum((-2, -1)) / count**2
    if not one_rank:
        # An embedding is in a row and in a column of each Gram matrix, with equal gradients: the rows count twice.
        own = once_differentiable(2 * own - own.detach(), 'barlow_twins with x_all')
    squares = sum_over_ranks(own)
    return (1 - diagonal).square().sum(-1) + redundancy_weight * (squares - diagonal.square().sum(-1))
