"""mmdet and mmseg build the backbones of a pretraining, tensor by tensor."""

import pytest
from mmengine.registry import MODELS, DefaultScope

from lewel_plugins.finetuning.networks import NETWORKS
from lewel_plugins.planning.backbones import BACKBONES

NAMES = [(task, *name) for task, networks in NETWORKS.items() for name in networks]


@pytest.mark.parametrize(('task', 'name', 'stem'), NAMES)
def test_every_tensor_of_a_pretraining_has_its_place(task, name, stem):
    scope = 'mmdet' if task == 'detector' else 'mmseg'
    __import__(f'{scope}.models')
    network, backbone = NETWORKS[task][name, stem], BACKBONES[name]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        own = MODELS.build(dict(backbone.config if stem == 'standard' else backbone.small_stem)).state_dict()
    with DefaultScope.overwrite_default_scope(scope):
        theirs = MODELS.build(dict(network.backbone)).state_dict()
    assert {key: value.shape for key, value in own.items()} == {key: theirs[key].shape for key in own if key in theirs}
    assert {key.split('.')[0] for key in set(theirs) - set(own)} == set(network.new_layers)
