import warnings
from collections.abc import Callable
from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn

from lewel_plugins import dist

from ..batch_norm import embed_views
from ..heads import build_head
from ..momentum_encoder import MomentumEncoder, running_statistics


class MomentumPretrainer(BaseSelfSupervisor):
    """A self-supervised algorithm: an online backbone, neck and head, and a momentum teacher of backbone and neck.

    The algorithm defines which views go through which network; the head compares what comes out. Subclasses implement
    ``loss``. The teacher changes only in :meth:`after_optimizer_step`, which ``MomentumUpdateHook`` (in
    ``_base_/default_runtime.py``) calls.

    Equations:
        MoCo, Eq. 2: ``MomentumEncoder.update`` in models/momentum_encoder.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of the neck.
        head: Config of the head, which gets its widths from the neck; see :func:`build_head`.
        momentum: 1 − α of the teacher at the start.
        end_momentum: 1 − α at the end of a cosine schedule; None keeps it constant.
        teacher_norm: ``train`` or ``eman``, see :class:`MomentumEncoder`.
        data_preprocessor: Config; mmpretrain's ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialization, as everywhere in mmengine.

    Raises:
        ValueError: The neck's ``in_channels`` is not the width of the backbone (if the backbone has ``feat_dim``).
    """

    head: Any

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        momentum: float,
        end_momentum: float | None = None,
        teacher_norm: str = 'train',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone=backbone, neck=neck, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        check_width(self)
        use_channels_last(self.backbone)
        self.head = build_head(head, self.neck)
        self.teacher = MomentumEncoder(self.backbone, self.neck, momentum, end_momentum, teacher_norm)
        self._statistics: list[Tensor] | None = None
        self._version: int | None = None
        self._warned = False

    def init_weights(self) -> None:
        """Initialize the online network, and the teacher as its copy."""
        super().init_weights()
        self.teacher.copy_from(self.backbone, self.neck)

    def before_training(self) -> None:
        """Prepare for a run; called once before its first iteration, when weights are loaded and modules replaced."""
        self.teacher.forget_tensors()
        self._statistics = None
        if self.teacher.updates.item() == 0:  # fresh, or only backbone weights were loaded
            self.teacher.copy_from(self.backbone, self.neck)

    def after_optimizer_step(self, progress: float) -> None:
        """Update the teacher; called once after every optimizer step.

        The running statistics of the online BN layers are averaged over ranks first. Each rank has updated its own from
        its batch, but the teacher, validation and the checkpoint of rank 0 must be the same for all ranks.

        Args:
            progress: Share of training done after this step, in [0, 1].
        """
        if self._statistics is None:
            self._statistics = rank_statistics(self)
        average = dist.start_average(self._statistics)
        if self.teacher.norm == 'eman':  # the teacher follows the averaged statistics as well
            average()
            self.teacher.update(self.backbone, self.neck, progress)
        else:  # the teacher is updated while the statistics travel
            self.teacher.update(self.backbone, self.neck, progress)
            average()
        self._version = None

    def views(self, inputs: list[Tensor], count: int, or_more: bool = False) -> list[Tensor]:
        """Check and return the ``count`` views (N, 3, H, W), or more, of a batch; check that the teacher is updated."""
        views = check_views(self, inputs, count, or_more)
        self._check_teacher_follows()
        return views

    def embed(self, views: list[Tensor]) -> list:
        """Return the online neck's output for each view (N, 3, H, W), with BN's statistics per view."""
        return embed_views(lambda x: self.neck(self.backbone(x)), [self.backbone, self.neck], views)

    def start_shuffle(self, x: Tensor) -> Callable[[], tuple[Tensor, Tensor | None]]:
        """Start the exchange of ShuffleBN on the keys' view (N, 3, H, W), as :func:`dist.start_batch_shuffle` does.

        An ``eman`` teacher computes no statistics of a batch, so its images stay where they are.
        """
        return dist.start_batch_shuffle(x) if self.teacher.norm == 'train' else lambda: (x, None)

    def _check_teacher_follows(self) -> None:
        # An optimizer changes parameters in place, and torch counts their versions. Steps without an update of the
        # teacher mean that MomentumUpdateHook is missing. With a frozen teacher, the network learns next to nothing.
        version = next(self.backbone.parameters())._version
        if self.training and self._version not in (None, version) and not self._warned:
            self._warned = True
            warnings.warn(
                f'the parameters of {type(self).__name__} have changed, but its teacher has not been updated: add '
                "default_hooks=dict(momentum_update=dict(type='lewel_plugins.MomentumUpdateHook')) to the config, or "
                'call model.after_optimizer_step(progress) after each optimizer step',
                stacklevel=3,
            )
        self._version = version


def rank_statistics(model: nn.Module) -> list[Tensor]:
    """Return the buffers that each rank updates from its own batch, to be averaged over ranks after every step.

    They are BN's running statistics in the online networks, and the ``accumulators()`` of every module that has them.
    """
    online = nn.ModuleList([module for name, module in model.named_children() if name != 'teacher'])
    owners: list[Any] = [module for module in online.modules() if hasattr(module, 'accumulators')]
    return running_statistics(online) + [tensor for owner in owners for tensor in owner.accumulators()]


def use_channels_last(backbone: nn.Module) -> None:
    """Give the weights the memory layout of the images from ``BatchViews``.

    Then no convolution converts its input, and neither does DDP, whose buckets have the layout of the weights.
    """
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def check_width(model: BaseSelfSupervisor) -> None:
    """Raise ValueError if the backbone has a known width and the neck expects another."""
    width, expected = getattr(model.backbone, 'feat_dim', None), model.neck.in_channels
    if width is not None and width != expected:
        raise ValueError(
            f'neck.in_channels = {expected}, but the last feature map of '
            f'{type(model.backbone).__name__} has {width} channels'
        )


def check_views(model: nn.Module, inputs: list[Tensor], count: int, or_more: bool = False) -> list[Tensor]:
    """Return the views of a batch if there are ``count`` (or more) with equally many images, else raise ValueError."""
    number = len(inputs) if isinstance(inputs, (list, tuple)) else 0
    if number != count and not (or_more and number > count):
        got = f'{number} views' if isinstance(inputs, (list, tuple)) else type(inputs).__name__
        wanted = f'{count} views{" or more" if or_more else ""}'
        raise ValueError(f'{type(model).__name__} takes a list of {wanted} (N, 3, H, W) per batch, got {got}')
    if len({len(x) for x in inputs}) > 1:
        raise ValueError(f'the views of a batch must have equally many images, got {[len(x) for x in inputs]}')
    return list(inputs)
