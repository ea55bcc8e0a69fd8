import os
import pickle

import pytest
import torch
from mmengine.registry import MODELS
from tiny import backbone_config as tiny_backbone
from tiny import randomise
from toy_runner import toy_config, toy_runner

from lewel_plugins.checkpoint import (
    backbone_config,
    build_model,
    config_of,
    load_backbone,
    model_config,
    read_tensors,
)
from lewel_plugins.runner_setup import SetupError

pytestmark = pytest.mark.core


def test_reads_what_mmengine_writes(tmp_path):
    runner = toy_runner(tmp_path)
    runner.train()
    path = tmp_path / 'iter_4.pth'
    expected = torch.load(path, weights_only=False)
    checkpoint = read_tensors(path)
    assert list(checkpoint['state_dict']) == list(expected['state_dict'])
    for name, tensor in expected['state_dict'].items():
        assert torch.equal(checkpoint['state_dict'][name], tensor), name
    assert checkpoint['meta']['iter'] == 4
    state, wanted = checkpoint['optimizer']['state'], expected['optimizer']['state']
    assert all(torch.equal(state[i]['momentum_buffer'], wanted[i]['momentum_buffer']) for i in wanted)

    model = build_model(config_of(checkpoint, path), checkpoint, path)
    assert not model.training
    for a, b in zip(model.state_dict().values(), runner.model.state_dict().values()):
        assert torch.equal(a, b)


def test_the_model_gets_the_data_preprocessor_that_stands_beside_it(tmp_path):
    """As in the Runner; without it images would reach the backbone as they are."""
    cfg = toy_config(tmp_path)
    del cfg.model['data_preprocessor']
    cfg.data_preprocessor = dict(type='SelfSupDataPreprocessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    state = toy_runner(tmp_path).model.state_dict()
    model = build_model(cfg, dict(state_dict=state), 'x.pth')
    assert model.data_preprocessor.std.flatten().tolist() == [4.0, 5.0, 6.0]
    assert 'data_preprocessor' not in cfg.model
    cfg.model.data_preprocessor = dict(type='SelfSupDataPreprocessor', mean=[0.0] * 3, std=[7.0] * 3)
    assert model_config(cfg)['data_preprocessor']['std'] == [7.0] * 3


class _Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize('zipped', [True, False])
def test_runs_no_code_of_the_file(tmp_path, zipped):
    tensors = dict(a=torch.arange(3), b=torch.nn.Parameter(torch.ones(2, 2).half()))
    content = dict(state_dict=tensors, meta=dict(bad=_Malicious(tmp_path / 'hacked'), good=[1, 'x']))
    torch.save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=zipped)
    checkpoint = read_tensors(tmp_path / 'x.pth')
    assert not (tmp_path / 'hacked').exists()
    assert torch.equal(checkpoint['state_dict']['a'], tensors['a'])
    assert torch.equal(checkpoint['state_dict']['b'], tensors['b'])
    assert checkpoint['meta']['good'] == [1, 'x']


def test_errors_name_the_file(tmp_path):
    with pytest.raises(SetupError, match="checkpoint '.*none.pth' does not exist"):
        read_tensors(tmp_path / 'none.pth')
    (tmp_path / 'text.pth').write_text('hello')
    (tmp_path / 'pickle.pth').write_bytes(pickle.dumps([1]))
    for name in ('text.pth', 'pickle.pth'):
        with pytest.raises(SetupError, match=f'{name} cannot be read, it is damaged or no checkpoint'):
            read_tensors(tmp_path / name)
    torch.save(dict(a=torch.ones(1)), tmp_path / 'bare.pth')
    with pytest.raises(SetupError, match='bare.pth is no checkpoint of a training: it has no state_dict'):
        read_tensors(tmp_path / 'bare.pth')
    with pytest.raises(SetupError, match='x.pth holds no config'):
        config_of(dict(meta={}), 'x.pth')
    with pytest.raises(SetupError, match="x.pth does not fit the config's model: .*backbone.conv1.weight"):
        build_model(toy_config(tmp_path), dict(state_dict={}), 'x.pth')


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
    with pytest.raises(
        SetupError, match="no tensor whose name starts with 'backbone.'"
    ):  # a teacher's backbone is not the online one
        load_backbone(target, save(tmp_path / 'b.pth', {f'teacher.{k}': v for k, v in state_of(source).items()}))


def test_backbone_of_trainings_and_of_exports(tmp_path):
    text = "model = dict(type='X', backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained')))"
    assert backbone_config(dict(meta=dict(cfg=text)), 'a') == dict(type='ResNet', depth=18)
    assert backbone_config(dict(meta=dict(backbone=dict(type='ResNet', depth=34))), 'a') == dict(
        type='ResNet', depth=34
    )
    with pytest.raises(SetupError, match='a model without a backbone: X'):
        backbone_config(dict(meta=dict(cfg="model = dict(type='X')")), 'a')
