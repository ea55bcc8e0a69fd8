"""The methods by the names that a user types, with what a plan needs of their recipes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        views: Scheme of the views, ``byol`` or ``mocov2``.
        num_views: Views per image.
        optimizer: ``sgd`` or ``lars``.
        lr: Rate for a batch of ``batch``.
        batch: Batch of the recipe.
        epochs: Length of the recipe.
        warm_up: Epochs of warm-up in the recipe.
        weight_decay: Weight decay.
        loss: ``mean``, ``queue`` or ``batch``.
        momentum: 1 − α of the teacher at the start; None without a teacher, or where the groups determine it.
        momentum_key: Its name in the model's config.
        queue: Length of the queue in the recipe; 0 without one.
        needs_map: Whether the neck needs the feature map of the backbone.
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
    needs_map: bool = False
    narrow: Mapping[str, Any] = field(default_factory=dict)


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
        Method('lewel-m', 'LEWEL_M', 'lewel-m_resnet50', needs_map=True, **{**_MOCO, 'loss': BATCH}, narrow=_hid(512)),
        Method(
            'lewel-b', 'LEWEL_B', 'lewel-b_resnet50', needs_map=True, **_BYOL, narrow=_hid(1024, 'head.hid_channels')
        ),
        Method('smog', 'SMoG', 'smog_resnet50', views='byol', num_views=2, loss=BATCH, **_LARS),
        Method('mpcl-mocov2', 'MPCL on MoCo v2', 'mpcl-mocov2_resnet50', **_MOCO, narrow=_hid(512)),
        Method(
            'mpcl-mocov3',
            'MPCL on MoCo v3',
            'mpcl-mocov3_resnet50',
            **{**_BYOL, 'loss': BATCH},
            narrow={**_hid(1024, 'head.predictor.hid_channels'), 'head.temperature': 0.2},
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
            **{**_BYOL, 'num_views': 4, 'lr': 2.0, 'loss': BATCH},
            narrow={**_hid(512, 'head.hid_channels'), 'neck.out_channels': 128},
        ),
        Method('mocov2', 'MoCo v2', 'mocov2_resnet50', **_MOCO, narrow=_hid(512)),
        Method(
            'mocov3',
            'MoCo v3',
            'mocov3_resnet50',
            momentum_key='base_momentum',
            **{**_BYOL, 'loss': BATCH},
            narrow=_hid(1024, 'head.predictor.hid_channels'),
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
    if name not in METHODS:
        near = get_close_matches(name.lower().replace('_', '-'), METHODS, n=1, cutoff=0.5)
        hint = f'did you mean {near[0]}?' if near else f'choose one of {", ".join(METHODS)}'
        raise SetupError(f'unknown method {name!r}; {hint}')
    return METHODS[name]
