import hashlib
import sys

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from tool_runs import ROOT, run
from toy_runner import toy_runner

EXPORT = str(ROOT / 'tools' / 'export_backbone.py')


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
