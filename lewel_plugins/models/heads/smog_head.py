import torch
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from ..momentum_groups import MomentumGroups
from ..necks.mlp import MLP
from .checks import check_temperature


@MODELS.register_module()
class SMoGHead(BaseModule):
    """Contrast of images with momentum groups. SMoG, Eqs. 3 and 4.

    Args:
        in_channels: Channels d of an embedding, by default those of the neck.
        hid_channels: Hidden channels of the predictor.
        temperature: Temperature τ.
        num_groups: Number of groups l; the paper finds 1,000 to 30,000 equally good.
        beta: Momentum β of the groups at the start.
        end_beta: β at the end, reached linearly; None keeps it constant (Table 7a).
        update: How a group follows its features (Table 7d), see :class:`MomentumGroups`.
        detach_groups: Whether the groups are constants in the loss. By default its gradient flows through the moved
            groups into z_a, too, which the paper leaves open.
        activation: ``relu`` or ``gelu``, by default that of the neck.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int = 2048,
        temperature: float = 0.1,
        num_groups: int = 3000,
        beta: float = 1.0,
        end_beta: float | None = 0.99,
        update: str = 'momentum',
        detach_groups: bool = False,
        activation: str = 'relu',
    ) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.predictor = MLP(in_channels, hid_channels, in_channels, activation=activation)
        self.detach_groups = detach_groups
        self.groups = MomentumGroups(in_channels, num_groups, beta, end_beta, update)

    def loss(self, z_a: Tensor, z_b: Tensor, z_all: Tensor, z_small: Tensor | None = None) -> dict[str, Tensor]:
        """Assign the images to groups, move the groups, and contrast the images with them.

        Args:
            z_a: Online embeddings of one view, (N, d); they move the groups.
            z_b: Teacher's embeddings of the other view, (N, d), without gradient.
            z_all: z_a of all ranks, (WN, d), in the order of one process.
            z_small: Online embeddings of V small views, (VN, d), view by view; they are contrasted with the same
                groups.

        Returns:
            ``loss_contrastive``, a mean over the online views.
        """
        c_a, c_b = self.groups.assign(torch.cat([z_a, z_b])).chunk(2)  # both before the update
        if self.detach_groups:
            z_all = z_all.detach()
        moved = self.groups.move(z_all, c_a, c_b)  # Eq. 4, differentiable in z_all
        loss = self._contrast(z_a, c_b, moved)  # Eq. 3
        if z_small is not None:
            V = len(z_small) // len(z_a)
            loss = (loss + V * self._contrast(z_small, c_b.repeat(V), moved)) / (1 + V)
        return dict(loss_contrastive=loss)

    def _contrast(self, z: Tensor, assignment: Tensor, moved: LF.MovedGroups) -> Tensor:
        return LF.group_contrast(self.predictor(z), self.groups.rows, assignment, self.temperature, moved)
