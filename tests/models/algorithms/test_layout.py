import pytest
import torch
from helpers import pretraining
from mmengine.registry import MODELS
from mmpretrain.utils import register_all_modules

pytestmark = pytest.mark.core


@pytest.mark.parametrize('method', pretraining.TYPES)
def test_convolutions_are_channels_last_in_both_networks(method, tmp_path):
    register_all_modules()
    model = MODELS.build(pretraining.config(pretraining.Run(method), tmp_path, tmp_path, None).model)
    model.init_weights()
    model.load_state_dict({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    weights = {name: weight for name, weight in model.named_parameters() if weight.dim() == 4}
    assert any(name.startswith('backbone') for name in weights)
    for name, weight in weights.items():
        assert weight.is_contiguous(memory_format=torch.channels_last), name
