"""The equations of the papers, and the measures of a representation, as pure functions.

Inputs are raw (not normalised), results are averaged over everything they average over. No function
communicates between ranks, and all are differentiable in every floating argument. float16 and bfloat16
arguments are computed in float32, also under autocast; float32 and float64 stay what they are.

Shape letters: N images, D backbone channels, L = HW positions, d channels of the global embedding and
number of maps, h channel groups, K = d/h aligned embeddings an image, c channels of each, Q queue length, l groups
of images.
"""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

_Function = TypeVar('_Function', bound=Callable[..., Tensor | tuple[Tensor, ...]])


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
def info_nce(q: Tensor, k: Tensor, queue: Tensor, tau: float, unit_queue: bool = False) -> Tensor:
    """InfoNCE with a queue of negatives. LEWEL, Eq. 4; MPCL, Eq. 1; He et al. 2020 (MoCo), Eq. 1.

    −log( e^{cos(q,k)/τ} / (e^{cos(q,k)/τ} + Σ_j e^{cos(q, queue_j)/τ}) ), mean over the batch.

    Args:
        q: Queries, (N, d).
        k: Their positive keys, (N, d).
        queue: Negative keys as columns, (d, Q).
        tau: Temperature τ.
        unit_queue: The keys of the queue are unit vectors already: a long queue takes longer to normalise than to
            compare with.

    Returns:
        Loss, ().
    """
    _check_same_shape('q', q, 'k', k)
    _check_temperature(tau)
    if queue.shape[0] != q.shape[1]:
        raise ValueError(f'queue must be (d, Q) with d = {q.shape[1]}, got {tuple(queue.shape)}')
    q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    if not unit_queue:
        queue = F.normalize(queue, dim=0)
    positive = (q * k).sum(1) / tau  # (N,)
    negatives = (q @ queue / tau).logsumexp(1)  # (N,)
    # −log(e^p / (e^p + e^n)) = −log σ(p − n): no (N, 1 + Q) concatenation.
    return -F.logsigmoid(positive - negatives).mean()


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

    Over ranks, the update of the groups is :func:`move_groups` of the sums over ranks of both.

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


@_full_precision
def move_groups(groups: Tensor, sums: Tensor, counts: Tensor, beta: float | Tensor) -> Tensor:
    """Move unit groups towards the mean of what is assigned to them. SMoG, Eq. 4, with the normalisation it omits.

    g_k ← normalise(β g_k + (1 − β) mean_k) for the groups with members; the others stay as they are, bit for bit.

    Args:
        groups: Unit group features, (l, d).
        sums: Sums of the unit features assigned to each group, (l, d).
        counts: Their numbers, (l,).
        beta: Momentum β in [0, 1]: a number, a scalar, or (l, 1) for one a group.

    Returns:
        Groups, (l, d), unit rows.
    """
    share = (1 - beta) / counts.clamp_min(1)[:, None]  # (l, 1): fewer passes over (l, d) than the mean takes
    moved = F.normalize(torch.addcmul(beta * groups, share.to(sums.dtype), sums), dim=1)
    return torch.where(counts[:, None] > 0, moved, groups)


@_full_precision
def update_groups(groups: Tensor, z: Tensor, assignment: Tensor, beta: float | Tensor) -> Tensor:
    """Synchronous momentum grouping: the groups after a step's features. SMoG, Eq. 4.

    Features are normalised before they are averaged.

    Args:
        groups: Group features G, (l, d).
        z: Features, (N, d).
        assignment: Group of each feature, (N,) int64.
        beta: Momentum β in [0, 1].

    Returns:
        Groups, (l, d), unit rows, differentiable in z.

    Raises:
        ValueError: Shapes do not fit, or β is a number outside [0, 1].
    """
    _check_groups(z, groups)
    if not isinstance(beta, Tensor) and not 0 <= beta <= 1:
        raise ValueError(f'beta is a momentum and must be in [0, 1], got {beta}')
    return move_groups(F.normalize(groups, dim=1), *group_sums(z, assignment, len(groups)), beta)


@_full_precision
def adopt_random(groups: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
    """Put randomly selected features in the place of groups. SMoG, Table 7d, "Randomly select".

    With N ≥ l features all groups are replaced; with fewer, the paper leaves open which: as many groups, at random.

    Args:
        groups: Unit group features, (l, d).
        z: Features, (N, d).
        generator: Of the draw, on their device.

    Returns:
        Groups, (l, d), unit rows, differentiable in z.
    """
    count = min(len(groups), len(z))
    rows = torch.randperm(len(z), generator=generator, device=z.device)[:count]
    places = torch.randperm(len(groups), generator=generator, device=z.device)[:count]
    return groups.index_copy(0, places, F.normalize(z, dim=1)[rows].to(groups.dtype))


@_full_precision
def group_contrast(p: Tensor, groups: Tensor, assignment: Tensor, tau: float, unit_groups: bool = False) -> Tensor:
    """Cross-entropy of the cosines to all groups against the assigned one. SMoG, Eq. 3.

    −log( e^{cos(p, g_c)/τ} / Σ_j e^{cos(p, g_j)/τ} ), mean over the batch.

    Args:
        p: Predictions, (N, d).
        groups: Group features G, after this step's update, (l, d).
        assignment: Group c of each image, from the other view, (N,) int64.
        tau: Temperature τ.
        unit_groups: The groups are unit vectors already, as :func:`update_groups` returns them.

    Returns:
        Loss, ().
    """
    _check_groups(p, groups, 'p')
    _check_temperature(tau)
    if not unit_groups:
        groups = F.normalize(groups, dim=1)
    return F.cross_entropy(F.normalize(p, dim=1) @ groups.T / tau, assignment)


# Measures of a representation -------------------------------------------------------------------------------


@_full_precision
def alignment(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared distance of positive pairs on the unit sphere. Wang and Isola 2020, Sec. 4.1, α = 2.

    Args:
        x: Features of one view, (N, d).
        y: Features of the other view of the same images, (N, d).

    Returns:
        A scalar in [0, 4]; lower is better aligned.
    """
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
    """
    N = x.shape[0]
    if N < 2:
        raise ValueError(f'uniformity is over pairs: x must hold at least 2 rows, got {N}')
    squared_distances = F.pdist(F.normalize(x, dim=1)).square()  # (N(N−1)/2,)
    return squared_distances.mul(-t).logsumexp(0) - torch.log(x.new_tensor(float(squared_distances.numel())))


@_full_precision
def rank_me(x: Tensor) -> Tensor:
    """RankMe, the effective rank of a feature matrix. Garrido et al. 2023, Eq. 1.

    exp(−Σ p log p) with p = σ/‖σ‖₁ + 1e-7 and σ the singular values of x (neither centred nor normalised).

    Args:
        x: Features, (N, d).

    Returns:
        A scalar in [1, min(N, d)], up to the 1e-7.
    """
    sigma = torch.linalg.svdvals(x)  # (min(N, d),)
    p = sigma / sigma.sum().clamp_min(torch.finfo(x.dtype).tiny) + 1e-7
    return (-p * p.log()).sum().exp()


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
    return -torch.special.xlogy(shares, shares).sum(1)
