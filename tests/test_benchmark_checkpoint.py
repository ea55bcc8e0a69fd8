"""Backbones of checkpoints are loaded whole or not at all."""

import pytest
import torch
from mmengine.registry import MODELS
from tiny import backbone_config as tiny_backbone
from tiny import randomise

from lewel_plugins.checkpoint import backbone_config, load_backbone
from lewel_plugins.runner_setup import SetupError

pytestmark = pytest.mark.core


def save(path, state, cfg='', **meta):
    torch.save(dict(meta=dict(cfg=cfg, **meta), state_dict=state), path)
    return path


def state_of(backbone):
    return {f'backbone.{name}': tensor.clone() for name, tensor in backbone.state_dict().items()}


def test_every_tensor_is_loaded(tmp_path):
    source, target = randomise(MODELS.build(tiny_backbone()), 1), MODELS.build(tiny_backbone())
    path = save(
        tmp_path / 'a.pth', {**state_of(source), 'neck.weight': torch.ones(2), 'teacher.backbone.x': torch.ones(1)}
    )
    assert load_backbone(target, path) == len(source.state_dict()) == 6
    assert all(torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values()))


def test_what_is_missing_is_listed_and_nothing_is_loaded(tmp_path):
    source, target = randomise(MODELS.build(tiny_backbone()), 1), MODELS.build(tiny_backbone())
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    state = state_of(source)
    del state['backbone.norm.running_mean'], state['backbone.norm.bias']
    state['backbone.conv.weight'] = torch.ones(8, 3, 5, 5)
    state['backbone.extra'] = torch.ones(1)
    with pytest.raises(SetupError) as error:
        load_backbone(target, save(tmp_path / 'a.pth', state))
    for text in (
        '2 missing in the checkpoint: norm.bias, norm.running_mean',
        '1 of another shape: conv.weight (8, 3, 5, 5), not (8, 3, 3, 3)',
        '1 that the backbone lacks: extra',
        'a TinyBackbone of 6 tensors',
    ):
        assert text in str(error.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())
    with pytest.raises(SetupError, match='6 missing'):  # a teacher's backbone is not the online one
        load_backbone(target, save(tmp_path / 'b.pth', {f'teacher.{k}': v for k, v in state_of(source).items()}))


def test_backbone_of_trainings_and_of_exports(tmp_path):
    text = "model = dict(type='X', backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained')))"
    assert backbone_config(dict(meta=dict(cfg=text)), 'a') == dict(type='ResNet', depth=18)
    assert backbone_config(dict(meta=dict(backbone=dict(type='ResNet', depth=34))), 'a') == dict(
        type='ResNet', depth=34
    )
    with pytest.raises(SetupError, match='a model without a backbone: X'):
        backbone_config(dict(meta=dict(cfg="model = dict(type='X')")), 'a')
