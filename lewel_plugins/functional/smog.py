"""SMoG. Pang et al. 2022, Unsupervised Visual Representation Learning by Synchronous Momentum Grouping."""

from typing import Literal, NamedTuple, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_temperature
from ._fused import GroupContrast
from ._precision import full_precision


class MovedGroups(NamedTuple):
    """The groups that a step moves, one entry per feature: a group with n features occurs n times.

    Attributes:
        places: Indices of the groups, (R,) int64 in [0, l).
        rows: Their unit rows after the move, (R, d); the only part with a gradient.
        counts: How often the group of each entry occurs, (R,).
    """

    places: Tensor
    rows: Tensor
    counts: Tensor


def _check_groups(z: Tensor, groups: Tensor, name: str = 'z') -> None:
    if z.dim() != 2 or groups.dim() != 2 or z.shape[1] != groups.shape[1]:
        raise ValueError(f'{name} must be (N, d) and groups (l, d), got {tuple(z.shape)} and {tuple(groups.shape)}')


@torch.no_grad()
@full_precision
def assign_groups(z: Tensor, groups: Tensor, unit_groups: bool = False) -> Tensor:
    """Assign each feature to the group with the highest cosine similarity. SMoG, Eq. 4.

    The paper's argmin is a misprint: the closest group is meant.

    Args:
        z: Features, (N, d).
        groups: Group features G, (l, d).
        unit_groups: Whether the groups are unit vectors already.

    Returns:
        Groups, (N,) int64 in [0, l), without gradient.

    Raises:
        ValueError: The shapes do not fit.
    """
    _check_groups(z, groups)
    if not unit_groups:
        groups = F.normalize(groups, dim=1)
    return (z @ groups.T).argmax(1)  # the length of z does not matter


@full_precision
def group_sums(z: Tensor, assignment: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Sum and count the unit features assigned to each group, in one segment-sum. SMoG, Eq. 4, before the mean.

    Args:
        z: Features, (N, d).
        assignment: Group of each feature, (N,) int64 in [0, l).
        num_groups: Number of groups l.

    Returns:
        Sums (l, d), differentiable in z, and counts (l,) of the same dtype.
    """
    z = F.normalize(z, dim=1)
    sums, counts = z.new_zeros(num_groups, z.shape[1]), z.new_zeros(num_groups)
    counts = counts.scatter_add(0, assignment, z.new_ones(len(z)))
    # Deterministic on both devices: index_put sorts on a GPU, where index_add adds in any order; on a CPU index_add
    # keeps the order.
    if z.is_cuda:
        return sums.index_put((assignment,), z, accumulate=True), counts
    return sums.index_add(0, assignment, z), counts


def _renumber(assignment: Tensor) -> Tensor:
    """Renumber the groups that occur to 0, 1, …, (N,), without waiting for the device to count them."""
    ascending, order = assignment.sort()
    changes = (ascending.diff(prepend=ascending[:1]) != 0).cumsum(0)
    return torch.empty_like(assignment).scatter_(0, order, changes)


@overload
def update_groups(groups: Tensor, z: Tensor, assignment: Tensor, beta: float | Tensor) -> Tensor: ...
@overload
def update_groups(
    groups: Tensor, z: Tensor, assignment: Tensor, beta: float | Tensor, moved_only: Literal[True]
) -> MovedGroups: ...


@full_precision
def update_groups(
    groups: Tensor, z: Tensor, assignment: Tensor, beta: float | Tensor, moved_only: bool = False
) -> Tensor | MovedGroups:
    """Move the groups by synchronous momentum grouping. SMoG, Eq. 4, with the normalization that it omits.

    g_k ← normalize(β g_k + (1 − β) mean of the unit features assigned to k). Groups without features stay as they are.
    Training sets ``moved_only``: at most N groups move, so that neither time nor memory grows with l.

    Args:
        groups: Group features G, (l, d); unit rows for ``moved_only``.
        z: Features, (N, d).
        assignment: Group of each feature, (N,) int64 in [0, l).
        beta: Momentum β in [0, 1]: one number, or one per group, (l, 1).
        moved_only: Return the rows that move instead of all.

    Returns:
        All groups as unit rows, (l, d), or :class:`MovedGroups`; the rows are differentiable in z.

    Raises:
        ValueError: The shapes do not fit, or β is a number outside [0, 1].

    Example:
        >>> c = assign_groups(z, groups)
        >>> loss = group_contrast(p, update_groups(groups, z, c, beta=0.99), c_other_view, tau=0.1)
    """
    _check_groups(z, groups)
    if not isinstance(beta, Tensor) and not 0 <= beta <= 1:
        raise ValueError(f'beta is a momentum and must be in [0, 1], got {beta}')
    if not moved_only:
        groups = F.normalize(groups, dim=1)
    momentum = beta[assignment] if isinstance(beta, Tensor) and beta.ndim else beta
    slots = _renumber(assignment)
    sums, counts = group_sums(z, slots, len(z))
    sums, counts = sums[slots], counts[slots]
    share = ((1 - momentum) / counts[:, None]).to(sums.dtype)
    rows = F.normalize(torch.addcmul(momentum * groups[assignment], share, sums), dim=1)  # equal within a group
    if moved_only:
        return MovedGroups(assignment, rows, counts)
    # The features of a group all have its new row, so each adds an equal share of the group's move.
    return groups.index_add(0, assignment, (rows - groups[assignment]) / counts[:, None])


@full_precision
def group_contrast(
    p: Tensor, groups: Tensor, assignment: Tensor, tau: float, moved: MovedGroups | None = None
) -> Tensor:
    """Cross-entropy of the cosines to all groups against the assigned one. SMoG, Eq. 3.

    −log( e^{cos(p, g_c)/τ} / Σ_j e^{cos(p, g_j)/τ} ), mean over the batch. The gradient is computed in the forward
    pass, so that neither the similarities (N, l) nor a copy of the groups is kept, and the groups may change before the
    backward pass.

    Args:
        p: Predictions, (N, d).
        groups: Group features G after this step's update, (l, d).
        assignment: Group c of each image, from the other view, (N,) int64.
        tau: Temperature τ.
        moved: The groups that have a gradient, as :func:`update_groups` returns them. ``groups`` must then consist of
            unit rows, those of the moved groups included, and gets no gradient itself. With None, every group has a
            gradient.

    Returns:
        Loss, ().

    Raises:
        ValueError: The shapes do not fit, or τ is not positive.
    """
    _check_groups(p, groups, 'p')
    check_temperature(tau)
    if moved is None:
        groups = F.normalize(groups, dim=1)
        every = torch.arange(len(groups), device=groups.device)
        moved = MovedGroups(every, groups, groups.new_ones(len(groups)))
        groups = groups.detach()
    return GroupContrast.apply(F.normalize(p, dim=1), moved.rows, groups, moved.places, moved.counts, assignment, tau)
