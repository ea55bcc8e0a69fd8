"""MSBReg: Moon et al. 2022, An Embedding-Dynamic Approach to Self-Supervised Learning."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_same_shape
from ._derivatives import once_differentiable
from ._precision import full_precision


def _check_views(name: str, p: Tensor, least: int = 1) -> None:
    if p.dim() != 3 or p.shape[0] < least:
        raise ValueError(f'{name} must be (K, N, d) with K of at least {least}, got {tuple(p.shape)}')


@full_precision
def centroid_loss(p: Tensor, z: Tensor, exclude_self: bool = False) -> Tensor:
    """Squared distance from the unit predictions to the centroid of the unit targets. MSBReg, Eq. 3.

    (1/K) Σ_j ‖p̂_j − (1/K) Σ_l ẑ_l‖², mean over the batch. The centroid is not normalized again. The caller must
    stop the gradient on z. Time and memory grow with K, not with the number of pairs.

    Args:
        p: Predictions of the K views, (K, N, d).
        z: Targets of the K views, (K, N, d).
        exclude_self: Whether the centroid of view j leaves out its own target, l = j. For K = 2 the loss is then half
            of BYOL's symmetric loss.

    Returns:
        Loss, ().

    Raises:
        ValueError: Shapes differ, or ``exclude_self`` leaves no view for the centroid.
    """
    check_same_shape('p', p, 'z', z)
    _check_views('p', p, least=2 if exclude_self else 1)
    p, z = F.normalize(p, dim=2), F.normalize(z, dim=2)
    total = z.sum(0, keepdim=True)
    centroid = (total - z) / (len(z) - 1) if exclude_self else total / len(z)  # (K, N, d) or (1, N, d)
    return (p - centroid).square().sum(2).mean()


@full_precision
def singular_value_loss(
    p: Tensor, normalize: bool = False, sum_over_ranks: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Squared distance of the singular values of the embeddings' covariance from one. MSBReg, Eqs. 5 to 7.

    (1/K) Σ_j ‖S_j − I‖²_F, where S_j is view j's covariance over the batch with divisor n − 1; ‖S_j − I‖²_F is
    Σ_i (σ_ij − 1)².

    Args:
        p: Predictions of the K views, (K, N, d).
        normalize: Whether to normalize the predictions first. The covariance of unit vectors has trace 1 at most and
            cannot be the identity; the paper has p̂ in its text and p in its equations.
        sum_over_ranks: Differentiable sum over ranks, ``dist.all_reduce_sum``. n is then the number of images on all
            ranks, and the loss is the same on each; second derivatives raise an error. With None, n = N.

    Returns:
        Loss, ().

    Raises:
        ValueError: p is not (K, N, d), or there are fewer than 2 images. With ``sum_over_ranks`` their number is not
            known here; the loss of one image is NaN.
    """
    _check_views('p', p)
    K, N, d = p.shape
    if N < 2 and sum_over_ranks is None:
        raise ValueError(f'a covariance needs at least 2 images, got {N}')
    if normalize:
        p = F.normalize(p, dim=2)
    add = sum_over_ranks or (lambda x: x)
    # The mean takes a pass of its own, because E pp' − E p E p' would lose a small variance around a large mean. The
    # derivative of the scatter with respect to the mean is zero, so the mean needs no gradient, except in a second
    # derivative.
    first = add(torch.cat([p.detach().sum(1).flatten(), p.new_full((1,), N)]))
    n, mean = first[-1], first[:-1].view(K, 1, d) / first[-1]
    centered = p - mean
    scatter = centered.transpose(1, 2) @ centered  # (K, d, d)
    if sum_over_ranks is None:
        # Around a constant c, S has Σ (p − c)(p − c)' − n (m − c)(m − c)'. With c equal to the mean m, the last term is
        # zero and has no first derivative.
        shift = p.mean(1, keepdim=True)
        shift = shift - shift.detach()  # (K, 1, d)
        scatter = scatter - N * shift.mT @ shift
    else:
        scatter = once_differentiable(scatter, 'singular_value_loss with sum_over_ranks')
    S = add(scatter) / (n - 1)  # (K, d, d), Eq. 5
    return (S - torch.eye(d, dtype=S.dtype, device=S.device)).square().sum() / K  # Eq. 6


@full_precision
def brownian_loss(p: Tensor, noise: Tensor) -> Tensor:
    """Push each image's unit predictions along its own random direction. MSBReg, Eq. 4.

    (1/K) Σ_j ⟨n̂, p̂_j⟩, mean over the batch.

    Args:
        p: Predictions of the K views, (K, N, d).
        noise: One Gaussian vector per image, (N, d), shared by its views; normalized here.

    Returns:
        Loss, () in [−1, 1].

    Raises:
        ValueError: p is not (K, N, d), or the shape of the noise does not match.
    """
    _check_views('p', p)
    if noise.shape != p.shape[1:]:
        raise ValueError(f'noise must be (N, d) = {tuple(p.shape[1:])}, got {tuple(noise.shape)}')
    return (F.normalize(p, dim=2) * F.normalize(noise.to(p.dtype), dim=1)).sum(2).mean()


@full_precision
def multi_crop_loss(p: Tensor, z: Tensor) -> Tensor:
    """BYOL with multi-crop: every view predicts every target but its own. MSBReg, Eq. 1 and Sec. 4.4.

    Σ_{i ≠ j} ‖p̂_i − ẑ_j‖², mean over the batch, over the views i and the targets j, which are the first T views. In the
    paper all V + 2 views are targets, T = K: 56 pairs for V = 6. In the usual form the two large views are, T = 2: 14
    pairs. Two views alone give BYOL's symmetric loss. Time and memory grow with the number of views, not of pairs.

    Args:
        p: Predictions of all K views, (K, N, d).
        z: Targets of the first T views in p, (T, N, d), T ≤ K.

    Returns:
        Loss, (): a sum over the T(K − 1) pairs, as printed.

    Raises:
        ValueError: The shapes do not match.
    """
    _check_views('z', z)
    _check_views('p', p, least=max(2, len(z)))
    if p.shape[1:] != z.shape[1:]:
        raise ValueError(f'p {tuple(p.shape)} and z {tuple(z.shape)} must agree in N and d')
    pairs = len(p) * len(z) - len(z)
    p, z = F.normalize(p, dim=2), F.normalize(z, dim=2)
    cosines = (p.sum(0) * z.sum(0)).sum(1) - (p[: len(z)] * z).sum((0, 2))  # (N,)
    return 2 * pairs - 2 * cosines.mean()
