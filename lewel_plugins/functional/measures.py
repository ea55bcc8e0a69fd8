"""Measures of a representation."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_same_shape
from ._precision import full_precision


def _check_features(x: Tensor, least: int = 1) -> None:
    if x.dim() != 2 or len(x) < least:
        raise ValueError(f'features must be (N, d) with N of at least {least}, got {tuple(x.shape)}')


@full_precision
def alignment(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared distance of positive pairs on the unit sphere. Wang and Isola 2020, Sec. 4.1, α = 2.

    Args:
        x: Features of one view, (N, d).
        y: Features of the other view of the same images, (N, d).

    Returns:
        A scalar in [0, 4]; lower means better aligned.

    Raises:
        ValueError: x or y is not (N, d), or they differ in shape.
    """
    _check_features(x)
    check_same_shape('x', x, 'y', y)
    return (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean()


@full_precision
def uniformity(x: Tensor, t: float = 2) -> Tensor:
    """Log of the mean Gaussian potential over pairs on the unit sphere. Wang and Isola 2020, Sec. 4.1.

    log mean_{i<j} e^{−t‖x_i − x_j‖²}. Time and memory grow with N².

    Args:
        x: Features, (N, d), N ≥ 2.
        t: Width of the potential.

    Returns:
        A scalar in [−4t, 0]; lower means more uniform.

    Raises:
        ValueError: x is not (N, d), or there is no pair.
    """
    _check_features(x, least=2)
    x = F.normalize(x, dim=1)
    # ‖x_i − x_j‖² = 2 − 2⟨x_i, x_j⟩. The backward pass of pdist would need N²d numbers on a GPU.
    exponents = (2 * t * (x @ x.mT - 1)).masked_fill(
        torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).triu(), -math.inf
    )
    return exponents.flatten().logsumexp(0) - math.log(len(x) * (len(x) - 1) / 2)


_COLUMNS = 4096  # at a time, because a copy of M wide projectors in float64 takes gigabytes


def _gram_of_images(x: Tensor) -> Tensor:
    """Return xxᵀ in float64, (N, N)."""
    gram = x.new_zeros(len(x), len(x), dtype=torch.double)
    for part in x.split(_COLUMNS, 1):
        gram.addmm_(part.double(), part.double().mT)
    return gram


def _effective_rank(sigma: Tensor) -> Tensor:
    p = sigma / sigma.sum().clamp_min(torch.finfo(sigma.dtype).tiny) + 1e-7
    return (-p * p.log()).sum().exp()


def _scaled_spectrum(sigma: Tensor, N: int, d: int) -> Tensor:
    return F.pad(sigma.square() * (d / (N - 1)), (0, d - len(sigma)))


@full_precision
def rank_me(x: Tensor) -> Tensor:
    """RankMe, the effective rank of a feature matrix. Garrido et al. 2023 (RankMe), Eq. 1.

    exp(−Σ p log p) with p = σ/‖σ‖₁ + 1e-7 and σ the singular values of x (neither centered nor normalized).

    Args:
        x: Features, (N, d).

    Returns:
        A scalar in [1, min(N, d)], apart from the effect of the 1e-7.

    Raises:
        ValueError: x is not (N, d).
    """
    _check_features(x)
    return _effective_rank(torch.linalg.svdvals(x))


@full_precision
def covariance_spectrum(x: Tensor) -> Tensor:
    """Singular values of the covariance of unit features, times d. The σ of MSBReg, Eq. 7, on the unit sphere.

    Features spread evenly over the sphere have 1 everywhere; collapsed dimensions have zeros at the end.

    Args:
        x: Features, (N, d), N ≥ 2.

    Returns:
        (d,) in descending order; with fewer than d + 1 images, the last ones are 0.

    Raises:
        ValueError: x is not (N, d), or there are fewer than 2 images.
    """
    _check_features(x, least=2)
    N, d = x.shape
    x = F.normalize(x, dim=1)
    return _scaled_spectrum(torch.linalg.svdvals(x - x.mean(0)), N, d)


@full_precision
def rank_me_and_spectrum(x: Tensor) -> tuple[Tensor, Tensor]:
    """RankMe and the spectrum of the covariance, fast on a GPU. Garrido et al. 2023 (RankMe), Eq. 1; MSBReg, Eq. 7.

    These are :func:`rank_me` and :func:`covariance_spectrum` without gradient. A GPU computes singular values of wide
    matrices slowly, by Jacobi rotations. The eigenvalues of a Gram matrix in float64 are their squares, with errors far
    below those of features in float32; features in float64 need the singular values. If there are no more images than
    channels, both measures need the same Gram matrix, which also holds the norms of the images and their mean.

    Args:
        x: Features, (N, d), N ≥ 2.

    Returns:
        A scalar and (d,), in the dtype of x.

    Raises:
        ValueError: x is not (N, d), or there are fewer than 2 images.
    """
    _check_features(x, least=2)
    N, d = x.shape
    x = x.detach()
    if x.dtype == torch.double:
        return rank_me(x), covariance_spectrum(x)
    if d >= N:
        gram = _gram_of_images(x)  # (N, N)
        inverse_norms = gram.diagonal().sqrt().clamp_min(1e-12).reciprocal()  # as in F.normalize
        unit = gram * inverse_norms * inverse_norms[:, None]
        rows = unit.mean(0)
        centered = unit - rows - rows[:, None] + rows.mean()
    else:
        wide = x.double()
        gram = wide.mT @ wide  # (d, d)
        unit = F.normalize(wide, dim=1)
        unit -= unit.mean(0)
        centered = unit.mT @ unit
    sigma, sigma_centered = (torch.linalg.eigvalsh(g).flip(0).clamp_min(0).sqrt() for g in (gram, centered))
    return _effective_rank(sigma).to(x.dtype), _scaled_spectrum(sigma_centered, N, d).to(x.dtype)


@full_precision
def lidar(x: Tensor, delta: float = 1e-4) -> Tensor:
    """LiDAR, the effective rank of what tells images apart beside what changes from view to view. Thilak et al. 2024.

    The classes of a linear discriminant analysis are n images, and the samples of a class are the embeddings e_ij of q
    augmented views of an image. With μ_i the mean over the views of image i, and μ that of all:

    Σ_b = Σ_i (μ_i − μ)(μ_i − μ)ᵀ / (n − 1),  Σ_w = Σ_ij (e_ij − μ_i)(e_ij − μ_i)ᵀ / (n(q − 1)) + δI

    The measure is the effective rank of Garrido et al. 2023 (RankMe), Eq. 1, exp(−Σ p log p) with p = λ/‖λ‖₁ + 1e-7, of
    the eigenvalues λ of Σ_w^{−1/2} Σ_b Σ_w^{−1/2}. It is computed in float64. For large d its cost grows with
    min(d, nq)³.

    The paper was not at hand when this was written: the divisors n − 1 and n(q − 1) are a guess.

    With few views per image, the mean of their noise is in Σ_b and raises the measure: by 1/q in each λ. If all
    embeddings are equal but for rounding, it measures the rounding.

    Args:
        x: Embeddings of q views of each of n images, (n, q, d), n ≥ 2, q ≥ 2.
        delta: Variance δ > 0 that is added in each direction, in the unit of squared embeddings.

    Returns:
        A scalar in [1, min(n − 1, d)], apart from the effect of the 1e-7.

    Raises:
        ValueError: x is not (n, q, d), there are fewer than 2 images or views, or delta is not positive.
    """
    if x.dim() != 3 or min(x.shape[:2]) < 2:
        raise ValueError(f'embeddings must be (n, q, d) with n and q of at least 2, got {tuple(x.shape)}')
    if not delta > 0:
        raise ValueError(f'delta must be positive, got {delta}')
    n, q, d = x.shape
    rows = x.double()
    if d > n * q:  # in a basis of the rows, the rest of the space has λ = 0
        rows = torch.linalg.qr(rows.flatten(0, 1).mT).R.mT.unflatten(0, (n, q))
    means = rows.mean(1)
    between = (means - means.mean(0)) / math.sqrt(n - 1)
    within = (rows - means[:, None]).flatten(0, 1) / math.sqrt(n * (q - 1))
    scatter = within.mT @ within + delta * torch.eye(rows.shape[2], dtype=rows.dtype, device=rows.device)
    # Σ_w = LLᵀ: the squared singular values of L⁻¹B, with Σ_b = BBᵀ, are the eigenvalues.
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(scatter), between.mT, upper=False)
    gram = whitened.mT @ whitened if n < rows.shape[2] else whitened @ whitened.mT
    return _effective_rank(torch.linalg.eigvalsh(gram).clamp_min(0)).to(x.dtype)


@full_precision
def hsic(x: Tensor) -> Tensor:
    """Similarity of the Gram matrices of M embeddings: an unbiased HSIC. Kornblith et al. 2019 (CKA), Eq. 3.

    The kernel is linear on unit embeddings. The biased HSIC of the paper depends on N: for independent embeddings of d
    channels, its CKA is about d/(N + d). This is the estimate of Song et al. 2012, which Nguyen et al. 2021 average
    over batches: ⟨K̃_m, K̃_l⟩/(N(N − 3)), where K̃ is U-centered: off the diagonal, rows and columns have mean zero.

    Args:
        x: Embeddings of the same N images by M networks, (M, N, d).

    Returns:
        (M, M), symmetric. With fewer than four images there is no estimate, and it is 0.

    Raises:
        ValueError: x is not (M, N, d).
    """
    if x.dim() != 3:
        raise ValueError(f'embeddings must be (M, N, d), got {tuple(x.shape)}')
    M, N, _ = x.shape
    if N < 4:
        return x.new_zeros(M, M)
    unit = F.normalize(x, dim=2)
    diagonal = torch.eye(N, dtype=torch.bool, device=x.device)
    gram = (unit @ unit.mT).masked_fill(diagonal, 0)  # (M, N, N)
    rows = gram.sum(2, keepdim=True) / (N - 2)  # (M, N, 1)
    total = rows.sum(1, keepdim=True) / (N - 1)
    centered = (gram - rows - rows.mT + total).masked_fill(diagonal, 0).flatten(1)
    return centered @ centered.mT / (N * (N - 3))


def cka(similarity: Tensor) -> Tensor:
    """Centered kernel alignment between M embeddings. Kornblith et al. 2019 (CKA), Eq. 4.

    Args:
        similarity: HSIC between them, or its sum over batches, (M, M), see :func:`hsic`.

    Returns:
        (M, M) with ones on the diagonal, at most 1, for independent embeddings about 0, which may be exceeded on both
        sides; NaN for an embedding that is the same for all images.
    """
    scale = similarity.diagonal().rsqrt()
    return similarity * scale * scale[:, None]


def mutual_information(counts: Tensor) -> Tensor:
    """Mutual information of two discrete variables.

    Σ_ij p_ij log(p_ij / (p_i p_j)) with p_ij the share of cell (i, j). Counts of few samples overestimate it, so it
    needs a reference from shuffled samples.

    Args:
        counts: Number of samples with each pair of values, (l, Q).

    Returns:
        A scalar in nats, float64, in [0, log min(l, Q)]; NaN without a sample.

    Raises:
        ValueError: counts is not (l, Q).
    """
    if counts.dim() != 2:
        raise ValueError(f'counts must be (l, Q), got {tuple(counts.shape)}')
    shares = counts.double() / counts.sum()
    # Σ p log p over cells, less the same over rows and columns: entr(p) = −p log p is 0 at 0.
    of_rows, of_columns, of_cells = (torch.special.entr(p).sum() for p in (shares.sum(1), shares.sum(0), shares))
    return of_rows + of_columns - of_cells


def participation_ratio(covariance: Tensor) -> Tensor:
    """Participation ratio of features: a number of dimensions over which their variance is spread.

    (Σ_i λ_i)² / Σ_i λ_i² with λ the eigenvalues of the covariance, which needs only its trace and its norm.

    Args:
        covariance: Covariance of the features, (d, d), up to a factor.

    Returns:
        A scalar in [1, d]; 0 if all features are equal.

    Raises:
        ValueError: covariance is not (d, d).
    """
    if covariance.dim() != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f'covariance must be (d, d), got {tuple(covariance.shape)}')
    return covariance.trace().square() / covariance.square().sum().clamp_min(torch.finfo(covariance.dtype).tiny)


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
