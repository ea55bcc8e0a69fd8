"""Weights of other libraries, recognized by the names and shapes of their tensors."""

import pytest
import torch
import torchvision
from mmengine.config import Config

from lewel_plugins.checkpoints import build_backbone, read_pretrained, read_starting_weights
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core


@pytest.fixture(scope='module')
def resnet():
    torch.manual_seed(0)
    return torchvision.models.resnet18().state_dict()


def state_of_resnet10():
    network = build_backbone(dict(type='lewel_plugins.ResNet10'), 'the test')
    return {f'backbone.{name}': tensor for name, tensor in network.state_dict().items()}


def save(path, content):
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: dict(state_dict=state),
        lambda state: dict(model=state, epoch=3),
        lambda state: dict(state_dict={f'module.encoder_q.{name}': tensor for name, tensor in state.items()}),
    ],
    ids=['plain', 'state_dict', 'model', 'prefix'],
)
def test_a_resnet_of_torchvision_in_any_wrapper(tmp_path, resnet, wrap):
    weights = read_starting_weights(save(tmp_path / 'a.pth', wrap(resnet)))
    assert (weights.source, weights.settings['depth']) == ('resnet18 of torchvision', 18)
    weights.write(tmp_path / 'start.pth')
    content, state = read_pretrained(str(tmp_path / 'start.pth'), 'backbone.')
    assert set(state) == {name for name in resnet if not name.startswith('fc.')}
    assert all(torch.equal(tensor, resnet[name]) for name, tensor in state.items())
    assert content['meta']['data_preprocessor']['mean'] == [123.675, 116.28, 103.53]


def test_a_training_of_openmmlab(tmp_path):
    from mmpretrain.models import ResNet

    backbone = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
    network = ResNet(**{name: value for name, value in backbone.items() if name != 'type'})
    values = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)
    preprocessor = dict(type='SelfSupDataPreprocessor', **values)
    cfg = Config(
        dict(default_scope='mmpretrain', model=dict(type='BYOL', backbone=backbone, data_preprocessor=preprocessor))
    )
    state = {f'backbone.{name}': tensor for name, tensor in network.state_dict().items()}
    content = dict(meta=dict(cfg=cfg.pretty_text), state_dict={**state, 'neck.x': torch.ones(1)})
    weights = read_starting_weights('runs/a', save(tmp_path / 'epoch_1.pth', content))
    assert (weights.name, weights.settings['base_channels']) == ('runs/a', 8)
    assert weights.normalization == weights.content()['meta']['data_preprocessor'] == values
    bgr = dict(content, meta=dict(cfg=cfg.pretty_text.replace('to_rgb=True', 'to_rgb=False')))
    with pytest.raises(SetupError, match='runs/b was trained with to_rgb=False, on images in BGR'):
        read_starting_weights('runs/b', save(tmp_path / 'epoch_1.pth', bgr))
    bare = dict(state_dict=state_of_resnet10(), meta=dict(data_preprocessor=dict(values, to_rgb=False)))
    with pytest.raises(SetupError, match='runs/b was trained with to_rgb=False, on images in BGR'):
        read_starting_weights('runs/b', save(tmp_path / 'bare.pth', bare))
    del content['state_dict']['backbone.conv1.weight']
    with pytest.raises(SetupError, match=r'runs/a does not hold the backbone of its config: it lacks 1 tensor \(conv1'):
        read_starting_weights('runs/a', save(tmp_path / 'epoch_1.pth', content))


def test_what_does_not_fit_is_named(tmp_path, resnet):
    def refused(state):
        with pytest.raises(SetupError) as error:
            read_starting_weights(save(tmp_path / 'bad.pth', state))
        return str(error.value)

    without = {name: tensor for name, tensor in resnet.items() if name != 'layer1.0.conv1.weight'}
    assert refused(without).endswith('nearest is resnet18 of timm: it lacks 1 tensor (layer1.0.conv1.weight)')
    wider = {**resnet, 'conv1.weight': torch.ones(32, 3, 7, 7)}
    assert 'conv1.weight (32, 3, 7, 7), not (64, 3, 7, 7)' in refused(wider)
    assert 'holds no backbone' in refused(dict(a=torch.ones(1)))
    both = {f'{name}.{key}': tensor for name in ('encoder_k', 'encoder_q') for key, tensor in resnet.items()}
    assert refused(both).endswith('holds several networks (encoder_k., encoder_q.); save one of them')
    with pytest.raises(SetupError, match="torchvision has no weights 'resnet50.IMAGENET'; name them as in"):
        read_starting_weights('torchvision:resnet50.IMAGENET')
    with pytest.raises(SetupError, match="'none.pth' does not exist"):
        read_starting_weights('none.pth')
