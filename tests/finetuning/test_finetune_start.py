"""Weights that a fine-tuning starts from."""

import pytest
import torch
import torchvision
from mmengine.registry import MODELS, DefaultScope

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning.facts import Start
from lewel_plugins.finetuning.start import read_start
from lewel_plugins.planning.backbones import BACKBONES

pytestmark = pytest.mark.core


def state_of(name: str, small: bool = False) -> dict[str, torch.Tensor]:
    backbone = BACKBONES[name]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(backbone.small_stem if small else backbone.config)).state_dict()


def save(path, state: dict, prefix: str = 'backbone.', **meta) -> str:
    torch.save(dict(state_dict={f'{prefix}{name}': value for name, value in state.items()}, meta=meta), path)
    return str(path)


@pytest.mark.sampled(3)
@pytest.mark.parametrize('name', [name for name in BACKBONES if name.startswith(('resnet', 'swin'))])
@pytest.mark.parametrize('small', [False, True])
def test_every_resnet_and_swin_is_recognized_without_a_config(tmp_path, name, small):
    if small and BACKBONES[name].small_stem is None:
        pytest.skip('has no other stem')
    start, backbone = read_start(save(tmp_path / 'a.pth', state_of(name, small)))
    assert (start.backbone, start.stem) == (name, '3 × 3' if small else 'standard')
    assert len(backbone['state_dict']) == len(state_of(name, small))


def test_a_checkpoint_of_a_pretraining(tmp_path):
    state = state_of('resnet10')
    values = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    path = save(tmp_path / 'ssl.pth', state, data_preprocessor=values)
    start, backbone = read_start(path)
    assert (start.backbone, start.stem, start.mean, start.std) == ('resnet10', 'standard', (1, 2, 3), (4, 5, 6))
    assert set(backbone['state_dict']) == {f'backbone.{name}' for name in state}
    assert backbone['meta']['data_preprocessor'] == dict(values, to_rgb=True)


def test_weights_of_torchvision_without_their_classifier(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'r18.pth')
    start, backbone = read_start(str(tmp_path / 'r18.pth'))
    assert (start.backbone, start.stem, start.mean) == ('resnet18', 'standard', (123.675, 116.28, 103.53))
    assert 'backbone.conv1.weight' in backbone['state_dict'] and 'backbone.fc.weight' not in backbone['state_dict']


def test_a_run_and_its_last_checkpoint(tmp_path):
    with pytest.raises(SetupError, match='holds no trained network: it has neither backbone.safetensors nor a check'):
        read_start(str(tmp_path))
    save(tmp_path / 'epoch_3.pth', state_of('resnet18', small=True))
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    assert read_start(str(tmp_path))[0].stem == '3 × 3'
    assert read_start('random') == (Start('random'), None)
    assert read_start('random:resnet50') == (Start('random', 'resnet50'), None)
    with pytest.raises(SetupError, match="unknown backbone 'resnet5'; did you mean resnet50"):
        read_start('random:resnet5')


def test_what_does_not_fit_is_one_line(tmp_path):
    state = state_of('resnet10')
    del state['layer3.0.bn2.bias']
    with pytest.raises(SetupError, match=r'nearest is lewel_plugins.ResNet10: it lacks 1 tensor \(layer3.0.bn2.bias'):
        read_start(save(tmp_path / 'a.pth', state))
    wide = {**state_of('resnet18'), 'layer1.0.conv1.weight': torch.zeros(32, 64, 3, 3)}
    with pytest.raises(SetupError, match=r'nearest is ResNet 18: it has 1 tensor with another shape \(layer1.0.conv1'):
        read_start(save(tmp_path / 'b.pth', wide))
    narrow = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(dict(narrow)).state_dict()
    with pytest.raises(SetupError, match='does not hold a usual resnet18: it has'):
        read_start(save(tmp_path / 'f.pth', state, backbone=narrow))
    torch.save(torchvision.models.alexnet().state_dict(), tmp_path / 'c.pth')
    with pytest.raises(SetupError, match='c.pth holds no backbone: no tensor of it is named like a first layer'):
        read_start(str(tmp_path / 'c.pth'))
    (tmp_path / 'd.pth').write_text('nothing')
    with pytest.raises(SetupError, match='d.pth cannot be read, it is damaged or not a checkpoint'):
        read_start(str(tmp_path / 'd.pth'))
    with pytest.raises(SetupError, match=r'e.pth does not exist; did you mean .*/[a-f].pth\?'):
        read_start(str(tmp_path / 'e.pth'))
