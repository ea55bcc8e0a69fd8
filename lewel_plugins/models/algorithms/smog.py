import warnings

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lewel_plugins.registry import MODELS

from ..feature_cache import FeatureCache
from .base import MomentumPretrainer


@MODELS.register_module()
class SMoG(MomentumPretrainer):
    """SMoG: Pang et al. 2022, Unsupervised Visual Representation Learning by Synchronous Momentum Grouping, Sec. 3.

    The groups are in ``head.groups``. ``SMoGResetHook`` starts them by K-means, and resets them and the teacher during
    training; a training without it warns. To train without resets, set the hook's ``cluster`` and ``teacher`` to False.

    Equations:
        SMoG, Eq. 4: ``assign_groups`` and ``update_groups`` in functional/smog.py.
        SMoG, Eq. 3: ``group_contrast`` in functional/smog.py.
        SMoG, Sec. 3.2: ``MomentumEncoder.update`` in models/momentum_encoder.py.
        SMoG, Sec. 3.4: ``MomentumGroups.set_progress`` in models/momentum_groups.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`ProjectionNeck`.
        head: Config of an :class:`SMoGHead`.
        num_views: Number of views per image. The first two are large. The others, all of one size, are contrasted with
            the same group as the large view in the online network (multi-crop, Sec. 3.4).
        momentum: 1 − α of the teacher, constant; 0.001 is the paper's α = 0.999.
        cache_dtype: Dtype of the features kept for K-means, ``bfloat16`` or ``float32``.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        num_views: int = 2,
        momentum: float = 0.001,
        cache_dtype: str = 'bfloat16',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, momentum, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if num_views < 2:
            raise ValueError(f'SMoG num_views must be at least 2, got {num_views!r}')
        self.num_views = num_views
        self.cache = FeatureCache(self.neck.out_channels, cache_dtype)
        # Each rank has its own, which `broadcast_buffers=True` would overwrite with that of rank 0.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, ['cache.rows', 'cache.positions'])
        self.has_resets = False  # SMoGResetHook sets it
        self._starts = False

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Move the groups by one large view, and contrast it with the group of the other. SMoG, Eqs. 3 and 4.

        The loss has one direction; the two large views exchange roles after every optimizer step.

        Args:
            inputs: ``num_views`` views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive``.
        """
        x_a, x_b, *small = self._change_roles(self.views(inputs, self.num_views))
        z_a = self.neck(self.backbone(x_a))  # (N, d)
        z_all = self.head.groups.start_gather(z_a)  # ranks exchange features while the teacher runs
        z_b = self.teacher(x_b)  # (N, d), without gradient
        self.cache.add(z_a)
        # One pass: the BN layers take their statistics over all small views together.
        z_small = self.neck(self.backbone(torch.cat(small))) if small else None  # (VN, d)
        return self.head.loss(z_a, z_b, z_all(), z_small)

    @torch.compiler.disable  # it would be recompiled for every count
    def _change_roles(self, views: list[Tensor]) -> list[Tensor]:
        """Exchange the two large views in every second optimizer step."""
        return [views[1], views[0], *views[2:]] if self.head.groups.count_steps() % 2 else views

    def before_training(self) -> None:
        """Prepare for a run."""
        super().before_training()
        self._starts = True  # hooks that reset may start later than the one that calls this

    def restart(self) -> None:
        """Keep the weights, and forget groups, counts and cached features, which are those of another run."""
        self.cache.clear()
        self.head.groups.restart()

    def after_optimizer_step(self, progress: float) -> None:
        """Update the teacher, and roles and β for the next step."""
        super().after_optimizer_step(progress)
        if self._starts and not self.has_resets:
            warnings.warn(
                'SMoG trains without SMoGResetHook, so that its groups start at random and are never reset: add '
                "custom_hooks=[dict(type='lewel_plugins.SMoGResetHook', interval=...)] to the config",
                stacklevel=2,
            )
        self._starts = False
        self.head.groups.end_step()
        self.head.groups.set_progress(progress)

    def reset_teacher(self) -> None:
        """Make the teacher equal to the online network, BN's statistics included: f̂_η ← f_θ. SMoG, Sec. 3.4."""
        self.teacher.copy_from(self.backbone, self.neck)

    def rank_state(self) -> dict[str, Tensor]:
        """Return the cached features of this rank, and the counts of agreement, which the ``state_dict`` lacks."""
        return dict(self.cache.rank_state(), agreed=self.head.groups.agreed)

    def load_rank_state(self, states: list[dict[str, Tensor]]) -> None:
        """Restore the results of :meth:`rank_state` on all ranks."""
        self.cache.load_rank_state(states)
        if 'agreed' in states[0]:  # the same on all ranks; older checkpoints have none
            self.head.groups.agreed.copy_(states[0]['agreed'])
