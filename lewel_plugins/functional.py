"""The equations of the papers, and the measures of a representation, as pure functions.

Inputs are raw (not normalised), results are averaged over everything they average over. No function
communicates between ranks, and all are differentiable in every floating argument. float16 and bfloat16
arguments are computed in float32, also under autocast; float32 and float64 stay what they are.

Shape letters: N images, D backbone channels, L = HW positions, d channels of the global embedding and
number of maps, h channel groups, K = d/h aligned embeddings an image, c channels of each, Q queue length, l groups of
images, M projectors, W ranks. In MSBReg's functions K is the number of views of an image.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Similarities = tuple[Tensor, Tensor]
_Function = TypeVar('_Function', bound=Callable[..., Tensor | tuple[Tensor, Tensor]])


def _widen(x: object) -> object:
    low = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.float() if low else x  # type: ignore[union-attr, attr-defined]


def _full_precision(function: _Function) -> _Function:
    """Run ``function`` with autocast off and its low-precision tensor arguments widened to float32."""

    @wraps(function)
    def wrapped(*args, **kwargs):
        device = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)).device.type
        with torch.autocast(device_type=device, enabled=False):
            return function(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})

    return wrapped  # type: ignore[return-value]


def _check_same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f'{name_a} and {name_b} must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}')


def _check_temperature(tau: float) -> None:
    if not tau > 0:
        raise ValueError(f'tau must be positive, got {tau}')


def _identity(x: Tensor) -> Tensor:
    return x


def _check_queue(q: Tensor, k: Tensor, queue: Tensor, tau: float) -> None:
    _check_same_shape('q', q, 'k', k)
    _check_temperature(tau)
    if queue.shape[:-1] != (*q.shape[:-2], q.shape[-1]):
        raise ValueError(f'queue must be (…, d, Q) with d = {q.shape[-1]}, got {tuple(queue.shape)}')


# LEWEL ------------------------------------------------------------------------------------------------------


@_full_precision
def alignment_maps(heat: Tensor, scale: float = 1.0) -> Tensor:
    """Alignment maps from heat maps. LEWEL, Sec. 3.2.

    Each position's d heat values are divided by their L2 norm, then each map is a softmax over positions.

    Args:
        heat: Heat maps W̃, (N, d, L).
        scale: Factor of the normalised heat before the softmax; the paper has 1.

    Returns:
        Maps W, (N, d, L): non-negative, each sums to one over L.
    """
    return (scale * F.normalize(heat, dim=1)).softmax(dim=2)


def aligned_pooling(f: Tensor, maps: Tensor, num_groups: int) -> Tensor:
    """Pool features under alignment maps, with channel grouping. LEWEL, Eqs. 1 and 2.

    Aligned representation k takes channel group g of f under map kh + g (both counted from 0).

    Args:
        f: Features F, (N, D, L). A transposed (N, L, D) tensor, which is what a channels_last map is, is as good.
        maps: Alignment maps W, (N, d, L).
        num_groups: Number of channel groups h; divides D and d.

    Returns:
        Aligned representations y, (N, d/h, D). Products are accumulated in float32 or wider.

    Raises:
        ValueError: D or d is not a multiple of h, or N or L differ.
    """
    (N, D, L), (N_maps, d, L_maps), h = f.shape, maps.shape, num_groups
    if (N_maps, L_maps) != (N, L):
        raise ValueError(f'f is (N, D, L) = {tuple(f.shape)} but maps is (N, d, L) = {tuple(maps.shape)}')
    if h < 1 or D % h or d % h:
        raise ValueError(f'num_groups must divide D = {D} and d = {d}, got {h}')
    f_groups = f.reshape(N, h, D // h, L)
    map_groups = maps.to(f.dtype).reshape(N, d // h, h, L)
    return torch.einsum('nkgl,ngcl->nkgc', map_groups, f_groups).reshape(N, d // h, D)


@_full_precision
def info_nce(q: Tensor, k: Tensor, queue: Tensor, tau: float) -> Tensor:
    """InfoNCE with a queue of negatives. LEWEL, Eq. 4; MPCL, Eq. 1; He et al. 2020 (MoCo), Eq. 1.

    −log( e^{cos(q,k)/τ} / (e^{cos(q,k)/τ} + Σ_j e^{cos(q, queue_j)/τ}) ), mean over the batch. For a long queue of
    unit keys :func:`queue_contrast` computes the same in less time and memory.

    Args:
        q: Queries, (N, d), or (M, N, d) of M projectors.
        k: Their positive keys, (N, d) or (M, N, d).
        queue: Negative keys as columns, (d, Q) or (M, d, Q).
        tau: Temperature τ.

    Returns:
        Loss, (), or (M,).
    """
    return nce(*queue_similarities(q, k, queue, tau))


@_full_precision
def aligned_info_nce(q: Tensor, k: Tensor, tau: float) -> Tensor:
    """InfoNCE on aligned embeddings. LEWEL, Eq. 4 as used for L_a.

    The positive of q[n, i] is k[n, i]; its negatives are all (N − 1)K keys of the *other* images. The same
    image's other keys are neither positive nor negative. The batch is the local one, as in the paper.

    Args:
        q: Aligned embeddings of one view, (N, K, c).
        k: Aligned keys of the other view, (N, K, c).
        tau: Temperature τ.

    Returns:
        Loss, (), mean over images and embeddings.

    Raises:
        ValueError: Shapes differ, or there is only one image and thus no negative.
    """
    _check_same_shape('q', q, 'k', k)
    _check_temperature(tau)
    N, K, _ = q.shape
    if N < 2:
        raise ValueError(f'the negatives are other images of the batch: it must hold at least 2, got {N}')
    q, k = F.normalize(q, dim=2), F.normalize(k, dim=2)
    positive = (q * k).sum(2) / tau  # (N, K)
    logits = (q.flatten(0, 1) @ k.flatten(0, 1).T / tau).view(N, K, N, K)
    same_image = torch.eye(N, dtype=torch.bool, device=q.device).view(N, 1, N, 1)
    negatives = logits.masked_fill_(same_image, float('-inf')).flatten(2).logsumexp(2)  # (N, K)
    return -F.logsigmoid(positive - negatives).mean()


@_full_precision
def cosine_mse(p: Tensor, z: Tensor) -> Tensor:
    """Squared distance of unit vectors, 2 − 2 cos(p, z). LEWEL, Eq. 5; Grill et al. 2020 (BYOL), Eq. 2.

    The stop-gradient on z is the caller's.

    Args:
        p: Predictions, (N, d), or any (…, d).
        z: Targets, same shape.

    Returns:
        Loss, (), mean over all but the last dimension.
    """
    _check_same_shape('p', p, 'z', z)
    return 2 - 2 * (F.normalize(p, dim=-1) * F.normalize(z, dim=-1)).sum(-1).mean()


# SMoG -------------------------------------------------------------------------------------------------------


def _check_groups(z: Tensor, groups: Tensor, name: str = 'z') -> None:
    if z.dim() != 2 or groups.dim() != 2 or z.shape[1] != groups.shape[1]:
        raise ValueError(f'{name} must be (N, d) and groups (l, d), got {tuple(z.shape)} and {tuple(groups.shape)}')


@torch.no_grad()
@_full_precision
def assign_groups(z: Tensor, groups: Tensor, unit_groups: bool = False) -> Tensor:
    """Group of highest cosine similarity to each feature. SMoG, Eq. 4, whose argmin is a misprint for the closest.

    Args:
        z: Features, (N, d).
        groups: Group features G, (l, d).
        unit_groups: The groups are unit vectors already.

    Returns:
        Groups, (N,) int64 in [0, l). Without gradient.
    """
    _check_groups(z, groups)
    if not unit_groups:
        groups = F.normalize(groups, dim=1)
    return (z @ groups.T).argmax(1)  # the length of z changes nothing


@_full_precision
def group_sums(z: Tensor, assignment: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Sum of the unit features assigned to each group, and their number: one segment-sum.

    Args:
        z: Features, (N, d).
        assignment: Group of each, (N,) int64 in [0, l).
        num_groups: Number of groups l.

    Returns:
        Sums (l, d), differentiable in z, and counts (l,) of the same type.
    """
    z = F.normalize(z, dim=1)
    sums, counts = z.new_zeros(num_groups, z.shape[1]), z.new_zeros(num_groups)
    counts = counts.scatter_add(0, assignment, z.new_ones(len(z)))
    # The same bits every time: the first sorts on a GPU, where the second adds in any order; on a CPU it is the
    # second that keeps to the order.
    if z.is_cuda:
        return sums.index_put((assignment,), z, accumulate=True), counts
    return sums.index_add(0, assignment, z), counts


def _renumber(assignment: Tensor) -> Tensor:
    """Numbers 0, 1, … in the place of those that occur, (N,), without asking the device how many there are."""
    ascending, order = assignment.sort()
    changes = (ascending.diff(prepend=ascending[:1]) != 0).cumsum(0)
    return torch.empty_like(assignment).scatter_(0, order, changes)


@_full_precision
def moved_groups(groups: Tensor, z: Tensor, assignment: Tensor, beta: float | Tensor) -> tuple[Tensor, Tensor]:
    """What the group of each feature becomes by all of them. SMoG, Eq. 4, with the normalisation that it omits.

    g_k ← normalise(β g_k + (1 − β) mean_k). No work or memory grows with the number of groups: those without features
    stay as they are, and are not touched.

    Args:
        groups: Unit group features G, (l, d), l ≥ 1.
        z: Features, (N, d), normalised before they are averaged.
        assignment: Group of each, (N,) int64 in [0, l).
        beta: Momentum β in [0, 1]: a number, a scalar, or (N, 1) for that of each feature's group.

    Returns:
        The new group of each feature, (N, d): unit rows, the same bits for features of one group, differentiable in z.
        And the number of features that it has, (N,).
    """
    slots = _renumber(assignment)
    sums, counts = group_sums(z, slots, len(z))
    sums, counts = sums[slots], counts[slots]
    share = ((1 - beta) / counts[:, None]).to(sums.dtype)
    return F.normalize(torch.addcmul(beta * groups[assignment], share, sums), dim=1), counts


@_full_precision
def update_groups(groups: Tensor, z: Tensor, assignment: Tensor, beta: float | Tensor) -> Tensor:
    """Synchronous momentum grouping: the groups after a step's features. SMoG, Eq. 4.

    Features are normalised before they are averaged.

    Args:
        groups: Group features G, (l, d).
        z: Features, (N, d).
        assignment: Group of each feature, (N,) int64.
        beta: Momentum β in [0, 1], of all groups or (l, 1) for one a group.

    Returns:
        Groups, (l, d), unit rows, differentiable in z.

    Raises:
        ValueError: Shapes do not fit, or β is a number outside [0, 1].
    """
    _check_groups(z, groups)
    if not isinstance(beta, Tensor) and not 0 <= beta <= 1:
        raise ValueError(f'beta is a momentum and must be in [0, 1], got {beta}')
    groups = F.normalize(groups, dim=1)
    of_feature = beta[assignment] if isinstance(beta, Tensor) and beta.ndim else beta
    moved, counts = moved_groups(groups, z, assignment, of_feature)
    # Features of one group have the same row: each adds its share of the way there.
    return groups.index_add(0, assignment, (moved - groups[assignment]) / counts[:, None])


@_full_precision
def group_contrast(p: Tensor, groups: Tensor, assignment: Tensor, tau: float) -> Tensor:
    """Cross-entropy of the cosines to all groups against the assigned one. SMoG, Eq. 3.

    −log( e^{cos(p, g_c)/τ} / Σ_j e^{cos(p, g_j)/τ} ), mean over the batch.

    Args:
        p: Predictions, (N, d).
        groups: Group features G, after this step's update, (l, d).
        assignment: Group c of each image, from the other view, (N,) int64.
        tau: Temperature τ.

    Returns:
        Loss, ().
    """
    _check_groups(p, groups, 'p')
    _check_temperature(tau)
    return F.cross_entropy(F.normalize(p, dim=1) @ F.normalize(groups, dim=1).T / tau, assignment)


class _MovedGroupContrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, moved, groups, places, counts, assignment, tau):  # type: ignore[override]
        scores = (p / tau) @ groups.T  # (N, l), the only tensor of this size
        own = scores.gather(1, assignment[:, None])
        highest = scores.amax(1, keepdim=True)
        total = scores.sub_(highest).exp_().sum(1, keepdim=True)
        scores.div_(total).scatter_add_(1, assignment[:, None], -torch.ones_like(own))  # ∂L_n / ∂score
        scale = 1 / (tau * len(p))
        grad_moved = (scores[:, places].T @ p).mul_(scale / counts[:, None])
        ctx.save_for_backward((scores @ groups).mul_(scale), grad_moved)
        return (total.log() + highest - own).mean()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        grad_p, grad_moved = ctx.saved_tensors
        return grad * grad_p, grad * grad_moved, None, None, None, None, None


@_full_precision
def moved_group_contrast(
    p: Tensor, moved: Tensor, groups: Tensor, places: Tensor, counts: Tensor, assignment: Tensor, tau: float
) -> Tensor:
    """:func:`group_contrast` for many groups of which few have moved. SMoG, Eq. 3.

    Its gradient is computed at once, and only for p and for the groups that moved: neither the similarities (N, l) nor
    a copy of the groups is kept, which may change before the backward pass.

    Args:
        p: Predictions, (N, d).
        moved: Unit rows of the groups that have moved, (R, d), a group as often as ``counts`` says.
        groups: All groups after the move, unit rows, (l, d); has no gradient of its own.
        places: Which groups ``moved`` are: ``groups[places]`` is ``moved``, (R,) int64.
        counts: How often each is in ``moved``, (R,).
        assignment: Group c of each image, from the other view, (N,) int64.
        tau: Temperature τ.

    Returns:
        Loss, ().
    """
    _check_groups(p, groups, 'p')
    _check_temperature(tau)
    return _MovedGroupContrast.apply(F.normalize(p, dim=1), moved, groups, places, counts, assignment, tau)


# Contrastive tasks, one or M at a time (MPCL) ---------------------------------------------------------------


@_full_precision
def queue_similarities(q: Tensor, k: Tensor, queue: Tensor, tau: float) -> Similarities:
    """Cosines over τ of queries with their keys and with a queue. He et al. 2020 (MoCo); MPCL, s of Eq. 1.

    Args:
        q: Queries, (…, N, d).
        k: Their positive keys, (…, N, d).
        queue: Negative keys as columns, (…, d, Q).
        tau: Temperature τ.

    Returns:
        Of the positives, (…, N), and of the negatives, (…, N, Q).
    """
    _check_queue(q, k, queue, tau)
    q, k, queue = F.normalize(q, dim=-1), F.normalize(k, dim=-1), F.normalize(queue, dim=-2)
    return (q * k).sum(-1) / tau, q @ queue / tau


# Numbers of a block of a queue, its keys or similarities: what stays in a CPU's cache, 256 MiB of float32 on a device.
_QUEUE_BLOCK, _QUEUE_BLOCK_DEVICE = 2**19, 2**26


class _QueueContrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, queue: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        positive = (q * k).sum(-1) / tau  # (…, N)
        queries = q / tau
        # Over blocks of keys, relative to the largest similarity so far: its sum of exponentials, and the sum of the
        # keys weighed by them. A block is read from memory once, and no (N, Q) tensor is made.
        top = torch.full_like(positive, float('-inf'))
        total, weighed = torch.zeros_like(positive), torch.zeros_like(q)
        held = _QUEUE_BLOCK if q.device.type == 'cpu' else _QUEUE_BLOCK_DEVICE
        columns = max(positive.numel(), queue[..., 0].numel())  # of similarities, and of keys
        for keys in queue.split(max(held // columns, 1), -1):
            shares = queries @ keys  # (…, N, block)
            highest = torch.maximum(top, shares.amax(-1))
            shares.sub_(highest[..., None]).exp_()
            decay = (top - highest).exp_()
            total = decay * total + shares.sum(-1)
            weighed = decay[..., None] * weighed + shares @ keys.mT
            top = highest
        log_sum = top + total.log()
        rest = torch.sigmoid(log_sum - positive)[..., None]  # 1 − the positive's share in the softmax over 1 + Q
        ctx.save_for_backward(rest * (weighed / total[..., None] - k) / (tau * q.shape[-2]))
        accuracy = (positive > top).to(positive.dtype).mean(-1)  # ranked_first
        ctx.mark_non_differentiable(accuracy)
        return -F.logsigmoid(positive - log_sum).mean(-1), accuracy

    @staticmethod
    def backward(ctx, grad: Tensor, _: Tensor):  # type: ignore[override]
        return grad[..., None, None] * ctx.saved_tensors[0], None, None, None


@_full_precision
def queue_contrast(q: Tensor, k: Tensor, queue: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """:func:`info_nce` and its accuracy, for a long queue of unit keys. LEWEL, Eq. 4; MPCL, Eq. 1 and acc of Eq. 3.

    Only q has a gradient, and it is computed at once: the queue may move on before the backward pass, without a copy
    of it. It is read once, in blocks, and no (N, Q) similarities are made. A queue that is normalised anew at every
    step takes longer for that than for the comparison, so its keys must be unit vectors.

    Args:
        q: Queries, (…, N, d).
        k: Their positive keys, (…, N, d).
        queue: Negative keys as unit columns, (…, d, Q).
        tau: Temperature τ.

    Returns:
        Loss and accuracy as of :func:`nce` and :func:`ranked_first`, (…) each.
    """
    _check_queue(q, k, queue, tau)
    return _QueueContrast.apply(F.normalize(q, dim=-1), F.normalize(k, dim=-1), queue, tau)


@_full_precision
def batch_similarities(q: Tensor, keys: Tensor, tau: float, first: int = 0) -> Similarities:
    """Cosines over τ of queries with the keys of a batch. Chen et al. 2021 (MoCo v3), Algorithm 1.

    The positive of q[n] is keys[first + n]; all other keys are its negatives.

    Args:
        q: Queries, (…, N, d).
        keys: Keys of the batch over all ranks, (…, WN, d), in rank order.
        tau: Temperature τ.
        first: Where this rank's keys begin: rank · N.

    Returns:
        Of the positives, (…, N), and of the negatives, (…, N, WN) with −∞ at the positive.

    Raises:
        ValueError: Shapes that do not fit, or a batch of one, which has no negative.
    """
    _check_temperature(tau)
    N, total = q.shape[-2], keys.shape[-2]
    if (*q.shape[:-2], q.shape[-1]) != (*keys.shape[:-2], keys.shape[-1]) or not 0 <= first <= total - N:
        raise ValueError(f'q is {tuple(q.shape)} with its keys from row {first} on, but keys is {tuple(keys.shape)}')
    if total < 2:
        raise ValueError(f'the negatives are other images of the batch: it must hold at least 2, got {total}')
    logits = F.normalize(q, dim=-1) @ F.normalize(keys, dim=-1).mT / tau
    positive = logits.diagonal(first, -2, -1)
    columns = torch.arange(total, device=q.device)
    own = columns == columns[first : first + N, None]  # (N, WN)
    return positive, logits.masked_fill(own, float('-inf'))


@_full_precision
def nce(positive: Tensor, negatives: Tensor) -> Tensor:
    """InfoNCE from similarities: −log(e^p / (e^p + Σ_j e^{n_j})), mean over the batch. MPCL, Eq. 1.

    Args:
        positive: Similarities with the positives, (…, N).
        negatives: Similarities with the negatives, (…, N, Q).

    Returns:
        Loss, (…).
    """
    # −log(e^p / (e^p + e^n)) = −log σ(p − n): no (N, 1 + Q) concatenation.
    return -F.logsigmoid(positive - negatives.logsumexp(-1)).mean(-1)


@torch.no_grad()
def ranked_first(positive: Tensor, negatives: Tensor) -> Tensor:
    """Share of the queries whose positive is more similar than every negative: acc of MPCL, Eq. 3.

    A tie is a miss, so that a collapsed projector has accuracy 0. Has no gradient.

    Args:
        positive: Similarities with the positives, (…, N).
        negatives: Similarities with the negatives, (…, N, Q).

    Returns:
        Accuracy in [0, 1], (…).
    """
    return (positive > negatives.amax(-1)).to(positive.dtype).mean(-1)


@_full_precision
def standardize(
    x: Tensor, ranks: int = 1, sum_over_ranks: Callable[[Tensor], Tensor] = _identity, eps: float = 1e-5
) -> Tensor:
    """Zero mean and unit variance over the batch, a channel each. Zbontar et al. 2021 (Barlow Twins), Eq. 2.

    Args:
        x: Embeddings, (…, N, d).
        ranks: Number of ranks W that the batch is spread over, N rows on each.
        sum_over_ranks: Sums a tensor over them, differentiably. The default is one process's.
        eps: Added to the variance (with divisor WN), as batch norm does.

    Returns:
        Standardised embeddings, (…, N, d).
    """
    count = ranks * x.shape[-2]
    centred = x - sum_over_ranks(x.sum(-2, keepdim=True)) / count
    variance = sum_over_ranks(centred.square().sum(-2, keepdim=True)) / count  # around the mean: no cancellation
    return centred * (variance + eps).rsqrt()


@_full_precision
def barlow_twins(
    x: Tensor,
    y: Tensor,
    redundancy_weight: float = 0.0051,
    x_all: Tensor | None = None,
    y_all: Tensor | None = None,
    sum_over_ranks: Callable[[Tensor], Tensor] = _identity,
) -> Tensor:
    """Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij² with C = xᵀy / N. Zbontar et al. 2021 (Barlow Twins), Eqs. 1 and 2.

    C itself, (d, d) with d of some thousands, is not needed: ‖xᵀy‖² = ⟨xxᵀ, yyᵀ⟩, and those are (N, N).

    Args:
        x: Standardised embeddings of one view, (…, N, d).
        y: Those of the other view, (…, N, d).
        redundancy_weight: λ.
        x_all: x of all W ranks, (…, WN, d), in any order; no gradient goes there. None: there is one rank.
        y_all: y of all ranks, in the same order.
        sum_over_ranks: Sums a tensor over them, for one loss of all.

    Returns:
        Loss, (…), of the batch of all ranks.

    Raises:
        ValueError: x and y have different shapes.
    """
    _check_same_shape('x', x, 'y', y)
    x_all, y_all = (x if x_all is None else x_all).detach(), (y if y_all is None else y_all).detach()
    count = x_all.shape[-2]
    diagonal = sum_over_ranks((x * y).sum(-2) / count)  # (…, d)
    # This rank's rows of both Gram matrices, (…, N, WN).
    own = ((x @ x_all.mT) * (y @ y_all.mT)).sum((-2, -1)) / count**2
    # An embedding stands in a row and in a column of a Gram matrix, whose gradients are equal: twice that of the rows.
    squares = sum_over_ranks(2 * own - own.detach())
    return (1 - diagonal).square().sum(-1) + redundancy_weight * (squares - diagonal.square().sum(-1))


@_full_precision
def projector_cosines(z: Tensor) -> Tensor:
    """Cosines between what M projectors make of the same image: Z of MPCL, Sec. III-B.

    Args:
        z: Embeddings, (M, N, d).

    Returns:
        (N, M, M), symmetric, ones on the diagonal.
    """
    unit = F.normalize(z, dim=2).transpose(0, 1)  # (N, M, d)
    return unit @ unit.mT


@_full_precision
def projector_regularization(z: Tensor, squared: bool = False) -> Tensor:
    """Projector contrastive regularisation (PCR), averaged over the projectors. MPCL, Eq. 2.

    (1/M) Σ_m 1/(M − 1) Σ_{l≠m} cos(z^m_b, z^l_b), mean over the batch. Gradients flow to both. 0 for M = 1.

    Args:
        z: Embeddings of M projectors, (M, N, d).
        squared: Square the cosines: smallest for orthogonal instead of opposed embeddings. Eq. 2 has them signed.

    Returns:
        Loss, ().
    """
    M, N, _ = z.shape
    cosines = projector_cosines(z)
    others = 1 - torch.eye(M, dtype=cosines.dtype, device=cosines.device)
    values = cosines.square() if squared else cosines
    return (values * others).sum() / (N * max(M * (M - 1), 1))


@_full_precision
def training_balance(accuracy: Tensor, epsilon: float = 0.5) -> Tensor:
    """Weights of the projectors' losses from their accuracies: projector training balance (PTB). MPCL, Eq. 3.

    Args:
        accuracy: Mean contrastive accuracy of each projector over the last epoch, in [0, 1], (M,).
        epsilon: Temperature ε; a small one favours the worst projector more.

    Returns:
        Weights w, (M,), positive with sum 1.
    """
    if not epsilon > 0:
        raise ValueError(f'epsilon must be positive, got {epsilon}')
    return ((1 - accuracy) / epsilon).softmax(0)


@_full_precision
def projector_terms(
    losses: Tensor, weights: Tensor, regularization: Tensor, pcr_weight: float = 0.01, literal_eq4: bool = False
) -> tuple[Tensor, Tensor]:
    """The two terms of the total loss: Σ_m w^m L^m and (λ/M) Σ_m PCR^m. MPCL, Eq. 4, as a mean over the batch.

    Eq. 4 read literally has another 1/M before the first sum, although the weights of Eq. 3 sum to one: steps would
    shrink M-fold. With M = 1 and w = 1 the first term is the base framework's own loss, and the second is 0.

    Args:
        losses: Contrastive loss L^m of each projector, (M,).
        weights: w, (M,).
        regularization: (1/M) Σ_m PCR^m, (), from :func:`projector_regularization`.
        pcr_weight: λ.
        literal_eq4: Keep the other 1/M.

    Returns:
        Two losses, (); their sum is the total.
    """
    _check_same_shape('losses', losses, 'weights', weights)
    contrastive = (weights * losses).sum()
    return (contrastive / len(losses) if literal_eq4 else contrastive), pcr_weight * regularization


@_full_precision
def orthogonalize(weight: Tensor) -> Tensor:
    """Make M weight matrices, as vectors, orthogonal to each other; each keeps its length. MPCL, Table II, "Orth.".

    Gram-Schmidt in their order, by a Cholesky factor of their M × M cosines.

    Args:
        weight: (M, out, in), linearly independent.

    Returns:
        (M, out, in).
    """
    vectors = weight.flatten(1)
    lengths = vectors.norm(dim=1, keepdim=True)
    unit = vectors / lengths
    factor = torch.linalg.cholesky_ex(unit @ unit.T)[0]  # the checked form would wait for the device
    return (torch.linalg.solve_triangular(factor, unit, upper=False) * lengths).view_as(weight)


# MSBReg -----------------------------------------------------------------------------------------------------


def _check_views(name: str, p: Tensor, least: int = 1) -> None:
    if p.dim() != 3 or p.shape[0] < least:
        raise ValueError(f'{name} must be (K, N, d) with K of at least {least}, got {tuple(p.shape)}')


@_full_precision
def centroid_loss(p: Tensor, z: Tensor, exclude_self: bool = False) -> Tensor:
    """Squared distance of the unit predictions to the centroid of the unit targets. MSBReg, Eq. 3.

    (1/K) Σ_j ‖p̂_j − (1/K) Σ_l ẑ_l‖², mean over the batch. The centroid is not normalised again. The stop-gradient
    on z is the caller's. Time and memory grow with K, not with its pairs.

    Args:
        p: Predictions of the K views, (K, N, d).
        z: Targets of the K views, (K, N, d).
        exclude_self: The centroid for view j is of the K − 1 targets with l ≠ j. For K = 2 the loss is then half of
            BYOL's symmetric one.

    Returns:
        Loss, ().

    Raises:
        ValueError: Shapes differ, or there is no other view to make a centroid of.
    """
    _check_same_shape('p', p, 'z', z)
    _check_views('p', p, least=2 if exclude_self else 1)
    p, z = F.normalize(p, dim=2), F.normalize(z, dim=2)
    total = z.sum(0, keepdim=True)
    centroid = (total - z) / (len(z) - 1) if exclude_self else total / len(z)  # (K, N, d) or (1, N, d)
    return (p - centroid).square().sum(2).mean()


@_full_precision
def singular_value_loss(
    p: Tensor, normalize: bool = False, sum_over_ranks: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Squared distance of the singular values of the embeddings' covariance from one. MSBReg, Eqs. 5 to 7.

    (1/K) Σ_j ‖S_j − I‖²_F, where S_j is view j's covariance over the batch with divisor n − 1; ‖S_j − I‖²_F is
    Σ_i (σ_ij − 1)².

    Args:
        p: Predictions of the K views, (K, N, d).
        normalize: Take unit vectors. Their covariance has trace 1 at most and can't be the identity: the paper's text
            says p̂, its equations have p.
        sum_over_ranks: Differentiable sum over ranks, ``dist.all_reduce_sum``: n is then the number of images of all
            ranks, and the loss the same on each. None: n = N.

    Returns:
        Loss, ().

    Raises:
        ValueError: p is not (K, N, d), or there are fewer than 2 images. That of all ranks together is not known here:
            of 1 the loss is NaN.
    """
    _check_views('p', p)
    K, N, d = p.shape
    if N < 2 and sum_over_ranks is None:
        raise ValueError(f'a covariance is over at least 2 images, got {N}')
    if normalize:
        p = F.normalize(p, dim=2)
    add = sum_over_ranks or _identity
    # Two passes, first the mean: E pp' − E p E p' would lose a small variance around a large mean. The scatter's
    # derivative by the mean is zero, so the mean needs no gradient.
    first = add(torch.cat([p.detach().sum(1).flatten(), p.new_full((1,), N)]))
    n, mean = first[-1], first[:-1].view(K, 1, d) / first[-1]
    centred = p - mean
    S = add(centred.transpose(1, 2) @ centred) / (n - 1)  # (K, d, d), Eq. 5
    return (S - torch.eye(d, dtype=S.dtype, device=S.device)).square().sum() / K  # Eq. 6


@_full_precision
def brownian_loss(p: Tensor, noise: Tensor) -> Tensor:
    """Push each image's unit predictions along a random direction of its own. MSBReg, Eq. 4.

    (1/K) Σ_j ⟨n̂, p̂_j⟩, mean over the batch.

    Args:
        p: Predictions of the K views, (K, N, d).
        noise: A Gaussian vector an image, (N, d), shared by its views; made a unit vector here.

    Returns:
        Loss, () in [−1, 1].

    Raises:
        ValueError: p is not (K, N, d), or the noise does not go with it.
    """
    _check_views('p', p)
    if noise.shape != p.shape[1:]:
        raise ValueError(f'noise must be (N, d) = {tuple(p.shape[1:])}, got {tuple(noise.shape)}')
    return (F.normalize(p, dim=2) * F.normalize(noise.to(p.dtype), dim=1)).sum(2).mean()


@_full_precision
def multi_crop_loss(p: Tensor, z: Tensor) -> Tensor:
    """BYOL with multi-crop: every view predicts every large one but itself. MSBReg, Sec. 4.4.

    Σ_{i ≠ j} ‖p̂_i − ẑ_j‖² over views i and large views j, mean over the batch. The large views come first in p. Two
    large views alone give BYOL's symmetric loss. Time and memory grow with the number of views, not with the pairs.

    Args:
        p: Predictions of all views, (V + L, N, d).
        z: Targets of the L large views, (L, N, d).

    Returns:
        Loss, (): a sum over the L(V + L) − L pairs.

    Raises:
        ValueError: The shapes do not go together.
    """
    _check_views('z', z)
    _check_views('p', p, least=max(2, len(z)))
    if p.shape[1:] != z.shape[1:]:
        raise ValueError(f'p {tuple(p.shape)} and z {tuple(z.shape)} must agree in N and d')
    pairs = len(p) * len(z) - len(z)
    p, z = F.normalize(p, dim=2), F.normalize(z, dim=2)
    cosines = (p.sum(0) * z.sum(0)).sum(1) - (p[: len(z)] * z).sum((0, 2))  # (N,)
    return 2 * pairs - 2 * cosines.mean()


# Measures of a representation -------------------------------------------------------------------------------


def _check_features(x: Tensor, least: int = 1) -> None:
    if x.dim() != 2 or len(x) < least:
        raise ValueError(f'features must be (N, d) with N of at least {least}, got {tuple(x.shape)}')


@_full_precision
def alignment(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared distance of positive pairs on the unit sphere. Wang and Isola 2020, Sec. 4.1, α = 2.

    Args:
        x: Features of one view, (N, d).
        y: Features of the other view of the same images, (N, d).

    Returns:
        A scalar in [0, 4]; lower is better aligned.

    Raises:
        ValueError: x or y is not (N, d), or they differ in shape.
    """
    _check_features(x)
    _check_same_shape('x', x, 'y', y)
    return (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean()


@_full_precision
def uniformity(x: Tensor, t: float = 2) -> Tensor:
    """Log of the mean Gaussian potential over pairs on the unit sphere. Wang and Isola 2020, Sec. 4.1.

    log mean_{i<j} e^{−t‖x_i − x_j‖²}. Time and memory grow with N².

    Args:
        x: Features, (N, d), N ≥ 2.
        t: Width of the potential.

    Returns:
        A scalar in [−4t, 0]; lower is more uniform.

    Raises:
        ValueError: x is not (N, d), or there is no pair.
    """
    _check_features(x, least=2)
    x = F.normalize(x, dim=1)
    # ‖x_i − x_j‖² = 2 − 2⟨x_i, x_j⟩. Not by pdist, whose backward pass takes N²d numbers on a GPU.
    exponents = (2 * t * (x @ x.mT - 1)).masked_fill(
        torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).triu(), -math.inf
    )
    return exponents.flatten().logsumexp(0) - math.log(len(x) * (len(x) - 1) / 2)


@_full_precision
def rank_me(x: Tensor) -> Tensor:
    """RankMe, the effective rank of a feature matrix. Garrido et al. 2023, Eq. 1.

    exp(−Σ p log p) with p = σ/‖σ‖₁ + 1e-7 and σ the singular values of x (neither centred nor normalised).

    Args:
        x: Features, (N, d).

    Returns:
        A scalar in [1, min(N, d)], up to the 1e-7.

    Raises:
        ValueError: x is not (N, d).
    """
    _check_features(x)
    sigma = torch.linalg.svdvals(x)  # (min(N, d),)
    p = sigma / sigma.sum().clamp_min(torch.finfo(x.dtype).tiny) + 1e-7
    return (-p * p.log()).sum().exp()


@_full_precision
def covariance_spectrum(x: Tensor) -> Tensor:
    """Singular values of the covariance of unit features, times d. MSBReg, Eq. 7's σ, on the unit sphere.

    Features spread evenly over the sphere have 1 everywhere; a collapse of dimensions shows as zeros at the end.

    Args:
        x: Features, (N, d), N ≥ 2.

    Returns:
        (d,) in falling order; of fewer than d + 1 images, the last are 0.

    Raises:
        ValueError: x is not (N, d), or there are fewer than 2 images.
    """
    _check_features(x, least=2)
    N, d = x.shape
    x = F.normalize(x, dim=1)
    sigma = torch.linalg.svdvals(x - x.mean(0)).square() * (d / (N - 1))  # (min(N, d),)
    return F.pad(sigma, (0, d - len(sigma)))


def group_entropy(assignment: Tensor, labels: Tensor, num_groups: int) -> Tensor:
    """Entropy of the classes within each group. SMoG, Sec. 4.4, "Grouping quality".

    Args:
        assignment: Group of each image, (N,) int64 in [0, l).
        labels: Class of each image, (N,) int64, from 0.
        num_groups: Number of groups l.

    Returns:
        −Σ_i p_i log p_i of each group, in nats, (l,) float64; NaN where a group is empty.
    """
    num_classes = int(labels.max()) + 1
    counts = torch.bincount(assignment * num_classes + labels, minlength=num_groups * num_classes)
    shares = counts.view(num_groups, num_classes).double()
    shares = shares / shares.sum(1, keepdim=True)  # 0 / 0 in empty groups
    return torch.special.entr(shares).sum(1)
