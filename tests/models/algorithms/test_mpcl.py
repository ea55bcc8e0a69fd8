"""Whole steps of MPCL on its three frameworks against naive loops, and with M = 1 against mmpretrain's methods."""

import pytest
import torch
import torch.nn.functional as F
from helpers import references as naive
from helpers import tiny, tiny_mpcl, twins_mpcl
from helpers.tiny_mpcl import METHODS
from mmengine.optim import OptimWrapper

from lewel_plugins.functional.mpcl import PCR_FORMS
from lewel_plugins.models import MPCLMoCo
from lewel_plugins.optim import TypedOptimWrapperConstructor

pytestmark = pytest.mark.core

TOLERANCE = 1e-10
WITHIN = dict(pcr='within_projector', pcr_weight=1.0)
DEFAULTS = {
    'different widths': dict(neck=dict(hid_channels=[5, 12, 7])),
    'separate hidden': dict(neck=dict(shared_hidden=False)),
    'dropout': dict(neck=dict(dropout=0.5)),
    'orthogonal': dict(neck=dict(orthogonal=True)),
    'mixed': dict(neck=dict(init='mixed')),
    'literal_eq4': dict(literal_eq4=True),
    **{form: dict(pcr=form) for form in PCR_FORMS[1:]},
    'no pcr': dict(pcr_weight=0.0),
    'one projector': dict(neck=dict(num_projectors=1)),
}


def total(model, views):
    return model.parse_losses(model.loss(views))[0]


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(pcr='cosine', neck=dict(shared_hidden=False)),
        dict(pcr='squared_cosine', pcr_weight=2.0, literal_eq4=True),
        WITHIN,
    ],
    ids=str,
)
@pytest.mark.parametrize('method', METHODS)
def test_step_equals_the_naive_step(method, changes):
    model = tiny_mpcl.build(method, **changes)
    worst = tiny_mpcl.step_differences(model, tiny.images(5, seed=1))
    assert worst.pop('accuracy') < 1e-6  # counted in float32
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize(
    ('method', 'backbone', 'changes'),
    [
        ('mpcl_moco', None, dict()),
        ('mpcl_moco', twins_mpcl.RESNET, dict()),
        ('mpcl_moco_v3', None, dict()),
        ('mpcl_moco_v3', twins_mpcl.RESNET, dict()),
        ('mpcl_moco_v3', twins_mpcl.VIT, dict(num_layers=3)),
        ('mpcl_barlow_twins', None, dict()),
        ('mpcl_barlow_twins', twins_mpcl.RESNET, dict()),
    ],
    ids=str,
)
def test_one_projector_is_mmpretrains_method(method, backbone, changes):
    size = 6 if backbone is None else 8 if backbone is twins_mpcl.VIT else 32
    worst = twins_mpcl.walk(method, backbone, 7 if backbone is None else 2, size, **changes)
    assert max(worst.values()) < TOLERANCE, worst


def test_two_projectors_are_not_moco():
    """The comparison above can fail: with the weight that a projector has for M = 2, the steps differ from MoCo."""
    model = tiny_mpcl.build('mpcl_moco', neck=dict(num_projectors=1), pcr_weight=0.0)
    twin = twins_mpcl.twin_of(model)
    model.head.balance.weights.fill_(0.5)
    assert twins_mpcl.twins.walk_together(model, twin, steps=2)['loss'] > 1e-3


@pytest.mark.parametrize('settings', DEFAULTS.values(), ids=DEFAULTS.keys())
@pytest.mark.parametrize('method', METHODS)
def test_every_switch_trains_a_step(method, settings):
    model = tiny_mpcl.build(method, **settings)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    wrapper.update_params(total(model, tiny.images()))
    assert all(value.isfinite().all() for value in model.state_dict().values())
    expected = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} == expected


def test_a_transformer_keeps_its_patch_embedding_and_positions():
    neck = dict(in_channels=16, num_layers=3)
    model = tiny_mpcl.CLASSES['mpcl_moco_v3'](**tiny_mpcl.config('mpcl_moco_v3', twins_mpcl.VIT, neck))
    frozen = {n for n, p in model.backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'pos_embed', 'patch_embed.projection.weight', 'patch_embed.projection.bias'}
    model.init_weights()
    positions = model.backbone.pos_embed.detach().clone()
    assert positions[0, 1:].abs().max() > 0.5 and (positions[0, 0] == 0).all()  # zero for the class token
    model.before_training()
    sgd = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    total(model, [x.float() for x in tiny.images(size=8)]).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)  # DDP needs no search for unused ones
    sgd.step()
    assert torch.equal(model.backbone.pos_embed, positions)
    assert torch.equal(model.teacher.module.backbone.pos_embed, positions)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.filterwarnings('ignore:the parameters of')  # loading a state looks like a step
def test_training_sees_the_weights(method):
    model, views = tiny_mpcl.build(method), tiny.images(5)
    actual = []
    for m in range(3):
        model.head.balance.weights.copy_(torch.eye(3)[m])
        if isinstance(model, MPCLMoCo):
            model.queue.position.zero_()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        actual.append(model.loss(views)['loss_contrastive'].detach())
        model.load_state_dict(state)
    model.head.balance.weights.copy_(torch.tensor([0.5, 0.2, 0.3]))
    torch.testing.assert_close(
        model.loss(views)['loss_contrastive'].detach(),
        0.5 * actual[0] + 0.2 * actual[1] + 0.3 * actual[2],
        rtol=1e-6,
        atol=0,
    )


def test_every_projector_has_its_own_queue():
    model, views = tiny_mpcl.build('mpcl_moco'), tiny.images()
    before = model.queue.keys.clone()
    with torch.no_grad():
        z = model.teacher(views[1])
    assert total(model, views).isfinite()
    for m in range(3):
        expected = F.normalize(z[m], dim=1).T
        assert naive.largest_difference([model.queue.keys[m, :, :4]], [expected]) < TOLERANCE
    assert torch.equal(model.queue.keys[:, :, 4:], before[:, :, 4:])


@pytest.mark.parametrize('method', METHODS)
def test_no_teacher_in_the_optimizer_and_all_state_in_the_checkpoint(method):
    model = tiny_mpcl.build(method)
    wrapper = TypedOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model)
    in_optimizer = {p for group in wrapper.optimizer.param_groups for p in group['params']}
    assert in_optimizer == {p for n, p in model.named_parameters() if not n.startswith('teacher.')}
    keys = {f'head.balance.{name}' for name in ('weights', 'images', 'correct', 'cosines', 'hsic')}
    if method == 'mpcl_moco':
        keys |= {'queue.keys', 'queue.position'}
    assert keys <= model.state_dict().keys()


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.filterwarnings('ignore:the parameters of')  # loading a state looks like a step
def test_autocast_gives_float32_losses_near_the_exact_ones(method):
    model, views = tiny_mpcl.build(method).float(), [x.float() for x in tiny.images(6)]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    exact = model.loss(views)
    model.load_state_dict(state)
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(views)
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], rtol=0.1, atol=0.02)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ('method', 'changes', 'numbers'),
    [
        ('mpcl_moco', dict(temperature=0.0), ['temperature', '0.0']),
        ('mpcl_moco', dict(queue_len=0), ['length', '0']),
        ('mpcl_moco', dict(momentum=-0.1), ['momentum', '-0.1']),
        ('mpcl_moco_v3', dict(temperature=-1.0), ['temperature', '-1.0']),
        (
            'mpcl_moco_v3',
            dict(predictor=dict(hid_channels=2, shared_hidden=True)),
            ['predictor.shared_hidden', 'False'],
        ),
        ('mpcl_moco_v3', dict(predictor=dict(hid_channels=[2, 3])), ['one per projector (3)', '[2, 3]']),
        ('mpcl_barlow_twins', dict(redundancy_weight=-0.1), ['redundancy_weight', '-0.1']),
        *[(method, dict(pcr_weight=-1.0), ['pcr_weight', '-1.0']) for method in METHODS],
        *[(method, dict(pcr='sine'), ['cross_correlation', 'within_projector', "'sine'"]) for method in METHODS],
        *[(m, dict(backbone=twins_mpcl.RESNET), ['neck.in_channels = 8', '128 channels']) for m in METHODS],
    ],
    ids=str,
)
def test_constructor_errors(method, changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny_mpcl.CLASSES[method](**tiny_mpcl.config(method, **changes))
    assert all(number in str(error.value) for number in numbers), str(error.value)


@pytest.mark.parametrize('method', METHODS)
def test_wrong_views_are_named(method):
    with pytest.raises(ValueError, match='list of 2 views .* got 3 views'):
        tiny_mpcl.build(method).loss(tiny.images(views=3))


def test_the_three_share_their_defaults():
    """λ = 0.01, cross-correlations, Σ w = 1 (SPEC)."""
    for method in METHODS:
        balance = tiny_mpcl.CLASSES[method](**tiny_mpcl.config(method)).head.balance
        assert (balance.pcr, balance.pcr_weight, balance.literal_eq4) == ('cross_correlation', 0.01, False)


def test_keys_of_an_eman_teacher_do_not_depend_on_the_batch():
    model, (_, x_k) = tiny_mpcl.build('mpcl_moco', teacher_norm='eman').train(), tiny.images(6)
    assert not any(module.training for module in model.teacher.module.modules())
    apart = torch.cat([model._keys(x, None) for x in x_k.split(2)], 1)
    assert naive.largest_difference([model._keys(x_k, None)], [apart]) < TOLERANCE
