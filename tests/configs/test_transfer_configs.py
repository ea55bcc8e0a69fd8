"""Every transfer config has the numbers of its protocol, loads the backbone bit for bit, and trains a step.

Those of garment scenes are trained in tests/tools/test_transfer.py.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.recipe_numbers import drops, numbers, plain, warm_up
from helpers.tiny_data import make_cityscapes, make_coco, make_voc
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, TRANSFORMS, init_default_scope
from mmengine.runner import Runner

from lewel_plugins.errors import SetupError
from lewel_plugins.running.transfer import read_backbone, set_checkpoint

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TRANSFERS = sorted(path for path in (CONFIGS / 'benchmarks').glob('mm*/*/*.py') if path.parent.name != '_base_')
BACKBONES = dict(
    r50=dict(type='ResNet', depth=50),
    resnet10=dict(type='lewel_plugins.ResNet10'),
    swin=dict(type='SwinTransformer', arch='tiny', img_size=224),
)

FLIP = dict(RandomFlip=dict(prob=0.5))
TEST_800 = dict(Resize=dict(scale=(1333, 800)))
COCO = dict(
    batch=(2, 16),
    wrapper='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    multipliers=dict(norm_decay_mult=0.0),
    clip=None,
    train=dict(RandomChoiceResize=dict(scales=[(1333, side) for side in range(640, 801, 32)]), **FLIP),
    test=TEST_800,
)
# LEWEL Sec. 4.3, detectron2's 2x, and MSBReg Sec. 8.4.
COCO_1X = dict(COCO, length=(90000, 'steps'), schedule=[warm_up(1000), drops(60000, 80000, unit='steps')])
COCO_2X = dict(COCO, length=(180000, 'steps'), schedule=[warm_up(1000), drops(120000, 160000, unit='steps')])
MSBREG = dict(
    COCO_1X,
    optimizer=dict(COCO['optimizer'], lr=0.05),
    schedule=[warm_up(50), drops(60000, 80000, unit='steps')],
)
SWIN = dict(
    COCO,
    length=(12, 'epochs'),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    multipliers=dict(
        custom_keys={
            name: dict(decay_mult=0.0) for name in ('absolute_pos_embed', 'relative_position_bias_table', 'norm')
        }
    ),
    schedule=[warm_up(1000), drops(8, 11)],
    train=dict(TEST_800, **FLIP),
)
VOC = dict(
    COCO,
    length=(24000, 'steps'),
    schedule=[warm_up(100), drops(18000, 22000, unit='steps')],
    train={
        'lewel_plugins.TrainOnDifficultBoxes': {},
        **dict(RandomChoiceResize=dict(scales=[(1333, side) for side in range(480, 801, 32)]), **FLIP),
    },
)
SMALL = dict(
    COCO,
    length=(6, 'epochs'),
    batch=(8, 8),
    schedule=[warm_up(100), drops(4, 5)],
    train=FLIP,
    test=dict(Resize=dict(scale=(64, 64))),
)


def poly(length: int, lr: float, weight_decay: float) -> dict:
    """Return the numbers of FCN with polynomial decay."""
    return dict(
        length=(length, 'steps'),
        wrapper='OptimWrapper',
        optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
        multipliers={},
        clip=None,
        schedule=[dict(type='PolyLR', eta_min=1e-4, power=0.9, unit='steps')],
    )


def crops(scale: tuple[int, int], side: int) -> dict:
    """Return the transforms of FCN."""
    return dict(
        train=dict(
            RandomResize=dict(scale=scale, ratio_range=(0.5, 2.0)),
            RandomCrop=dict(crop_size=(side, side), cat_max_ratio=0.75),
            **FLIP,
            PhotoMetricDistortion={},
        ),
        test=dict(Resize=dict(scale=scale)),
    )


NUMBERS = {
    'mask-rcnn_r50-c4_moco-ms-1x_coco': COCO_1X,
    'mask-rcnn_r50_fpn_moco-ms-1x_coco': COCO_1X,
    'mask-rcnn_r50-c4_moco-ms-2x_coco': COCO_2X,
    'mask-rcnn_r50_fpn_moco-ms-2x_coco': COCO_2X,
    'mask-rcnn_r50_fpn_msbreg-ms-1x_coco': MSBREG,
    'mask-rcnn_swin-tiny_fpn_ssl-1x_coco': SWIN,
    'faster-rcnn_r50-c4_moco-ms-24k_voc0712': VOC,
    'mask-rcnn_resnet10_fpn_1xb8-6e_garment-scenes': SMALL,
    'faster-rcnn_resnet10-c4_1xb8-6e_garment-scenes': SMALL,
    'fcn_r50-d8_4xb4-20k_voc12aug-512x512': dict(poly(20000, 0.01, 5e-4), batch=(4, 16), **crops((2048, 512), 512)),
    'fcn_r50-d8_8xb2-20k_cityscapes-769x769': dict(poly(20000, 0.01, 5e-4), batch=(2, 16), **crops((2049, 1025), 769)),
    'fcn_resnet10-d4_1xb16-600i_garment-scenes': dict(poly(600, 0.05, 1e-4), batch=(16, 16), train=FLIP, test={}),
}
NARROW = dict(ResNet=dict(stem_channels=16, base_channels=16), SwinTransformer=dict(embed_dims=24))
NARROW_SWIN = dict(embed_dims=24, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24])


def backbone_of(path: Path) -> str:
    """Return the key of the backbone of a config."""
    return next(name for name in ('resnet10', 'swin', 'r50') if name in path.stem)


def save_pretrained(folder: Path, backbones: dict[str, dict]) -> dict[str, Path]:
    """Write a checkpoint with each backbone, initialized by mmpretrain."""
    init_default_scope('mmpretrain')
    for name, settings in backbones.items():
        torch.manual_seed(0)
        state = {f'backbone.{key}': tensor for key, tensor in MODELS.build(settings).state_dict().items()}
        meta = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
        torch.save(dict(state_dict={**state, 'neck.weight': torch.ones(1)}, meta=meta), folder / f'{name}.pth')
    return {name: folder / f'{name}.pth' for name in backbones}


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Write checkpoints with the backbones of the configs."""
    return save_pretrained(tmp_path_factory.mktemp('pretrained'), BACKBONES)


@pytest.fixture(scope='module')
def narrow_checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Write checkpoints with backbones a quarter as wide."""
    swin = dict(type='SwinTransformer', arch=NARROW_SWIN, img_size=224)
    r50 = dict(type='ResNet', depth=50, **NARROW['ResNet'])
    return save_pretrained(tmp_path_factory.mktemp('narrow'), dict(r50=r50, swin=swin))


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Write two images per list to ``data`` in a folder, where the configs expect them."""
    root = tmp_path_factory.mktemp('cwd')
    rng = np.random.default_rng(0)
    make_voc(root / 'data' / 'VOCdevkit', rng)
    make_coco(root / 'data' / 'coco', rng)
    make_cityscapes(root / 'data' / 'cityscapes', rng)
    return root


def build(path: Path, checkpoint: Path):
    """Build config and model of a transfer from a checkpoint, as before the first iteration."""
    cfg = Config.fromfile(str(path))
    set_checkpoint(cfg, read_backbone(str(checkpoint)), checkpoint.with_suffix('.copy.pth'))
    init_default_scope(cfg.default_scope)
    for package in ('models', 'datasets', 'evaluation', 'visualization'):
        __import__(f'{cfg.default_scope}.{package}')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model


def check(cfg: Config, model: torch.nn.Module) -> None:
    (hook,) = (HOOKS.build({k: v for k, v in hook.items() if k != 'priority'}) for hook in cfg.custom_hooks)
    hook.before_train(SimpleNamespace(iter=0, _load_from=None, model=model, logger=MMLogger.get_current_instance()))


def test_every_row_of_numbers_has_a_config():
    assert set(NUMBERS) == {path.stem for path in TRANSFERS}


@pytest.mark.parametrize('path', TRANSFERS, ids=lambda path: path.stem)
def test_numbers_are_the_protocols(path):
    assert numbers(Config.fromfile(str(path))) == plain(NUMBERS[path.stem])


@pytest.mark.sampled(3)
@pytest.mark.parametrize('path', TRANSFERS, ids=lambda path: path.stem)
def test_config_builds_and_takes_every_tensor(path, checkpoints):
    name = backbone_of(path)
    cfg, model = build(path, checkpoints[name])
    check(cfg, model)
    state = torch.load(checkpoints[name], weights_only=True)['state_dict']
    state_dict = dict(model.backbone.state_dict())
    if getattr(model, 'with_shared_head', False):
        state_dict.update(model.roi_head.shared_head.state_dict())
        assert model.roi_head.shared_head.norm.num_features == (2048 if name == 'r50' else 128)
    for key, tensor in state.items():
        if key.startswith('backbone.'):
            assert torch.equal(state_dict[key.removeprefix('backbone.')], tensor), key

    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(trainable) == len(list(model.parameters()))  # nothing is frozen
    model.train()
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert all(norm.training for norm in norms)
    if name == 'r50':
        assert norms and all(isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms)
    build_optim_wrapper(model, cfg.optim_wrapper)

    data = cfg.train_dataloader.dataset
    for dataset in (*data.get('datasets', [data]), cfg.val_dataloader.dataset):
        for transform in dataset.pipeline:
            TRANSFORMS.build(transform)
    preprocessor = model.data_preprocessor
    assert preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert preprocessor._channel_conversion  # OpenMMLab loads BGR


def shrink(cfg: Config) -> None:
    """Shrink a config: one step and a validation, images of an eighth, a network of a quarter, fewer regions."""
    widths = ('in_channels', 'out_channels', 'feat_channels', 'channels', 'conv_out_channels', 'fc_out_channels')
    sizes = ('scale', 'scales', 'crop_size', 'size', 'stride')

    def divide(value, by):
        return max(value // by, 1) if isinstance(value, int) else type(value)(divide(item, by) for item in value)

    def walk(node, names, by):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key in names and isinstance(value, (int, list, tuple)):
                node[key] = divide(value, by)
            elif isinstance(value, (dict, list)):
                walk(value, names, by)

    model = cfg.model
    walk(model, widths, 4)
    for part in (model.backbone, model.get('roi_head', {}).get('shared_head', {}).get('backbone')):
        if part:
            part.update(NARROW[part.type])
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        walk(loader.dataset, sizes, 8)
    cfg.train_dataloader.batch_size = 2
    if 'rpn_head' in model:
        model.train_cfg.rcnn.sampler.num = 8
        for part in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
            part.update(nms_pre=100, max_per_img=20)
        # An untrained network is not confident of any class.
        model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)
    else:
        walk(model.data_preprocessor, sizes, 8)
        walk(model.test_cfg, sizes, 8)
    cfg.train_cfg.val_interval = 1
    cfg.train_cfg['max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'] = 1
    cfg.default_hooks.checkpoint = None
    cfg.param_scheduler = []  # rounding hides the first step of a warm-up from a weight of 1
    cfg.randomness = dict(seed=0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    'path', [path for path in TRANSFERS if path.parent.name != 'garment-scenes'], ids=lambda path: path.stem
)
def test_opens_its_data_trains_a_step_and_validates(path, folder, narrow_checkpoints, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    cfg = Config.fromfile(str(path))
    set_checkpoint(cfg, read_backbone(str(narrow_checkpoints[backbone_of(path)])), tmp_path / 'backbone.pth')
    shrink(cfg)
    cfg.work_dir, cfg.experiment_name = str(tmp_path), path.stem
    init_default_scope(cfg.default_scope)
    __import__(f'{cfg.default_scope}.utils', fromlist=['register_all_modules']).register_all_modules()
    runner = Runner.from_cfg(cfg)
    before = {}

    def remember(module, inputs):
        if module.training:
            before.update({name: p.detach().clone() for name, p in module.backbone.named_parameters()})

    runner.model.register_forward_pre_hook(remember)
    runner.train()
    assert runner.iter == 1
    # The VOC data set is the union of two lists.
    assert len(runner.train_dataloader.dataset) == (4 if 'voc' in path.stem else 2)
    assert len(runner.val_dataloader.dataset) == 2
    still = [name for name, p in runner.model.backbone.named_parameters() if torch.equal(p, before[name])]
    assert before and not still
    scalar = runner.message_hub.get_scalar
    assert 0 < scalar('train/loss').current() < 50
    metrics = {'coco': ('coco/bbox_mAP', 'coco/segm_mAP'), 'voc0712': ('pascal_voc/mAP', 'pascal_voc/AP75')}
    for name in metrics.get(path.parent.name, ('mIoU', 'aAcc')):
        assert 0 <= scalar(f'val/{name}').current() <= 100, name


@pytest.mark.parametrize('stem', ['mask-rcnn_resnet10_fpn', 'faster-rcnn_resnet10-c4', 'fcn_resnet10-d4'])
def test_a_missing_tensor_stops_it(stem, checkpoints, tmp_path):
    (path,) = (path for path in TRANSFERS if path.stem.startswith(stem))
    checkpoint = torch.load(checkpoints['resnet10'], weights_only=True)
    del checkpoint['state_dict']['backbone.layer4.0.conv2.weight']
    torch.save(checkpoint, tmp_path / 'partial.pth')
    with pytest.raises(SetupError, match=r'it lacks 1 tensor \([\w.]+layer4\.0\.conv2\.weight\)'):
        check(*build(path, tmp_path / 'partial.pth'))


def test_random_weights_need_no_file_and_a_missing_file_is_named(tmp_path):
    cfg = Config.fromfile(str(TRANSFERS[0]))
    set_checkpoint(cfg, None, tmp_path / 'none.pth')
    assert cfg.model.backbone.init_cfg is None and cfg.custom_hooks[0].allow_random
    assert 'allow_random' not in Config.fromfile(str(TRANSFERS[0])).custom_hooks[0]
    with pytest.raises(SetupError, match="none.pth' does not exist"):
        read_backbone('none.pth')
