import hashlib
import importlib.util
import sys

import pytest
import torch
import torchvision
from helpers.checkpoints import make_run
from helpers.tool_runs import ROOT, run
from helpers.toy_runner import toy_runner
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from lewel_plugins.checkpoints import local_file
from lewel_plugins.errors import SetupError

EXPORT = str(ROOT / 'tools' / 'export_backbone.py')
IMPORT = str(ROOT / 'tools' / 'import_backbone.py')
RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def module(path):
    """Import a tool as a module."""
    spec = importlib.util.spec_from_file_location('tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Return a function that runs a tool in this process, which is much faster, and returns its output."""
    monkeypatch.chdir(tmp_path)

    def call(path, *words):
        monkeypatch.setattr(sys, 'argv', [path, *map(str, words)])
        module(path).main()
        return capsys.readouterr().out

    return call


@pytest.mark.core
def test_exports_the_online_backbone(tmp_path, tool):
    runner = toy_runner(tmp_path)
    runner.train()
    source, out = tmp_path / 'iter_4.pth', tmp_path / 'new' / 'backbone.pth'
    expected = runner.model.backbone.state_dict()
    assert f'{len(expected)} tensors (' in tool(EXPORT, source, '--out', out)

    saved = torch.load(out, weights_only=True)
    assert list(saved['state_dict']) == [f'backbone.{name}' for name in expected]
    for name, tensor in expected.items():
        assert torch.equal(saved['state_dict'][f'backbone.{name}'], tensor), name
    assert saved['meta']['arch'] == 'ResNet_CIFAR' and saved['meta']['iter'] == 4
    assert saved['meta']['source_sha256'] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert [p.name for p in out.parent.iterdir()] == ['backbone.pth']

    if DefaultScope.get_current_instance() is None:
        init_default_scope('mmpretrain')
    settings = dict(saved['meta']['backbone'], init_cfg=dict(type='Pretrained', checkpoint=str(out), prefix='backbone'))
    backbone = MODELS.build(settings)
    backbone.init_weights()
    images = torch.randn(2, 3, 16, 16)
    backbone.eval()
    runner.model.eval()
    assert torch.equal(backbone(images)[-1], runner.model.backbone(images)[-1])


def test_errors_name_what_is_wrong(tmp_path, tool):
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'bare.pth')
    with pytest.raises(SetupError, match='^none.pth does not exist'):
        tool(EXPORT, 'none.pth', '--out', 'out.pth')
    done = run(sys.executable, EXPORT, 'bare.pth', '--out', 'out.pth', cwd=tmp_path)
    assert done.returncode == 1 and 'error: bare.pth holds no config in its meta' in done.stdout
    assert not (tmp_path / 'out.pth').exists()


def test_a_folder_of_a_run_counts_as_its_last_checkpoint(tmp_path, tool):
    folder = make_run(tmp_path / 'run')
    assert 'written to' in tool(EXPORT, folder, '--out', tmp_path / 'backbone.pth')
    (tmp_path / 'photos').mkdir()
    with pytest.raises(SetupError, match='photos holds no trained network: .* name a file, or the folder of a run'):
        tool(EXPORT, tmp_path / 'photos', '--out', tmp_path / 'other.pth')
    with pytest.raises(SetupError, match=r"checkpoint '.*photos' is a folder; name a file in it"):
        local_file(str(tmp_path / 'photos'))


def test_a_file_of_a_run_is_not_replaced(tmp_path, tool):
    folder = make_run(tmp_path / 'run')
    source = folder / 'epoch_1.pth'
    before = source.read_bytes()
    for out, reason in (
        (source, 'epoch_1.pth holds the weights to export'),
        (folder, 'run is a folder; --out takes a file'),
        (folder / 'last_checkpoint', 'last_checkpoint is a file of the run in .*run'),
    ):
        with pytest.raises(SetupError, match=reason):
            tool(EXPORT, source, '--out', out)
    assert source.read_bytes() == before


def save_resnet18(folder):
    """Write a checkpoint of a supervised ResNet-18; return its path and the tensors of its backbone."""
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=4, in_channels=512),
            ),
            data_preprocessor=dict(type='lewel_plugins.BatchViews'),
        )
    )
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    path = folder / 'r18.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text)), path)
    return path, model.backbone.state_dict()


def test_goes_to_torchvision_and_back(tmp_path, tool):
    source, expected = save_resnet18(tmp_path)
    out, back = tmp_path / 'torchvision.pth', tmp_path / 'back.pth'
    assert 'the largest difference is 0' in tool(EXPORT, source, '--to', 'torchvision', '--out', out)
    missing, unexpected = torchvision.models.resnet18().load_state_dict(torch.load(out, weights_only=True), False)
    assert set(missing) == {'fc.weight', 'fc.bias'} and not unexpected

    tool(IMPORT, out, '--from', 'torchvision', '--arch', 'resnet18', '--out', back)
    saved = torch.load(back, weights_only=True)
    state = saved['state_dict']
    assert all(torch.equal(state[f'backbone.{name}'], tensor) for name, tensor in expected.items())
    assert saved['meta']['data_preprocessor'] == RGB


def test_goes_to_timm_and_back_and_an_import_goes_on_to_mmdet(tmp_path, tool):
    timm = pytest.importorskip('timm')
    pytest.importorskip('mmdet')
    _, expected = save_resnet18(tmp_path)

    assert 'the largest difference is 0' in tool(EXPORT, 'r18.pth', '--to', 'timm', '--out', 'timm.pth')
    theirs = timm.create_model('resnet18', num_classes=0)
    theirs.load_state_dict(torch.load('timm.pth', weights_only=True))
    words = ('timm.pth', '--from', 'timm', '--arch', 'resnet18', '--out', 'back.pth')
    assert 'normalized with mean [123.675, 116.28, 103.53]' in tool(IMPORT, *words)
    saved = torch.load('back.pth', weights_only=True)
    assert saved['meta']['data_preprocessor'] == RGB
    meta = dict(saved['meta'], method='BYOL', epoch=3)
    torch.save(dict(saved, meta=meta), 'back.pth')

    tool(EXPORT, 'r18.pth', '--out', 'own.pth')
    assert torch.load('own.pth', weights_only=True)['meta']['data_preprocessor']['to_rgb'] is True  # by default
    assert 'bit for bit' in tool(EXPORT, 'back.pth', '--to', 'mmdet', '--out', 'mmdet.pth')
    onward = torch.load('mmdet.pth', weights_only=True)
    assert set(onward['state_dict']) == {f'backbone.{name}' for name in expected}
    assert all(torch.equal(onward['state_dict'][f'backbone.{name}'], tensor) for name, tensor in expected.items())
    assert onward['meta']['source'] == 'back.pth' and onward['meta']['backbone'] == saved['meta']['backbone']
    assert [onward['meta'][name] for name in ('data_preprocessor', 'method', 'epoch')] == [RGB, 'BYOL', 3]


def test_normalization_of_imports_is_given_or_known_or_left_open(tmp_path, tool):
    timm = pytest.importorskip('timm')
    timm_normalization = module(IMPORT).timm_normalization
    known = {name: RGB[name] for name in ('mean', 'std')}
    for arch in ('resnet50', 'swin-tiny'):
        assert timm_normalization(arch) == known
    for arch in ('resnet34', 'vit-tiny-p16'):  # timm has weights of both kinds for the first
        assert timm_normalization(arch) is None
    vit = timm.create_model('vit_tiny_patch16_224', num_classes=0, img_size=32)
    torch.save(vit.state_dict(), tmp_path / 'vit.pth')
    words = ['vit.pth', '--from', 'timm', '--arch', 'vit-tiny-p16', '--img-size', '32', '--out']
    half = ['127.5'] * 3
    for options, expected in (
        ([], None),
        (['--mean', *half, '--std', *half], dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)),
    ):
        tool(IMPORT, *words, 'out.pth', *options)
        assert torch.load(tmp_path / 'out.pth', weights_only=True)['meta']['data_preprocessor'] == expected


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['--arch', 'resnet18', '--img-size', '64'],
            '--img-size must be positive, and is for a vit only; got 64 for resnet18',
        ),
        (['--arch', 'vit-tiny-p16', '--mean', '1', '2', '3'], '--mean and --std go together'),
        (['--arch', 'resnet18', '--mean', *'000', '--std', *['0.5'] * 3], '--std must be on the scale 0 to 255'),
    ],
)
def test_import_refuses_options_that_do_not_fit(options, message, tool, capsys):
    with pytest.raises(SystemExit):
        tool(IMPORT, 'x.pth', '--from', 'torchvision', '--out', 'y.pth', *options)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(backbone=dict(type="NoNet"))', "has the type 'NoNet', which is in no registry"),
        ('model = dict(backbone=dict(depth=18))', 'the backbone of a.pth cannot be built: .*type'),
        ('model = dict(backbone=dict(type="ResNet", deep=18))', 'the backbone of a.pth cannot be built: .*deep'),
        ('model = dict(type="BYOL")', 'the config of a.pth has no model.backbone'),
        ('model = 3', 'the config of a.pth has no model.backbone'),
        ('data = dict()', 'the config of a.pth has no model.backbone'),
    ],
)
def test_a_broken_config_is_reported(tmp_path, tool, text, message):
    torch.save(dict(meta=dict(cfg=text), state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    with pytest.raises(SetupError, match=message):
        tool(EXPORT, 'a.pth', '--out', 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('library', ['safetensors', 'detectron2'])
def test_files_hold_tensors_under_the_librarys_names(tmp_path, library, tool):
    source, expected = save_resnet18(tmp_path)
    out = tmp_path / f'out.{library}'
    assert 'bit for bit' in tool(EXPORT, source, '--to', library, '--out', out)
    if library == 'safetensors':
        from safetensors.torch import load_file  # missing in the environment of the classic line

        tensors = load_file(out)
        name = 'backbone.layer1.0.bn2.weight'
    else:
        content = torch.load(out, weights_only=True)
        assert content['matching_heuristics'] and content['__author__'] == 'lewel_plugins'
        tensors, name = content['model'], 'res2.0.conv2.norm.weight'
    assert len(tensors) == len(expected)
    assert torch.equal(tensors[name], expected['layer1.0.bn2.weight'])


def test_import_refuses_files_that_are_no_state_dict(tmp_path, tool):
    torch.save(dict(a=[1]), tmp_path / 'x.pth')
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'r18.pth')
    for name, arch, message in (
        ('none.pth', 'resnet18', 'do not exist'),
        ('x.pth', 'resnet18', 'is no state dict'),
        ('r18.pth', 'resnet34', 'does not fit a ResNet: it lacks'),
    ):
        with pytest.raises(SetupError, match=message):
            tool(IMPORT, name, '--from', 'torchvision', '--arch', arch, '--out', 'out.pth')
    assert not (tmp_path / 'out.pth').exists()
