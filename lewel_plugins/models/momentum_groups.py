from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF

from .kmeans import Clustering, draw_rows, spherical_kmeans

UPDATES = ('momentum', 'random', 'latest', 'average')


class GroupUsage(NamedTuple):
    """How the images of some steps were assigned.

    Args:
        used: Share of the groups with an online feature, in [0, 1].
        agreement: Share of the images that the online network and the teacher assign to the same group, in [0, 1].
    """

    used: float
    agreement: float


class MomentumGroups(nn.Module):
    """SMoG's groups of images: l unit features that follow the images assigned to them. SMoG, Secs. 3.2 and 3.3.

    They are the same on every rank. They start as random unit vectors of a fixed generator, because mmengine's DDP does
    not broadcast buffers and ranks would differ otherwise. ``SMoGResetHook`` starts and resets them by K-means.

    With gradient accumulation, every iteration of an optimizer step moves the groups by its own features, because its
    loss contrasts with groups that have a gradient in these features. So a group moves up to once per iteration, and
    1 − β^hits of it is replaced by as many hits as in separate steps.

    Args:
        channels: Channels d of a group.
        num_groups: Number of groups l.
        beta: Momentum β at the start.
        end_beta: β at the end, reached linearly; None keeps it constant (Table 7a).
        update: How a group follows the features assigned to it (Table 7d). ``momentum``: Eq. 4. ``latest``: it becomes
            their mean. ``average``: their mean has weight 1/n, where n counts the features in the group's K-means
            cluster and all that were assigned since, the present ones included. ``random``: random features of the
            batch become the groups; if there are fewer than l, a case that the paper leaves open, they replace as many
            groups at random.

    Raises:
        ValueError: An argument is out of range.
    """

    rows: Tensor
    beta: Tensor
    steps: Tensor
    members: Tensor
    recent: Tensor
    agreed: Tensor

    def __init__(
        self,
        channels: int,
        num_groups: int = 3000,
        beta: float = 1.0,
        end_beta: float | None = 0.99,
        update: str = 'momentum',
    ) -> None:
        super().__init__()
        for name, value, valid, accepted in (
            ('num_groups', num_groups, num_groups >= 2, 'at least 2'),
            ('beta', beta, 0 <= beta <= 1, 'in [0, 1]'),
            ('end_beta', end_beta, end_beta is None or 0 <= end_beta <= 1, 'in [0, 1] or None'),
            ('update', update, update in UPDATES, f'one of {UPDATES}'),
        ):
            if not valid:
                raise ValueError(f'SMoG {name} must be {accepted}, got {value!r}')
        self.num_groups, self.update = num_groups, update
        self.start_beta, self.end_beta = beta, beta if end_beta is None else end_beta
        self.register_buffer('rows', _random_unit_rows(num_groups, channels))  # G, (l, d)
        self.register_buffer('beta', torch.tensor(float(beta)))  # a tensor, so that a checkpoint has it
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self.register_buffer('members', torch.zeros(num_groups, dtype=torch.long))  # the n of `average`
        self.register_buffer('recent', torch.zeros(num_groups, dtype=torch.long))  # assignments since `pop_usage`
        # Images on whose group the teacher agrees, and images, since `pop_usage`. Not in the `state_dict`, so that
        # checkpoints without it load; see `SMoG.rank_state`.
        self.register_buffer('agreed', torch.zeros(2, dtype=torch.long), persistent=False)
        self._steps: int | None = None  # `steps` on the host
        # Iterations of the unfinished step. Checkpoints have neither it nor the gradients of these iterations.
        self._iterations = 0

    def restart(self) -> None:
        """Return to the state before the first step: what a checkpoint of another run has left does not count."""
        self.rows.copy_(_random_unit_rows(*self.rows.shape))
        self.beta.fill_(self.start_beta)
        for counts in (self.steps, self.members, self.recent, self.agreed):
            counts.zero_()
        self._steps, self._iterations = None, 0

    def start_gather(self, z: Tensor) -> Callable[[], Tensor]:
        """Start gathering the features z (N, d) of all ranks, and return a function that returns them, (WN, d).

        They have the dtype of the groups and the order of one process.
        """
        gathered = dist.start_gather(z.to(self.rows.dtype))
        return lambda: dist.in_batch_order(gathered())

    def assign(self, z: Tensor) -> Tensor:
        """Return the closest group of each feature z (N, d), (N,) int64. SMoG, Eq. 4."""
        return LF.assign_groups(z, self.rows, unit_groups=True)

    def move(self, z: Tensor, assignment: Tensor, teacher_assignment: Tensor) -> LF.MovedGroups:
        """Move the groups by the features of a step on all ranks. SMoG, Eq. 4.

        Args:
            z: Features of all ranks, (WN, d), in the order of one process.
            assignment: Groups of this rank's features, (N,).
            teacher_assignment: Groups of the teacher's features of the same images, (N,), for :meth:`pop_usage`.

        Returns:
            The groups that have moved, differentiable in z.
        """
        both = dist.all_gather(torch.stack([assignment, teacher_assignment], 1))
        assignment, teacher_assignment = dist.in_batch_order(both).unbind(1)
        ones = torch.ones_like(assignment)
        self.members.index_add_(0, assignment, ones)
        self.recent.index_add_(0, assignment, ones)
        self.agreed[0] += (assignment == teacher_assignment).sum()
        self.agreed[1] += len(assignment)
        if self.update == 'random':
            moved = self._random_groups(z)
        else:
            moved = LF.update_groups(self.rows, z, assignment, self._momentum(), moved_only=True)
        self.rows.index_copy_(0, moved.places, moved.rows.detach())
        return moved

    def _momentum(self) -> float | Tensor:
        """Return β of Eq. 4: one number, or one per group, (l, 1)."""
        if self.update == 'average':
            return (1 - 1 / self.members.to(self.rows.dtype))[:, None]
        return 0.0 if self.update == 'latest' else self.beta

    def _random_groups(self, z: Tensor) -> LF.MovedGroups:
        """Put random features in the places of random groups: all features or all groups, whichever are fewer."""
        generator = torch.Generator(z.device).manual_seed(self._next_seed())
        count = min(self.num_groups, len(z))
        features = torch.randperm(len(z), generator=generator, device=z.device)[:count]
        places = torch.randperm(self.num_groups, generator=generator, device=z.device)[:count]
        return LF.MovedGroups(places, F.normalize(z, dim=1)[features], z.new_ones(count))

    @torch.compiler.disable
    def _next_seed(self) -> int:
        """Return a seed of its own for every iteration, the same on every rank, and count the iteration."""
        # torch's CPU generator reads 32 bits of a seed: 24 for the step, and 8 for the iteration in it.
        seed = self.count_steps() + 1 + (self._iterations << 24)
        self._iterations += 1
        return seed

    def set_progress(self, progress: float) -> None:
        """Set β for the next step, after a share ``progress`` ∈ [0, 1] of training. SMoG, Sec. 3.4."""
        self.beta.fill_(self.start_beta + (self.end_beta - self.start_beta) * progress)

    def cluster(
        self, features: Tensor, positions: Tensor, seed: int, report: Callable[[str], None] | None = None
    ) -> Clustering:
        """Reset the groups by K-means on features of all ranks. SMoG, Sec. 3.2.

        Args:
            features: This rank's unit features, (n, d).
            positions: Their positions among the features of all ranks, (n,).
            seed: Seed of the features that K-means starts from, the same on every rank.
            report: Called with lines of progress.

        Raises:
            ValueError: There are fewer features than groups.
        """
        start = draw_rows(features, positions, self.num_groups, seed)
        result = spherical_kmeans(features, start, seed=seed, report=report)
        self.rows.copy_(result.centroids)
        self.members.copy_(result.sizes)
        return result

    def pop_usage(self) -> GroupUsage:
        """Return how the images of all ranks were assigned since the last call; NaN agreement if there were none."""
        used = (self.recent > 0).float().mean()
        usage = GroupUsage(*torch.stack([used, self.agreed[0] / self.agreed[1]]).tolist())
        self.recent.zero_()
        self.agreed.zero_()
        return usage

    @torch.compiler.disable  # it would be recompiled for every count
    def count_steps(self) -> int:
        """Return the number of optimizer steps so far, without waiting for the device."""
        if self._steps is None:
            self._steps = int(self.steps)
        return self._steps

    @torch.compiler.disable
    def end_step(self) -> None:
        """Count an optimizer step."""
        self._steps = self.count_steps() + 1
        self.steps += 1
        self._iterations = 0

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = None
        self._iterations = 0


def _random_unit_rows(num_groups: int, channels: int) -> Tensor:
    return F.normalize(torch.randn(num_groups, channels, generator=torch.Generator().manual_seed(0)), dim=1)
