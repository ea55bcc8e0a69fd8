import warnings

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn

from lewel_plugins import dist

from ..momentum_encoder import MomentumEncoder, running_statistics


class MomentumPretrainer(BaseSelfSupervisor):
    """A self-supervised algorithm with an online network and a momentum teacher of its backbone and neck.

    Subclasses implement ``loss``. The teacher changes only in :meth:`momentum_update`, which
    ``MomentumUpdateHook`` (in ``_base_/default_runtime.py``) calls after every optimizer step.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of the neck.
        momentum: Teacher's 1 − α at the start.
        end_momentum: Teacher's 1 − α at the end of a cosine; None keeps it constant.
        teacher_norm: ``train`` or ``eman``, see :class:`MomentumEncoder`.
        pretrained: Checkpoint to initialise from, as everywhere in mmpretrain.
        data_preprocessor: Config; mmpretrain's ``SelfSupDataPreprocessor`` by default.
        init_cfg: As everywhere in mmengine.

    Raises:
        ValueError: The neck's ``in_channels`` is not the backbone's width (where the backbone tells it).
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        momentum: float,
        end_momentum: float | None = None,
        teacher_norm: str = 'train',
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone, neck=neck, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        check_width(self)
        use_channels_last(self.backbone)
        self.teacher = MomentumEncoder(self.backbone, self.neck, momentum, end_momentum, teacher_norm)
        self._statistics: list[Tensor] | None = None
        self._version: int | None = None
        self._warned = False

    def init_weights(self) -> None:
        """Initialise the online network, and the teacher as its copy."""
        super().init_weights()
        self.teacher.copy_from(self.backbone, self.neck)

    def start_training(self) -> None:
        """Called once before the first iteration of a run, after weights were loaded and modules replaced."""
        self.teacher.forget_tensors()
        self._statistics = None
        if self.teacher.updates.item() == 0:  # fresh, or only backbone weights were loaded
            self.teacher.copy_from(self.backbone, self.neck)

    def momentum_update(self, progress: float) -> None:
        """Update the teacher; call it once after every optimizer step.

        The running statistics of the online BN layers are averaged over ranks first: each rank's batch has moved
        its own, and the teacher, validation and a checkpoint of rank 0 must be the same for all.

        Args:
            progress: Share of training done after this step, in [0, 1].
        """
        if self._statistics is None:
            self._statistics = self.rank_statistics()
        average = dist.start_average(self._statistics)
        if self.teacher.norm == 'eman':  # it averages the statistics, too
            average()
            self.teacher.update(self.backbone, self.neck, progress)
        else:  # meanwhile
            self.teacher.update(self.backbone, self.neck, progress)
            average()
        self._version = None

    def rank_statistics(self) -> list[Tensor]:
        """Buffers that each rank's batch moves by itself, and that are averaged over ranks after every step."""
        online = [module for name, module in self.named_children() if name != 'teacher']
        return running_statistics(nn.ModuleList(online))

    def views(self, inputs: list[Tensor], count: int, or_more: bool = False) -> list[Tensor]:
        """Check that a batch has ``count`` views (N, 3, H, W), or more, and that the teacher is being updated."""
        views = check_views(self, inputs, count, or_more)
        self._check_teacher_follows()
        return views

    def _check_teacher_follows(self) -> None:
        # An optimizer changes parameters in place, which their version counts. Steps without an update of the
        # teacher mean that MomentumUpdateHook is missing: a teacher frozen at its start learns next to nothing.
        version = next(self.backbone.parameters())._version
        if self.training and self._version not in (None, version) and not self._warned:
            self._warned = True
            warnings.warn(
                f'the parameters of {type(self).__name__} have changed, but its teacher has not been updated: add '
                "default_hooks=dict(momentum_update=dict(type='lewel_plugins.MomentumUpdateHook')) to the config, or "
                'call model.momentum_update(progress) after each optimizer step',
                stacklevel=3,
            )
        self._version = version


def use_channels_last(backbone: nn.Module) -> None:
    """Lay weights out as ``BatchViews`` lays out images.

    Convolutions have nothing to convert then, nor DDP, whose buckets have the layout of the weights.
    """
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def check_width(model: BaseSelfSupervisor) -> None:
    """Raise ValueError if the backbone tells its width and the neck takes another."""
    width, expected = getattr(model.backbone, 'feat_dim', None), model.neck.in_channels
    if width is not None and width != expected:
        raise ValueError(
            f'neck.in_channels = {expected}, but the last feature map of '
            f'{type(model.backbone).__name__} has {width} channels'
        )


def check_views(model: nn.Module, inputs: list[Tensor], count: int, or_more: bool = False) -> list[Tensor]:
    """Return a batch's views if there are ``count``, or more, of as many images each, else raise ValueError."""
    number = len(inputs) if isinstance(inputs, (list, tuple)) else 0
    if number != count and not (or_more and number > count):
        got = f'{number} views' if isinstance(inputs, (list, tuple)) else type(inputs).__name__
        wanted = f'{count} views{" or more" if or_more else ""}'
        raise ValueError(f'{type(model).__name__} takes a list of {wanted} (N, 3, H, W) a batch, got {got}')
    if len({len(x) for x in inputs}) > 1:
        raise ValueError(f'the views of a batch must be of as many images, got {[len(x) for x in inputs]}')
    return list(inputs)


def check_temperature(temperature: float) -> float:
    """Return τ if it is positive, else raise ValueError."""
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    return temperature


def check_beta(beta: float) -> float:
    """Return β if it is in [0, 1], else raise ValueError."""
    if not 0 <= beta <= 1:
        raise ValueError(f'beta weighs the aligned against the global loss and must be in [0, 1], got {beta}')
    return beta
