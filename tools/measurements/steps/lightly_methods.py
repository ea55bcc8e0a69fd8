"""BYOL, MoCo v2 and SMoG of lightly's modules, combined as in the examples of its documentation, as algorithms here.

Needs ``pip install lightly==1.6.*``.
"""

import copy

import torch
import torch.nn.functional as F
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models import modules, utils
from lightly.models.modules.memory_bank import MemoryBankModule
from mmpretrain.models.selfsup import BaseSelfSupervisor
from sklearn.cluster import KMeans
from torch import Tensor, nn

from lewel_plugins.registry import MODELS


class LightlyMethod(BaseSelfSupervisor):
    """A backbone, a projection head and their momentum copies.

    Args:
        backbone: Config of the backbone.
        in_channels: Channels of its features.
        hid_channels: Hidden channels of the heads.
        out_channels: Channels of the embedding.
        momentum: Teacher momentum 1 − α.
        data_preprocessor: Config of the data preprocessor.
    """

    projection: type[nn.Module]

    def __init__(
        self,
        backbone: dict,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        momentum: float,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(backbone=backbone, data_preprocessor=data_preprocessor)
        self.alpha = 1 - momentum
        self.projection_head = self.projection(in_channels, hid_channels, out_channels)
        self.reset_momentum_weights()

    def reset_momentum_weights(self) -> None:
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        utils.deactivate_requires_grad(self.backbone_momentum)
        utils.deactivate_requires_grad(self.projection_head_momentum)

    def update_momentum(self) -> None:
        utils.update_momentum(self.backbone, self.backbone_momentum, self.alpha)
        utils.update_momentum(self.projection_head, self.projection_head_momentum, self.alpha)

    def encode(self, x: Tensor) -> Tensor:
        return self.projection_head(self.backbone(x)[-1].mean((2, 3)))

    @torch.no_grad()
    def encode_momentum(self, x: Tensor) -> Tensor:
        return self.projection_head_momentum(self.backbone_momentum(x)[-1].mean((2, 3)))


@MODELS.register_module()
class LightlyBYOL(LightlyMethod):
    """lightly's example of BYOL, with the arguments of :class:`LightlyMethod`."""

    projection = modules.BYOLProjectionHead

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        d = settings['out_channels']
        self.prediction_head = modules.BYOLPredictionHead(d, settings['hid_channels'], d)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Do a step of the example."""
        self.update_momentum()
        p0, p1 = (self.prediction_head(self.encode(x)) for x in inputs)
        z0, z1 = (self.encode_momentum(x) for x in inputs)
        return dict(loss=0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0)))


@MODELS.register_module()
class LightlyMoCo(LightlyMethod):
    """lightly's example of MoCo, with MoCo v2's head; other arguments as in :class:`LightlyMethod`.

    Args:
        queue_len: Keys in the queue.
        temperature: Temperature τ.
    """

    projection = modules.MoCoProjectionHead

    def __init__(self, queue_len: int, temperature: float, **settings) -> None:
        super().__init__(**settings)
        bank = (queue_len, settings['out_channels'])
        self.criterion = NTXentLoss(temperature=temperature, memory_bank_size=bank)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Do a step of the example."""
        x_query, x_key = inputs
        self.update_momentum()
        query = self.encode(x_query)
        shuffled, order = utils.batch_shuffle(x_key)
        key = utils.batch_unshuffle(self.encode_momentum(shuffled), order)
        return dict(loss=self.criterion(query, key))


@MODELS.register_module()
class LightlySMoG(LightlyMethod):
    """lightly's example of SMoG; other arguments as in :class:`LightlyMethod`.

    Args:
        num_groups: Number of groups.
        interval: Iterations between resets.
        batch_size: Images per batch.
    """

    projection = modules.SMoGProjectionHead

    def __init__(self, num_groups: int, interval: int, batch_size: int, **settings) -> None:
        super().__init__(**settings)
        self.num_groups, self.interval = num_groups, interval
        d = settings['out_channels']
        self.prediction_head = modules.SMoGPredictionHead(d, settings['hid_channels'], d)
        self.smog = modules.SMoGPrototypes(torch.rand(num_groups, d), beta=0.99)
        self.memory_bank = MemoryBankModule(size=(interval * batch_size, d))
        self.global_step = 0

    def reset_group_features(self) -> None:
        features = self.memory_bank.bank.cpu().numpy()
        centers = torch.from_numpy(KMeans(self.num_groups).fit(features).cluster_centers_).float()
        self.smog.set_group_features(F.normalize(centers, dim=1))

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Do a step of the example."""
        x0, x1 = inputs
        if self.global_step % 2:
            x0, x1 = x1, x0
        if self.global_step > 0 and self.global_step % self.interval == 0:
            self.reset_group_features()
            self.reset_momentum_weights()
        else:
            self.update_momentum()
        x0_encoded = self.encode(x0)
        x0_predicted = self.prediction_head(x0_encoded)
        x1_encoded = self.encode_momentum(x1)
        assignments = self.smog.assign_groups(x1_encoded)
        group_features = self.smog.get_updated_group_features(x0_encoded)
        logits = self.smog(x0_predicted, group_features, temperature=0.1)
        self.smog.set_group_features(group_features.detach())
        self.memory_bank(x0_encoded, update=True)
        self.global_step += 1
        return dict(loss=F.cross_entropy(logits, assignments))
