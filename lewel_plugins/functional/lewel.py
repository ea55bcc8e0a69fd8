"""LEWEL: Huang et al. 2022, Learning Where to Learn in Cross-View Self-Supervised Learning."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_same_shape, check_temperature
from ._precision import full_precision


@full_precision
def alignment_maps(heat: Tensor, scale: float = 1.0) -> Tensor:
    """Turn heat maps into alignment maps. LEWEL, Sec. 3.2.

    Each position's d heat values are divided by their L2 norm, then each map is a softmax over positions.

    Args:
        heat: Heat maps W̃, (N, d, L).
        scale: Factor of the normalized heat before the softmax; 1 in the paper.

    Returns:
        Maps W, (N, d, L): non-negative, each sums to one over L.
    """
    return (scale * F.normalize(heat, dim=1)).softmax(dim=2)


def aligned_pooling(f: Tensor, maps: Tensor, num_groups: int) -> Tensor:
    """Pool features by alignment maps, with channel grouping. LEWEL, Eqs. 1 and 2.

    Aligned representation k takes channel group g of f under map kh + g (both counted from 0).

    Args:
        f: Features F, (N, D, L). A transposed (N, L, D) tensor, such as that of a channels_last map, is not copied.
        maps: Alignment maps W, (N, d, L).
        num_groups: Number of channel groups h; divides D and d.

    Returns:
        Aligned representations y, (N, d/h, D), in the dtype of autocast or of f, to which the maps are rounded.
        Products are accumulated in float32 or wider. ``LEWELNeck`` pools maps less their mean 1/L, which have smaller
        rounding errors.

    Raises:
        ValueError: D or d is not a multiple of h, or N or L differ.
    """
    (N, D, L), (N_maps, d, L_maps), h = f.shape, maps.shape, num_groups
    if (N_maps, L_maps) != (N, L):
        raise ValueError(
            f'f (N, D, L) and maps (N, d, L) must agree in N and L, got {tuple(f.shape)} and {tuple(maps.shape)}'
        )
    if h < 1 or D % h or d % h:
        raise ValueError(f'num_groups must divide D = {D} and d = {d}, got {h}')
    f_groups = f.reshape(N, h, D // h, L)
    map_groups = maps.to(f.dtype).reshape(N, d // h, h, L)
    return torch.einsum('nkgl,ngcl->nkgc', map_groups, f_groups).reshape(N, d // h, D)


@full_precision
def aligned_info_nce(q: Tensor, k: Tensor, tau: float) -> Tensor:
    """InfoNCE on aligned embeddings. LEWEL, Eq. 4 as used for L_a.

    The positive of q[n, i] is k[n, i]; its negatives are all (N − 1)K keys of the *other* images. The other
    keys of the same image are neither positive nor negative. The batch is that of one rank, as in the paper.

    Args:
        q: Aligned embeddings of one view, (N, K, c).
        k: Aligned keys of the other view, (N, K, c).
        tau: Temperature τ.

    Returns:
        Loss, (), mean over images and embeddings.

    Raises:
        ValueError: Shapes differ, or there is only one image and thus no negative.
    """
    check_same_shape('q', q, 'k', k)
    check_temperature(tau)
    N, K, _ = q.shape
    if N < 2:
        raise ValueError(f'the negatives are the other images of the batch, which must hold at least 2, got {N}')
    q, k = F.normalize(q, dim=2), F.normalize(k, dim=2)
    positive = (q * k).sum(2) / tau  # (N, K)
    logits = (q.flatten(0, 1) @ k.flatten(0, 1).T / tau).view(N, K, N, K)
    same_image = torch.eye(N, dtype=torch.bool, device=q.device).view(N, 1, N, 1)
    negatives = logits.masked_fill_(same_image, float('-inf')).flatten(2).logsumexp(2)  # (N, K)
    return -F.logsigmoid(positive - negatives).mean()


@full_precision
def cosine_mse(p: Tensor, z: Tensor) -> Tensor:
    """Squared distance of unit vectors, 2 − 2 cos(p, z). LEWEL, Eq. 5; Grill et al. 2020 (BYOL), Eq. 2.

    The caller must stop the gradient on z.

    Args:
        p: Predictions, (N, d), or any (…, d).
        z: Targets, of the same shape.

    Returns:
        Loss, (), mean over all but the last dimension.
    """
    check_same_shape('p', p, 'z', z)
    return 2 - 2 * (F.normalize(p, dim=-1) * F.normalize(z, dim=-1)).sum(-1).mean()
