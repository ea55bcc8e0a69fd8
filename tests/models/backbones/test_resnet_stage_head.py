"""The last stage of a ResNet as shared head of a detector has the tensors and maps of the ResNet, and a norm."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.models.backbones import ResNetStageHead

pytestmark = pytest.mark.core
BACKBONES = {
    'basic blocks': (dict(type='lewel_plugins.ResNet10', strides=(1, 2, 2, 2)), 128, 8),
    'bottlenecks': (dict(type='mmpretrain.ResNet', depth=50, stem_channels=8, base_channels=8), 256, 16),
}


@pytest.fixture(params=BACKBONES)
def case(request):
    """Return the config of a ResNet, the channels of its last map, and the stride of the map before it."""
    init_default_scope('mmpretrain')
    return BACKBONES[request.param]


def test_it_is_the_resnets_last_stage(case, tmp_path):
    settings, channels, stride = case
    torch.manual_seed(0)
    resnet = MODELS.build(dict(settings, out_indices=(2, 3)))
    for norm in (m for m in resnet.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_()
    state = {f'backbone.{name}': tensor for name, tensor in resnet.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), prefix='backbone.')
    head = ResNetStageHead(dict(settings), init_cfg=init)
    head.init_weights()
    expected = {name: tensor for name, tensor in resnet.state_dict().items() if name.startswith('layer4.')}
    assert list(head.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in head.state_dict().items())
    resnet.eval()
    head.eval()
    before, last = resnet(torch.randn(2, 3, 8 * stride, 8 * stride))
    assert torch.equal(head(before), last) and last.shape[1:] == (channels, 4, 4)


def test_the_norm_after_it_has_the_stages_width_and_is_trained(case):
    settings, channels, _ = case
    head = ResNetStageHead(dict(settings), norm_cfg=dict(type='BN'))
    assert head.norm.num_features == channels and head.norm.weight.requires_grad
    assert {name.split('.')[0] for name in head.state_dict()} == {'layer4', 'norm'}
    width = next(m for m in head.layer4.modules() if isinstance(m, torch.nn.Conv2d)).in_channels
    out = head(5 * torch.randn(6, width, 4, 4))
    assert out.mean((0, 2, 3)).abs().max() < 1e-5 and out.var((0, 2, 3), unbiased=False).sub(1).abs().max() < 1e-2
