"""Trainings whose bits are compared: every method with its switches, on a ResNet-10 of two narrow stages.

These are plain configs, so that a refactoring changes this file only where configs change. Expected results are stored
under the name of a case, so a case that is renamed or trained differently must be recorded anew.
"""

from __future__ import annotations

from dataclasses import dataclass

WIDTH, HIDDEN, EMBEDDING = 16, 24, 12  # channels of the backbone, hidden channels, channels of an embedding

SGD = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
LARS = dict(type='lewel_plugins.LARS', lr=1.0, momentum=0.9, weight_decay=1e-6)


@dataclass(frozen=True)
class Case:
    """A model, and how it is trained.

    Args:
        model: Config of the algorithm, without backbone and data preprocessor.
        optimizer: Config of the optimizer.
        hooks: Configs of hooks besides those that every case has.
        views: Height and width of each view, in pixels.
    """

    model: dict
    optimizer: dict
    hooks: tuple[dict, ...] = ()
    views: tuple[int, ...] = (16, 16)


def lewel_neck(**changes: object) -> dict:
    sizes = dict(in_channels=WIDTH, hid_channels=HIDDEN, out_channels=EMBEDDING, aligned_channels=8, num_groups=4)
    return dict(type='lewel_plugins.LEWELNeck', **sizes, **changes)


def projection_neck(**changes: object) -> dict:
    sizes = dict(in_channels=WIDTH, hid_channels=HIDDEN, out_channels=EMBEDDING)
    return dict(type='lewel_plugins.ProjectionNeck', **sizes, **changes)


def multi_projector_neck(hid_channels: int | list[int] = HIDDEN, **mlp: object) -> dict:
    sizes = dict(in_channels=WIDTH, hid_channels=hid_channels, out_channels=EMBEDDING, num_projectors=3)
    return dict(type='lewel_plugins.MultiProjectorNeck', **sizes, mlp=mlp)


def lewel_m(neck: dict | None = None, **changes: object) -> Case:
    """Return LEWEL_M with a queue of fewer keys than those of 6 steps."""
    head = dict(type='lewel_plugins.LEWELContrastHead')
    model = dict(type='lewel_plugins.LEWELM', neck=neck or lewel_neck(), head=head, queue_len=20, **changes)
    return Case(model, SGD)


def lewel_b(neck: dict | None = None, hooks: tuple[dict, ...] = (), **changes: object) -> Case:
    head = dict(type='lewel_plugins.LEWELPredictHead', hid_channels=HIDDEN)
    model = dict(type='lewel_plugins.LEWELB', neck=neck or lewel_neck(), head=head, **changes)
    return Case(model, LARS, hooks)


def smog(
    update: str,
    views: tuple[int, ...] = (16, 16),
    activation: str = 'relu',
    detach_groups: bool = False,
    window: int | None = None,
    **changes: object,
) -> Case:
    """Return SMoG with K-means before the first step, and with resets after the second and the fourth."""
    model = dict(
        type='lewel_plugins.SMoG',
        neck=projection_neck(out_norm=True, activation=activation),
        head=dict(
            type='lewel_plugins.SMoGHead',
            hid_channels=HIDDEN,
            num_groups=6,
            beta=0.9,
            end_beta=0.5,
            update=update,
            detach_groups=detach_groups,
        ),
        num_views=len(views),
        **changes,
    )
    return Case(model, LARS, (dict(type='lewel_plugins.SMoGResetHook', interval=2, window=window),), views)


def mpcl(
    method: str, head: dict, neck: dict, optimizer: dict = SGD, balance: dict | None = None, **changes: object
) -> Case:
    """Return MPCL with PCR, and with new weights of the projectors after the fourth step."""
    head = dict(head, balance=dict(pcr_weight=0.5, **(balance or {})))
    model = dict(type=f'lewel_plugins.{method}', neck=neck, head=head, **changes)
    return Case(model, optimizer, (dict(type='lewel_plugins.MPCLReweightHook', interval=4),))


def msbreg(neck: dict | None = None, **changes: object) -> Case:
    """Return MSBReg with four views and all three losses."""
    settings = {name: changes.pop(name) for name in ('exclude_self', 'normalize', 'sync') if name in changes}
    head = dict(type='lewel_plugins.MSBRegHead', hid_channels=HIDDEN, **settings)
    model = dict(type='lewel_plugins.MSBReg', neck=neck or projection_neck(), head=head, **changes)
    return Case(model, LARS, views=(16,) * 4)


def byol_multi_crop(views: tuple[int, ...], targets: str = 'all') -> Case:
    head = dict(type='lewel_plugins.BYOLMultiCropHead', hid_channels=HIDDEN, targets=targets)
    model = dict(type='lewel_plugins.BYOLMultiCrop', neck=projection_neck(), head=head)
    return Case(model, LARS, views=views)


REGULARIZER_HOOK = dict(
    type='lewel_plugins.RegularizerHook',
    module='head.q',
    regularizers=[dict(type='lewel_plugins.BrownianLoss'), dict(type='lewel_plugins.SingularValueLoss')],
)
MOCO = dict(type='lewel_plugins.MPCLContrastHead')
MOCO_V3 = dict(
    head=dict(type='lewel_plugins.MPCLPredictHead', predictor=dict(hid_channels=HIDDEN, with_last_bn=True)),
    neck=multi_projector_neck(with_last_bn=True),
    momentum=0.1,
)
BARLOW_TWINS = dict(type='lewel_plugins.MPCLBarlowTwinsHead')

CASES = dict(
    lewel_m=lewel_m(),
    lewel_m_eman=lewel_m(teacher_norm='eman'),
    lewel_m_random=lewel_m(lewel_neck(alignment='random')),
    lewel_b_eman=lewel_b(teacher_norm='eman'),
    lewel_b_train=lewel_b(teacher_norm='train'),
    lewel_b_uncoupled=lewel_b(lewel_neck(coupled=False)),
    lewel_b_regularized=lewel_b(hooks=(REGULARIZER_HOOK,)),
    smog_momentum=smog('momentum'),
    smog_average=smog('average'),
    smog_latest=smog('latest', activation='gelu', cache_dtype='float32'),
    smog_random=smog('random'),
    smog_switches=smog('momentum', detach_groups=True, window=1),
    smog_multi_crop=smog('momentum', views=(16, 16, 8, 8)),
    mpcl_moco=mpcl('MPCLMoCo', MOCO, neck=multi_projector_neck(with_bn=False, dropout=0.3), queue_len=20),
    mpcl_moco_widths=mpcl(
        'MPCLMoCo', MOCO, neck=multi_projector_neck([12, 16, 24]), balance=dict(pcr='cosine'), queue_len=20
    ),
    mpcl_moco_v3=mpcl('MPCLMoCoV3', **MOCO_V3),
    mpcl_moco_v3_switches=mpcl('MPCLMoCoV3', **MOCO_V3, balance=dict(pcr='squared_cosine', literal_eq4=True)),
    mpcl_barlow_twins=mpcl('MPCLBarlowTwins', BARLOW_TWINS, multi_projector_neck(num_layers=3), LARS),
    mpcl_barlow_twins_separate=mpcl(
        'MPCLBarlowTwins', BARLOW_TWINS, neck=multi_projector_neck(shared_hidden=False, init='mixed')
    ),
    msbreg=msbreg(),
    msbreg_switches=msbreg(
        projection_neck(norm='LN', standardize=True), exclude_self=True, normalize=True, teacher_norm='eman'
    ),
    msbreg_local=msbreg(sync=False),
    byol=byol_multi_crop((16, 16)),
    byol_multi_crop=byol_multi_crop((16, 16, 8, 8, 8)),
    byol_multi_crop_large=byol_multi_crop((16, 16, 8, 8, 8), targets='large'),
)
