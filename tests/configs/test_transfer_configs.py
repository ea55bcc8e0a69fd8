"""Every transfer config builds, and its backbone is the checkpoint's bit for bit."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, TRANSFORMS, init_default_scope

from lewel_plugins.runner_setup import SetupError
from lewel_plugins.transfer import set_checkpoint

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TRANSFERS = sorted(path for path in (CONFIGS / 'benchmarks').glob('mm*/*/*.py') if path.parent.name != '_base_')
BACKBONES = dict(
    r50=dict(type='ResNet', depth=50),
    resnet10=dict(type='lewel_plugins.ResNet10'),
    swin=dict(type='SwinTransformer', arch='tiny', img_size=224),
)


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """A pretraining of each backbone: mmpretrain's own, as a checkpoint."""
    init_default_scope('mmpretrain')
    folder = tmp_path_factory.mktemp('pretrained')
    for name, settings in BACKBONES.items():
        torch.manual_seed(0)
        state = {f'backbone.{key}': tensor for key, tensor in MODELS.build(settings).state_dict().items()}
        meta = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
        torch.save(dict(state_dict={**state, 'neck.weight': torch.ones(1)}, meta=meta), folder / f'{name}.pth')
    return {name: folder / f'{name}.pth' for name in BACKBONES}


def build(path: Path, checkpoint: Path | str):
    """Config and model of a transfer from a checkpoint, before the first iteration."""
    cfg = Config.fromfile(str(path))
    set_checkpoint(cfg, str(checkpoint))
    init_default_scope(cfg.default_scope)
    for package in ('models', 'datasets', 'evaluation', 'visualization'):
        __import__(f'{cfg.default_scope}.{package}')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model


def check(cfg: Config, model: torch.nn.Module) -> None:
    (hook,) = (HOOKS.build({k: v for k, v in hook.items() if k != 'priority'}) for hook in cfg.custom_hooks)
    hook.before_train(SimpleNamespace(iter=0, _load_from=None, model=model, logger=MMLogger.get_current_instance()))


@pytest.mark.parametrize('path', TRANSFERS, ids=lambda path: path.stem)
def test_config_builds_and_takes_every_tensor(path, checkpoints):
    name = next(name for name in BACKBONES if name in path.stem)
    cfg, model = build(path, checkpoints[name])
    check(cfg, model)
    state = torch.load(checkpoints[name], weights_only=True)['state_dict']
    found = dict(model.backbone.state_dict())
    if getattr(model, 'with_shared_head', False):
        found.update(model.roi_head.shared_head.state_dict())
        assert model.roi_head.shared_head.norm.num_features == (2048 if name == 'r50' else 128)
    for key, tensor in state.items():
        if key.startswith('backbone.'):
            assert torch.equal(found[key.removeprefix('backbone.')], tensor), key

    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == len(list(model.parameters()))  # nothing is frozen
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


@pytest.mark.parametrize('stem', ['mask-rcnn_resnet10_fpn', 'faster-rcnn_resnet10-c4', 'fcn_resnet10-d4'])
def test_a_missing_tensor_stops_it(stem, checkpoints, tmp_path):
    (path,) = (path for path in TRANSFERS if path.stem.startswith(stem))
    checkpoint = torch.load(checkpoints['resnet10'], weights_only=True)
    del checkpoint['state_dict']['backbone.layer4.0.conv2.weight']
    torch.save(checkpoint, tmp_path / 'partial.pth')
    with pytest.raises(SetupError, match=r'it lacks 1 \([\w.]+layer4\.0\.conv2\.weight\)'):
        check(*build(path, tmp_path / 'partial.pth'))


def test_random_weights_need_no_file_and_a_missing_file_is_named():
    cfg = Config.fromfile(str(TRANSFERS[0]))
    set_checkpoint(cfg, 'random')
    assert cfg.model.backbone.init_cfg is None and cfg.custom_hooks[0].allow_random
    assert 'allow_random' not in Config.fromfile(str(TRANSFERS[0])).custom_hooks[0]
    with pytest.raises(SetupError, match="none.pth' does not exist"):
        set_checkpoint(cfg, 'none.pth')


def test_suite_of_all_protocols_transfers_by_configs_that_exist():
    suite = Config.fromfile(str(CONFIGS / 'benchmarks' / 'evaluation-transfer_garment-scenes.py'))
    assert [entry.name for entry in suite.commands] == ['semi_1pct', 'semi_10pct', 'transfer']
    named = [word for word in suite.commands[-1].command.split() if word.endswith('garment-scenes.py')]
    paths = [Path(word.format(configs=CONFIGS / 'benchmarks')) for word in named]
    assert len(paths) == 3 and set(paths) <= set(TRANSFERS)
