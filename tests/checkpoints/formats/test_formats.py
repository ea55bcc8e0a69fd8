"""Backbones in other libraries: the same features from the libraries' networks, and names that convert back."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lewel_plugins.checkpoints.formats import NameMap, find_format
from lewel_plugins.checkpoints.formats.check import TOLERANCE, compare_features, random_images
from lewel_plugins.errors import SetupError

RESNET18 = dict(type='ResNet', depth=18)
VIT = dict(
    type='MoCoV3ViT',
    arch=dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96),
    img_size=32,
    patch_size=8,
)
SWIN = dict(type='SwinTransformer', arch=dict(embed_dims=12, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2]), img_size=224)
REGNET = dict(type='TIMMBackbone', model_name='regnetx_002')
BOTTLENECKS = dict(type='ResNet', depth=50, stem_channels=16, base_channels=16)  # other widths, as in ResNet-50 x2


def build(settings: dict) -> nn.Module:
    """Build a backbone in eval mode in which no two channels of a layer, and no two layers, are alike."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    backbone = MODELS.build(dict(settings))
    for name, tensor in backbone.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5) if name.endswith(('running_var', 'weight')) else tensor.normal_(std=0.2)
    if hasattr(backbone, 'pos_embed'):
        nn.init.normal_(backbone.pos_embed, std=0.5)
    backbone.eval()
    return backbone


@pytest.mark.parametrize(
    ('settings', 'library'),
    [
        *((RESNET18, library) for library in ('torchvision', 'timm', 'mmdet', 'detectron2')),
        *((BOTTLENECKS, library) for library in ('mmdet', 'detectron2')),
        *((VIT, library) for library in ('torchvision', 'timm')),
        *((SWIN, library) for library in ('torchvision', 'timm', 'mmdet')),
        (REGNET, 'timm'),
    ],
    ids=lambda value: value if isinstance(value, str) else value['type'] + str(value.get('depth', '')),
)
def test_their_network_gives_our_features(settings, library):
    backbone = build(settings)
    form = find_format(backbone, library)
    state = backbone.state_dict()
    theirs = form.export_state(state)
    assert len(theirs) == len([name for name in state if not name.endswith(form.ours_only or ('\0',))])
    back = form.import_state(theirs)
    assert all(torch.equal(back[name], state[name]) for name in back)
    assert compare_features(form, backbone, theirs) <= TOLERANCE * 20

    # The check notices a single number that is wrong, and a tensor that is missing.
    name = next(name for name, tensor in theirs.items() if tensor.dim() > 1 and 'index' not in name)
    changed = {**theirs, name: theirs[name].clone()}
    changed[name].view(-1)[0] += 1
    with pytest.raises(SetupError, match='other features, which differ by up to'):
        compare_features(form, backbone, changed)
    del changed[name]
    with pytest.raises(SetupError, match='it lacks 1 tensor '):
        compare_features(form, backbone, changed)


@pytest.mark.parametrize(
    ('settings', 'library', 'message'),
    [
        (dict(type='ResNet_CIFAR', depth=18), 'torchvision', 'ResNet_CIFAR has no equivalent: accepted is'),
        (BOTTLENECKS, 'timm', 'base_channels=16 has no equivalent: accepted are 64 and 64'),
        (dict(type='ResNet', depth=50, style='caffe'), 'mmdet', "accepted are .*style='pytorch', not 'caffe'"),
        (dict(type='lewel_plugins.ResNet10'), 'mmdet', 'ResNet10 has no equivalent'),
        (VIT, 'mmdet', 'mmdet has no equivalent of MoCoV3ViT: accepted are torchvision, timm'),
        (dict(REGNET, features_only=True), 'timm', r'features_only=True \(accepted: False\)'),
        (REGNET, 'mmdet', 'mmdet has no equivalent of TIMMBackbone: accepted are timm'),
        (SWIN, 'detectron2', 'detectron2 has no equivalent of SwinTransformer'),
        (dict(type='MobileNetV2'), 'timm', 'MobileNetV2 has no equivalent in another library: accepted are ResNet'),
    ],
)
def test_errors_name_the_architecture_and_what_is_accepted(settings, library, message):
    init_default_scope('mmpretrain')
    with pytest.raises(SetupError, match=message):
        find_format(MODELS.build(dict(settings)), library)


def test_detectron2s_names():
    form = find_format(build(BOTTLENECKS), 'detectron2')
    names = form.names
    for ours, theirs in (
        ('conv1.weight', 'stem.conv1.weight'),
        ('bn1.running_var', 'stem.conv1.norm.running_var'),
        ('layer1.0.conv3.weight', 'res2.0.conv3.weight'),
        ('layer4.2.bn3.bias', 'res5.2.conv3.norm.bias'),
        ('layer2.0.downsample.0.weight', 'res3.0.shortcut.weight'),
        ('layer2.0.downsample.1.weight', 'res3.0.shortcut.norm.weight'),
    ):
        assert names.forward(ours) == theirs and names.backward(theirs) == ours


def test_name_map_takes_the_first_rule_and_leaves_the_rest():
    names = NameMap([('a.{i}.b', 'x.{i}'), ('a.{w}', 'y.{w}')])
    assert [names.forward(n) for n in ('a.12.b', 'a.12.c', 'ab')] == ['x.12', 'y.12.c', 'ab']
    assert [names.backward(n) for n in ('x.12', 'y.12.c', 'x.q')] == ['a.12.b', 'a.12.c', 'x.q']


def test_images_have_the_backbones_size():
    assert random_images(build(VIT)).shape == (2, 3, 32, 32)
    assert random_images(build(SWIN)).shape == (2, 3, 224, 224)
    assert random_images(build(RESNET18)).shape == (2, 3, 64, 64)
