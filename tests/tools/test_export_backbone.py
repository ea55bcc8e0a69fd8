import hashlib
import sys

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from tool_runs import ROOT, run
from toy_runner import toy_runner

EXPORT = str(ROOT / 'tools' / 'export_backbone.py')
IMPORT = str(ROOT / 'tools' / 'import_backbone.py')


@pytest.mark.core
def test_exports_the_online_backbone(tmp_path):
    runner = toy_runner(tmp_path)
    runner.train()
    source, out = tmp_path / 'iter_4.pth', tmp_path / 'new' / 'backbone.pth'
    done = run(sys.executable, EXPORT, str(source), '--out', str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    expected = runner.model.backbone.state_dict()
    assert f'{len(expected)} tensors (' in done.stdout

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


def test_errors_name_what_is_wrong(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'bare.pth')
    for name, message in (('none.pth', 'does not exist'), ('bare.pth', 'holds no config in its meta')):
        done = run(sys.executable, EXPORT, str(tmp_path / name), '--out', str(tmp_path / 'out.pth'), cwd=tmp_path)
        assert done.returncode == 1 and 'error: ' in done.stdout and message in done.stdout
    assert not (tmp_path / 'out.pth').exists()


def save_resnet18(folder):
    """A checkpoint of a supervised ResNet-18, and its backbone's tensors."""
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=4, in_channels=512),
            ),
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


def test_goes_to_torchvision_and_back(tmp_path):
    source, expected = save_resnet18(tmp_path)
    out, back = tmp_path / 'torchvision.pth', tmp_path / 'back.pth'
    done = run(sys.executable, EXPORT, str(source), '--to', 'torchvision', '--out', str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert 'the largest difference is 0' in done.stdout
    missing, unexpected = torchvision.models.resnet18().load_state_dict(torch.load(out, weights_only=True), False)
    assert set(missing) == {'fc.weight', 'fc.bias'} and not unexpected

    command = (IMPORT, str(out), '--from', 'torchvision', '--arch', 'resnet18', '--out', str(back))
    done = run(sys.executable, *command, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    state = torch.load(back, weights_only=True)['state_dict']
    assert all(torch.equal(state[f'backbone.{name}'], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize('library', ['safetensors', 'detectron2'])
def test_files_hold_tensors_under_the_librarys_names(tmp_path, library):
    source, expected = save_resnet18(tmp_path)
    out = tmp_path / f'out.{library}'
    done = run(sys.executable, EXPORT, str(source), '--to', library, '--out', str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert 'bit for bit' in done.stdout
    if library == 'safetensors':
        from safetensors.torch import load_file  # not in the classic line's environment

        found = load_file(out)
        name = 'backbone.layer1.0.bn2.weight'
    else:
        content = torch.load(out, weights_only=True)
        assert content['matching_heuristics'] and content['__author__'] == 'lewel_plugins'
        found, name = content['model'], 'res2.0.conv2.norm.weight'
    assert len(found) == len(expected)
    assert torch.equal(found[name], expected['layer1.0.bn2.weight'])


def test_import_refuses_files_that_are_no_state_dict(tmp_path):
    torch.save(dict(a=[1]), tmp_path / 'x.pth')
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'r18.pth')
    for name, arch, message in (
        ('none.pth', 'resnet18', 'do not exist'),
        ('x.pth', 'resnet18', 'is no state dict'),
        ('r18.pth', 'resnet34', 'ResNet does not get'),
    ):
        command = (IMPORT, name, '--from', 'torchvision', '--arch', arch, '--out', 'out.pth')
        done = run(sys.executable, *command, cwd=tmp_path)
        assert done.returncode == 1 and 'error: ' in done.stdout and message in done.stdout, done.stdout[-2000:]
    assert not (tmp_path / 'out.pth').exists()
