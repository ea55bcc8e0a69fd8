"""BYOL, MoCo v2, Barlow Twins and SMoG of modules of lightly, combined as in its documentation, as algorithms here.

Heads, losses, teacher, memory bank and groups come from lightly, and the lines of each ``loss`` from the example of the
method in its documentation. Backbone, views, optimizer and schedule come from the config. A setting that our recipe has
as well is an argument; all others have the value in the example:

============  ==========================================  ===========================================================
method        as in our recipe                            as in lightly
============  ==========================================  ===========================================================
BYOL          widths, momentum at start and end           biases; one cosine step of the momentum per epoch, which
                                                          reaches the end in the last epoch
MoCo v2       widths, momentum, temperature, queue        biases
Barlow Twins  widths, weight λ of the redundancy          biases, initialization of the head
SMoG          widths, momentum, number of groups,         β = 0.99 from start to end; groups start as uniform random
              interval of the resets, temperature 0.1     numbers, move by features that are not unit vectors, and
                                                          are reset by the K-means of scikit-learn
============  ==========================================  ===========================================================

The loss of BYOL is a quarter of the one in mmpretrain and here (up to a constant); those of MoCo v2, Barlow Twins and
SMoG have the same scale. ``tests/tools/test_library_methods.py`` tests these factors.

Needs ``pip install lightly==1.6.*``, or the environment of ``tools/make_env.sh DIR libraries``.
"""

import copy

import torch
import torch.nn.functional as F
from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss
from lightly.models import modules, utils
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.utils.scheduler import cosine_schedule
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup import BaseSelfSupervisor
from sklearn.cluster import KMeans
from torch import Tensor, nn

from lewel_plugins.registry import MODELS


class LightlyMethod(BaseSelfSupervisor):
    """A backbone and a projection head.

    Args:
        backbone: Config of the backbone.
        in_channels: Channels of its features.
        hid_channels: Hidden channels of the heads.
        out_channels: Channels of the embedding.
        data_preprocessor: Config of the data preprocessor.
    """

    projection: type[nn.Module]

    def __init__(
        self,
        backbone: dict,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(backbone=backbone, data_preprocessor=data_preprocessor)
        self.neck = self.projection(in_channels, hid_channels, out_channels)  # RepresentationMonitorHook reads it

    def encode(self, x: Tensor) -> Tensor:
        return self.neck(self.backbone(x)[-1].mean((2, 3)))


class LightlyMomentumMethod(LightlyMethod):
    """A backbone, a projection head and their momentum copies; other arguments as in :class:`LightlyMethod`.

    Args:
        momentum: Teacher momentum 1 − α.
        end_momentum: 1 − α in the last epoch of a cosine schedule with a step per epoch; None keeps it constant.
    """

    def __init__(self, momentum: float, end_momentum: float | None = None, **settings) -> None:
        super().__init__(**settings)
        self.alphas = (1 - momentum, 1 - (momentum if end_momentum is None else end_momentum))
        self.reset_momentum_weights()

    def init_weights(self) -> None:
        """Initialize the online network, and the teacher as its copy."""
        super().init_weights()  # would leave backbone and momentum backbone with different random weights
        self.reset_momentum_weights()

    def reset_momentum_weights(self) -> None:
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.neck_momentum = copy.deepcopy(self.neck)
        utils.deactivate_requires_grad(self.backbone_momentum)
        utils.deactivate_requires_grad(self.neck_momentum)

    def update_momentum(self) -> None:
        hub = MessageHub.get_current_instance()
        epoch, epochs = hub.get_info('epoch', 0), hub.get_info('max_epochs', 1)
        start, end = self.alphas
        alpha = start if start == end else cosine_schedule(epoch, epochs, start, end)
        utils.update_momentum(self.backbone, self.backbone_momentum, alpha)
        utils.update_momentum(self.neck, self.neck_momentum, alpha)

    @torch.no_grad()
    def encode_momentum(self, x: Tensor) -> Tensor:
        return self.neck_momentum(self.backbone_momentum(x)[-1].mean((2, 3)))


def keep_in_checkpoints(bank: MemoryBankModule) -> None:
    """Let the state dict have a memory bank, so that a resumed training goes on with it; lightly leaves it out."""
    bank.register_buffer('bank', bank.bank)
    bank.register_buffer('bank_ptr', bank.bank_ptr)


@MODELS.register_module()
class LightlyBYOL(LightlyMomentumMethod):
    """lightly's example of BYOL, with the arguments of :class:`LightlyMomentumMethod`."""

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
class LightlyMoCo(LightlyMomentumMethod):
    """lightly's example of MoCo, with MoCo v2's head; other arguments as in :class:`LightlyMomentumMethod`.

    Args:
        queue_len: Keys in the queue.
        temperature: Temperature τ.
    """

    projection = modules.MoCoProjectionHead

    def __init__(self, queue_len: int, temperature: float, **settings) -> None:
        super().__init__(**settings)
        bank = (queue_len, settings['out_channels'])
        self.criterion = NTXentLoss(temperature=temperature, memory_bank_size=bank)
        keep_in_checkpoints(self.criterion.memory_bank)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Do a step of the example."""
        x_query, x_key = inputs
        self.update_momentum()
        query = self.encode(x_query)
        shuffled, order = utils.batch_shuffle(x_key)
        key = utils.batch_unshuffle(self.encode_momentum(shuffled), order)
        return dict(loss=self.criterion(query, key))


@MODELS.register_module()
class LightlyBarlowTwins(LightlyMethod):
    """lightly's example of Barlow Twins; other arguments as in :class:`LightlyMethod`.

    Args:
        redundancy_weight: Weight λ of the elements beside the diagonal.
    """

    projection = modules.BarlowTwinsProjectionHead

    def __init__(self, redundancy_weight: float, **settings) -> None:
        super().__init__(**settings)
        self.criterion = BarlowTwinsLoss(lambda_param=redundancy_weight)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Do a step of the example."""
        z0, z1 = (self.encode(x) for x in inputs)
        return dict(loss=self.criterion(z0, z1))


@MODELS.register_module()
class LightlySMoG(LightlyMomentumMethod):
    """lightly's example of SMoG; other arguments as in :class:`LightlyMomentumMethod`.

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
        keep_in_checkpoints(self.memory_bank)
        self.global_step: Tensor
        self.register_buffer('global_step', torch.zeros((), dtype=torch.long))  # for a resumed training

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
