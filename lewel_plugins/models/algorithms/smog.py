from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.models.kmeans import Clustering, draw_rows, spherical_kmeans
from lewel_plugins.registry import MODELS

from ..feature_cache import FeatureCache
from ..necks.mlp import MLP
from .base import MomentumPretrainer


class MovedGroups(NamedTuple):
    """Which groups a step has moved (R,), their unit rows after it (R, d), and how often each is among them (R,)."""

    places: Tensor
    rows: Tensor
    counts: Tensor


UPDATES = ('momentum', 'random', 'latest', 'average')


@MODELS.register_module()
class SMoG(MomentumPretrainer):
    """Pang et al. 2022, Unsupervised Visual Representation Learning by Synchronous Momentum Grouping, Sec. 3.

    The groups are the same on every rank. They start as random unit vectors; ``SMoGResetHook`` starts them from
    K-means instead, and resets them and the teacher while it trains.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`ProjectionNeck`; the predictor has its width and activation.
        hid_channels: Hidden channels of the predictor.
        num_groups: Number of groups l; the paper finds 1,000 to 30,000 alike.
        temperature: Temperature τ.
        beta: Momentum β of the groups at the start.
        end_beta: β at the end, reached linearly; None keeps it constant (Table 7a).
        update: How a group follows the features assigned to it (Table 7d). ``momentum``: Eq. 4; ``latest``: it is
            their mean; ``average``: their mean has weight 1/n, where n is the number of features in the group's
            K-means cluster and of those assigned since, these included; ``random``: random features of the batch
            become the groups; of fewer than l, which the paper leaves open, as many groups, at random.
        num_views: Views of an image. The first two are large; the others, all of one size, are contrasted with the
            same group as the online one of these (multi-crop, Sec. 3.4).
        momentum: Teacher's 1 − α, constant; 0.001 is the paper's α = 0.999.
        cache_dtype: Type of the features kept for K-means, ``bfloat16`` or ``float32``.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.

    Raises:
        ValueError: An argument out of range.
    """

    groups: Tensor
    beta: Tensor
    iteration: Tensor
    members: Tensor
    recent: Tensor

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        hid_channels: int = 2048,
        num_groups: int = 3000,
        temperature: float = 0.1,
        beta: float = 1.0,
        end_beta: float | None = 0.99,
        update: str = 'momentum',
        num_views: int = 2,
        momentum: float = 0.001,
        cache_dtype: str = 'bfloat16',
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        for name, value, valid, accepted in (
            ('num_groups', num_groups, num_groups >= 2, 'at least 2'),
            ('temperature', temperature, temperature > 0, 'positive'),
            ('beta', beta, 0 <= beta <= 1, 'in [0, 1]'),
            ('end_beta', end_beta, end_beta is None or 0 <= end_beta <= 1, 'in [0, 1] or None'),
            ('update', update, update in UPDATES, f'one of {UPDATES}'),
            ('num_views', num_views, num_views >= 2, 'at least 2'),
        ):
            if not valid:
                raise ValueError(f'SMoG {name} must be {accepted}, got {value!r}')
        d = self.neck.out_channels
        self.predictor = MLP(d, hid_channels, d, activation=self.neck.activation)
        self.num_groups, self.temperature, self.update, self.num_views = num_groups, temperature, update, num_views
        self.start_beta, self.end_beta = beta, beta if end_beta is None else end_beta
        # Of a fixed generator: mmengine's DDP does not broadcast buffers, so ranks could not agree otherwise.
        start = torch.randn(num_groups, d, generator=torch.Generator().manual_seed(0))
        self.register_buffer('groups', F.normalize(start, dim=1))
        self.register_buffer('beta', torch.tensor(beta))  # a tensor, so that a checkpoint has it
        self.register_buffer('iteration', torch.zeros((), dtype=torch.long))
        self._iteration: int | None = None  # the same on the host
        self.register_buffer('members', torch.zeros(num_groups, dtype=torch.long))  # n of `average`
        self.register_buffer('recent', torch.zeros(num_groups, dtype=torch.long))  # since `pop_share_used`
        self.cache = FeatureCache(d, cache_dtype)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Eqs. 3 and 4, in one direction; the two large views change roles in every iteration.

        Args:
            inputs: ``num_views`` views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive``.
        """
        x_a, x_b, *small = self.views(inputs, self.num_views)
        if self._count_iteration() % 2:
            x_a, x_b = x_b, x_a
        z_a = self.neck(self.backbone(x_a))  # (N, d)
        gathered = dist.start_gather(z_a.to(self.groups.dtype))  # ranks exchange them while the teacher runs
        z_b = self.teacher(x_b)  # without gradient
        self.cache.add(z_a)
        c_a, c_b = LF.assign_groups(torch.cat([z_a, z_b]), self.groups, unit_groups=True).chunk(2)  # before the update
        moved = self._move_groups(dist.in_batch_order(gathered()), c_a)  # differentiable in z_a
        loss = self._contrast(self.predictor(z_a), moved, c_b)
        if small:
            # One pass: the BN layers take their statistics over all small views together.
            z_small = self.neck(self.backbone(torch.cat(small)))  # (VN, d)
            V = len(small)
            loss = (loss + V * self._contrast(self.predictor(z_small), moved, c_b.repeat(V))) / (1 + V)
        return dict(loss_contrastive=loss)

    def momentum_update(self, progress: float) -> None:
        """Update the teacher, and β for the next step."""
        super().momentum_update(progress)
        self.beta.fill_(self.start_beta + (self.end_beta - self.start_beta) * progress)

    def reset_teacher(self) -> None:
        """f̂_η ← f_θ, BN's statistics included. Sec. 3.4."""
        self.teacher.copy_from(self.backbone, self.neck)

    def cluster_groups(self, cache: FeatureCache, seed: int, report: Callable[[str], None] | None = None) -> Clustering:
        """Reset the groups by K-means on cached features of all ranks, and clear the cache. Sec. 3.2.

        Args:
            cache: The features.
            seed: Seed of the rows that K-means starts from, the same on every rank.
            report: Takes lines of progress.

        Raises:
            ValueError: There are fewer features than groups.
        """
        rows, positions = cache.features()
        result = spherical_kmeans(rows, draw_rows(rows, positions, self.num_groups, seed), seed=seed, report=report)
        self.groups.copy_(result.centroids)
        self.members.copy_(result.sizes)
        cache.clear()
        return result

    def pop_share_used(self) -> float:
        """Share of the groups to which an online feature was assigned since the last call, in [0, 1]."""
        share = float((self.recent > 0).float().mean())
        self.recent.zero_()
        return share

    def rank_state(self) -> dict[str, Tensor]:
        """What this rank has and a checkpoint of rank 0 would lack: its cached features."""
        return self.cache.rank_state()

    def load_rank_state(self, states: list[dict[str, Tensor]]) -> None:
        """Take up what :meth:`rank_state` gave on every rank."""
        self.cache.load_rank_state(states)

    def _contrast(self, p: Tensor, moved: MovedGroups, assignment: Tensor) -> Tensor:
        return LF.moved_group_contrast(
            p, moved.rows, self.groups, moved.places, moved.counts, assignment, self.temperature
        )

    def _move_groups(self, z: Tensor, assignment: Tensor) -> MovedGroups:
        """Move the groups by this step's online features z (WN, d) of all ranks, and say which have moved.

        Args:
            z: In the order of one process.
            assignment: Of this rank's, (N,).
        """
        assignment = dist.in_batch_order(dist.all_gather(assignment))
        ones = torch.ones_like(assignment)
        self.members.index_add_(0, assignment, ones)
        self.recent.index_add_(0, assignment, ones)
        if self.update == 'random':
            moved = self._random_groups(z)
        else:
            moved = MovedGroups(assignment, *LF.moved_groups(self.groups, z, assignment, self._momentum(assignment)))
        self.groups.index_copy_(0, moved.places, moved.rows.detach())
        return moved

    def _momentum(self, assignment: Tensor) -> float | Tensor:
        """β of Eq. 4: a number, or of the group of each feature, (WN, 1)."""
        if self.update == 'average':
            return (1 - 1 / self.members[assignment].to(self.groups.dtype))[:, None]
        return 0.0 if self.update == 'latest' else self.beta

    def _random_groups(self, z: Tensor) -> MovedGroups:
        """Random features in the places of groups; of fewer than l features, in the places of as many, at random."""
        generator = torch.Generator(z.device).manual_seed(int(self._iteration or 0))
        count = min(self.num_groups, len(z))
        rows = torch.randperm(len(z), generator=generator, device=z.device)[:count]
        places = torch.randperm(self.num_groups, generator=generator, device=z.device)[:count]
        return MovedGroups(places, F.normalize(z, dim=1)[rows], z.new_ones(count))

    @torch.compiler.disable  # it would be compiled anew for every number
    def _count_iteration(self) -> int:
        """Number of this iteration, from 0, without asking the device."""
        if self._iteration is None:
            self._iteration = int(self.iteration)
        self._iteration += 1
        self.iteration += 1
        return self._iteration - 1

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._iteration = None
