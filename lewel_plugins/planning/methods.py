"""The methods by the names that a user types, with what a plan needs of their recipes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from lewel_plugins.errors import SetupError

# What a loss does with a batch that is split into several accumulated ones:
MEAN = 'mean'  # a mean over images: accumulated batches give the same loss
QUEUE = 'queue'  # negatives are in a queue, which takes all keys of a step
BATCH = 'batch'  # images of a batch are compared with each other: a smaller batch is another loss


@dataclass(frozen=True)
class Method:
    """A method and the numbers of its recipe for ResNet-18 on one GPU.

    Args:
        name: What the user types.
        title: Its name in prose.
        model: File of ``configs/_base_/models`` without suffix.
        views: Scheme of the views: ``byol``, ``mocov2`` or ``msbreg``.
        num_views: Views per image.
        optimizer: ``sgd``, ``lars`` or ``adamw``.
        lr: Rate for a batch of ``batch``.
        batch: Batch of the recipe.
        epochs: Length of the recipe.
        warm_up: Epochs of warm-up in the recipe.
        weight_decay: Weight decay.
        loss: ``mean``, ``queue`` or ``batch``.
        momentum: 1 − α of the teacher at the start; None without a teacher, or where the groups determine it.
        momentum_key: Its name in the model's config.
        queue: Length of the queue in the recipe; 0 without one.
        whole_batches: Whether the queue must hold whole batches, as that of mmpretrain.
        vector: Options of the model with which heads fit a transformer that returns a vector; None if it takes none.
        narrow: Options of the model with which heads fit a backbone of at most 512 channels.
    """

    name: str
    title: str
    model: str
    views: str
    num_views: int
    optimizer: str
    lr: float
    batch: int
    epochs: int
    warm_up: int
    weight_decay: float
    loss: str
    momentum: float | None = None
    momentum_key: str = 'momentum'
    queue: int = 0
    whole_batches: bool = False
    vector: Mapping[str, Any] | None = None
    narrow: Mapping[str, Any] = field(default_factory=dict)

    def without_batch_norm(self) -> 'Method':
        """Return the method with an optimizer for backbones without batch norm, which are transformers and ConvNeXts.

        The numbers are those of mmpretrain's MoCo v3 with a ViT-S, as in ``configs/mpcl``: a rate of 2.4e-3 for 4,096
        images, 40 of 300 epochs of warm-up. For the other methods and backbones they have not been measured.
        """
        return replace(self, optimizer='adamw', lr=1.5e-4, batch=256, epochs=300, warm_up=40, weight_decay=0.1)


def _hid(width: int, *others: str) -> dict[str, Any]:
    return {'neck.hid_channels': width, **dict.fromkeys(others, width)}


_SGD: dict[str, Any] = dict(optimizer='sgd', lr=0.06, batch=256, epochs=200, warm_up=0, weight_decay=1e-4)
_LARS: dict[str, Any] = dict(optimizer='lars', lr=1.0, batch=256, epochs=200, warm_up=10, weight_decay=1e-5)
_BARLOW_TWINS: dict[str, Any] = dict(_LARS, lr=0.2, weight_decay=1e-6, views='byol', num_views=2, loss=BATCH)
_MOCO: dict[str, Any] = dict(_SGD, views='mocov2', num_views=2, loss=QUEUE, momentum=0.01, queue=65536)
_BYOL: dict[str, Any] = dict(_LARS, views='byol', num_views=2, loss=MEAN, momentum=0.01)

METHODS = {
    method.name: method
    for method in (
        # The aligned loss of LEWEL_M has the images of the batch as negatives.
        Method('lewel-m', 'LEWEL_M', 'lewel-m_resnet50', **{**_MOCO, 'loss': BATCH}, narrow=_hid(512)),
        Method('lewel-b', 'LEWEL_B', 'lewel-b_resnet50', **_BYOL, narrow=_hid(1024, 'head.hid_channels')),
        Method('smog', 'SMoG', 'smog_resnet50', views='byol', num_views=2, loss=BATCH, **_LARS),
        # PCR correlates the outputs of projectors over the images of the batch.
        Method('mpcl-mocov2', 'MPCL on MoCo v2', 'mpcl-mocov2_resnet50', **{**_MOCO, 'loss': BATCH}, narrow=_hid(512)),
        Method(
            'mpcl-mocov3',
            'MPCL on MoCo v3',
            'mpcl-mocov3_resnet50',
            **{**_BYOL, 'loss': BATCH},
            narrow={**_hid(1024, 'head.predictor.hid_channels'), 'head.temperature': 0.2},
            vector={'neck.mlp.num_layers': 3, 'head.predictor.with_last_bn': True},
        ),
        Method(
            'mpcl-barlowtwins',
            'MPCL on Barlow Twins',
            'mpcl-barlowtwins_resnet50',
            **_BARLOW_TWINS,
            narrow=_hid(1024, 'neck.out_channels'),
        ),
        Method(
            'msbreg',
            'MSBReg',
            'msbreg_resnet50',
            **{**_BYOL, 'views': 'msbreg', 'num_views': 4, 'lr': 2.0, 'loss': BATCH, 'momentum': 0.004},
            narrow={**_hid(512, 'head.hid_channels'), 'neck.out_channels': 128},
        ),
        Method('mocov2', 'MoCo v2', 'mocov2_resnet50', **_MOCO, whole_batches=True, narrow=_hid(512)),
        Method(
            'mocov3',
            'MoCo v3',
            'mocov3_resnet50',
            momentum_key='base_momentum',
            **{**_BYOL, 'loss': BATCH},
            narrow=_hid(1024, 'head.predictor.hid_channels'),
            vector={'neck.with_avg_pool': False, 'neck.num_layers': 3, 'head.predictor.with_last_bn': True},
        ),
        Method(
            'byol',
            'BYOL',
            'byol_resnet50',
            momentum_key='base_momentum',
            **_BYOL,
            narrow=_hid(1024, 'head.predictor.hid_channels'),
        ),
        Method(
            'barlowtwins',
            'Barlow Twins',
            'barlowtwins_resnet50',
            **_BARLOW_TWINS,
            narrow=_hid(1024, 'neck.out_channels', 'head.in_channels'),
        ),
    )
}


def find_method(name: str) -> Method:
    """Return the method of a name.

    Raises:
        SetupError: There is none; the message has the nearest name.
    """
    if not isinstance(name, str) or name not in METHODS:
        near = get_close_matches(str(name).lower().replace('_', '-'), METHODS, n=1, cutoff=0.5)
        hint = f'did you mean {near[0]}?' if near else f'choose one of {", ".join(METHODS)}'
        raise SetupError(f'unknown method {name!r}; {hint}')
    return METHODS[name]
