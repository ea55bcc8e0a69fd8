"""MPCL: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple Projectors."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_same_shape
from ._derivatives import once_differentiable
from ._precision import full_precision
from .contrastive import _identity, standardize

PCR_FORMS = ('cross_correlation', 'cosine', 'squared_cosine', 'within_projector')


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
def projector_regularization(
    z: Tensor,
    form: str = 'cross_correlation',
    z_all: Tensor | None = None,
    sum_over_ranks: Callable[[Tensor], Tensor] = _identity,
    standardized: bool = False,
) -> Tensor:
    """Projector contrastive regularization (PCR), averaged over the projectors: (1/M) Σ_m PCR^m. MPCL, Eq. 2.

    The paper prints a cosine and calls it "the cross-correlation matrix computed between the outputs of the two
    different projectors". The forms of PCR^m are:

    - ``cross_correlation``: 1/(M − 1) Σ_{l≠m} ‖C^{m,l}‖²_F / d with C^{m,l} = Y_mᵀY_l / N, (d, d), of the embeddings
      Y_m standardized over the batch. Independent projectors have about d/N, equal ones at least 1;
    - ``cosine``: 1/(M − 1) Σ_{l≠m} cos(z^m_b, z^l_b) as printed, mean over the batch. A contrastive loss leaves the
      rotation of an embedding open, so projectors that differ in a rotation alone reach its minimum;
    - ``squared_cosine``: the same with squared cosines, whose minimum are orthogonal embeddings;
    - ``within_projector``: ‖C^{m,m} without its diagonal‖²_F / d. A control, not of the paper: it decorrelates the
      channels of each projector and compares no projectors.

    Gradients flow into all projectors. For M = 1 it is 0, except for ``within_projector``.

    Args:
        z: Embeddings of M projectors, (M, N, d).
        form: One of the above. The cosines are those of this rank's images.
        z_all: For the other two forms, ``z`` of all W ranks, (M, WN, d), in any order, without gradient; None for one
            rank. With it, second derivatives raise an error.
        sum_over_ranks: For these forms, the differentiable sum of a tensor over the ranks; the loss is then the same on
            each.
        standardized: Whether ``z`` and ``z_all`` are standardized already, over the batch of all ranks: see
            :func:`lewel_plugins.functional.standardize`. Needed with ``z_all``.

    Returns:
        Loss, ().

    Raises:
        ValueError: The form is unknown, or there is a ``z_all`` that is not standardized.
    """
    check_pcr_form(form)
    if form in ('cosine', 'squared_cosine'):
        return _mean_cosine(z, squared=form == 'squared_cosine')
    if z_all is not None and not standardized:
        raise ValueError('z_all needs standardized=True: one rank cannot standardize over the batch of all ranks')
    y = z if standardized else standardize(z)
    return _mean_correlation(y, z_all, sum_over_ranks, within=form == 'within_projector')


def check_pcr_form(form: str) -> str:
    """Return the form of PCR, or raise ValueError if it is unknown."""
    if form not in PCR_FORMS:
        raise ValueError(f'the form of PCR must be one of {", ".join(PCR_FORMS)}, got {form!r}')
    return form


def _mean_cosine(z: Tensor, squared: bool) -> Tensor:
    M, N, _ = z.shape
    cosines = projector_cosines(z)
    others = 1 - torch.eye(M, dtype=cosines.dtype, device=cosines.device)
    values = cosines.square() if squared else cosines
    return (values * others).sum() / (N * max(M * (M - 1), 1))


def _mean_correlation(
    y: Tensor, y_all: Tensor | None, sum_over_ranks: Callable[[Tensor], Tensor], within: bool
) -> Tensor:
    """Return the mean of ‖C^{m,l}‖²_F / d over l ≠ m, or that of C^{m,m} without its diagonal.

    No (d, d) matrix is computed: Σ_{m,l} ‖Y_mᵀY_l‖²_F = ‖Σ_m K_m‖²_F with the Gram matrices K_m = Y_mY_mᵀ.
    """
    M, _, d = y.shape
    keys = y if y_all is None else y_all.detach()
    count = keys.shape[1]
    gram = y @ keys.mT  # this rank's rows of the Gram matrices, (M, N, WN)
    own = gram.square().sum()
    if not within:
        own = gram.sum(0).square().sum() - own
    if y_all is not None:
        # An embedding is in a row and in a column of its Gram matrix, with equal gradients: the rows count twice.
        own = once_differentiable(2 * own - own.detach(), 'projector_regularization with z_all')
    squares = sum_over_ranks(own) / count**2
    if within:
        diagonal = sum_over_ranks(y.square().sum(1) / count)  # (M, d)
        return (squares - diagonal.square().sum()) / (M * d)
    return squares / (max(M * (M - 1), 1) * d)


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
