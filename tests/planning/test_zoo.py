"""Backbones by the names that they have in timm and in mmpretrain's model zoo."""

from importlib.util import find_spec

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.apis.model import ModelHub

from lewel_plugins.errors import SetupError
from lewel_plugins.logs import without_log
from lewel_plugins.planning import Facts, Folder, Machine
from lewel_plugins.planning.backbones import find_backbone, name_of
from lewel_plugins.planning.compose import Images, compose
from lewel_plugins.planning.plan import plan
from lewel_plugins.planning.request import Request

pytestmark = pytest.mark.core

needs_timm = pytest.mark.skipif(find_spec('timm') is None, reason='timm is not installed')
IMAGES = dict(type='lewel_plugins.ImageTree', data_root='.')
ZOO = [
    pytest.param('timm:regnetx_002', True, marks=needs_timm),
    pytest.param('timm:convnext_atto', False, marks=needs_timm),
    pytest.param(
        'timm:mobilenetv3_small_050', True, marks=needs_timm
    ),  # its last map has other channels than num_features
    ('mmpretrain:regnetx-400mf_8xb128_in1k', True),
    ('mmpretrain:convnext-v2-atto_fcmae-pre_3rdparty_in1k', False),
]


def facts(images: int, side: int) -> Facts:
    return Facts(Folder(images, images, median_short_side=side), Machine((), cores=2))


@pytest.mark.sampled(4)
@pytest.mark.parametrize(('name', 'has_batch_norm'), ZOO)
@pytest.mark.parametrize('method', ['lewel-m', 'smog', 'mocov3'])
def test_every_method_trains_it(name, has_batch_norm, method):
    state = torch.get_rng_state()
    resolved = plan(facts(100, 64), Request(method, backbone=name).checked())
    assert torch.equal(torch.get_rng_state(), state)
    assert (resolved['optimizer'] == 'adamw') != has_batch_norm
    config = compose(resolved, Images(IMAGES))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    model.init_weights()
    model.train()
    features = model.backbone(torch.randn(4, 3, 64, 64))[-1]
    assert features.dim() == 4 and features.shape[1] == config.model.neck.in_channels == find_backbone(name).channels
    if method == 'mocov3':
        return  # mmpretrain's teacher reads its schedule from a Runner
    losses = model.loss([torch.randn(4, 3, 64, 64) for _ in range(2)], [])
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    weights = {key: weight.grad for key, weight in model.backbone.named_parameters() if weight.requires_grad}
    assert weights and all(gradient is not None and gradient.isfinite().all() for gradient in weights.values())


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        pytest.param(
            'timm:convnxt_nano', "^timm has no model 'convnxt_nano'; did you mean convnext_nano", marks=needs_timm
        ),
        pytest.param('timm:zzzz', r'its list_models\(\) returns all names$', marks=needs_timm),
        pytest.param('timm:vit_tiny_patch16_224', r'features of shape \(2, 197, 192\) .* not a map', marks=needs_timm),
        pytest.param('timm:swin_tiny_patch4_window7_224', r'shape \(2, 7, 7, 768\) .* not a map', marks=needs_timm),
        ('mmpretrain:regnetx-40mf_8xb128_in1k', "^mmpretrain's zoo has no model .*; did you mean regnetx-400mf_8xb128"),
        ('mmpretrain:vit-small-p16_3rdparty_in1k', 'has no model|not a map'),
        ('mmpretrain:mae_vit-base-p16_8xb512-amp-coslr-300e_in1k', r'features of shape \(2, 196\) .* not a map'),
        ('mmpretrain:deit-small_4xb256_in1k', r'not a map'),
        ('tim:resnet18', "^unknown backbone 'tim:resnet18'; did you mean resnet18"),
        ('zzz', 'choose one of resnet10, .*, timm:MODEL, mmpretrain:MODEL$'),
    ],
)
def test_refusals_are_one_line(name, message):
    with pytest.raises(SetupError, match=message) as caught:
        Request('lewel-m', backbone=name).checked()
    assert '\n' not in str(caught.value)


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setattr('lewel_plugins.planning.zoo.find_spec', lambda name: None)
    with pytest.raises(SetupError, match='needs timm, which is not installed: pip install timm$'):
        find_backbone('timm:not_tried_before')


@needs_timm
def test_a_size_that_a_network_does_not_take():
    request = Request('lewel-m', backbone='timm:coatnet_nano_rw_224', image_size=96)
    with pytest.raises(SetupError, match='^timm:coatnet_nano_rw_224 does not take views of 96 px: '):
        plan(facts(100, 224), request)
    assert plan(facts(100, 224), Request('lewel-m', backbone=request.backbone, image_size=224))['image_size'] == 224


def test_what_a_recipe_of_the_zoo_freezes_is_trained():
    name = 'mmpretrain:resnet50_simclr-200e-pre_8xb512-linear-coslr-90e_in1k'
    with without_log():
        assert ModelHub.get(name.removeprefix('mmpretrain:')).config.model.backbone.frozen_stages == 4
    config = find_backbone(name).config
    assert config == dict(type='ResNet', depth=50, num_stages=4, out_indices=(3,), style='pytorch')


def test_names_of_the_configs_of_runs():
    assert name_of(dict(type='TIMMBackbone', model_name='regnetx_002'), 'runs/a') == 'timm:regnetx_002'
    name = 'mmpretrain:seresnet50_8xb32_in1k'
    settings = {**find_backbone(name).config, 'zero_init_residual': True, 'out_indices': [3]}
    assert name_of(settings, 'runs/a', name) == name
    for requested in ('', 'resnet50', 'mmpretrain:regnetx-400mf_8xb128_in1k'):
        with pytest.raises(SetupError, match='runs/a holds a SEResNet 50; .* that --backbone mmpretrain:MODEL names$'):
            name_of(settings, 'runs/a', requested)
    with pytest.raises(SetupError, match='of models of timm$'):
        name_of(settings, 'runs/a')
