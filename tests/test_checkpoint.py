import os
import pickle

import pytest
import torch
from toy_runner import toy_config, toy_runner

from lewel_plugins.checkpoint import build_model, config_of, model_config, read_tensors
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
