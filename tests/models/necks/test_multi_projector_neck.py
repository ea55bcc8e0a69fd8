"""M projectors at once against a loop over them with the same weights, in value and gradient."""

from pathlib import Path

import pytest
import torch
from helpers import references as naive
from helpers import tiny, tiny_mpcl
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from lewel_plugins.functional import orthogonalize
from lewel_plugins.models import MultiProjectorNeck
from lewel_plugins.models.necks.parallel_mlps import MLPSettings, ParallelMLPs, SeparateMLPs

pytestmark = pytest.mark.core

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
TOLERANCE = 1e-10
SEPARATE = dict(shared_hidden=False)
LAYERS = [
    dict(),
    dict(with_bn=False),
    dict(with_last_bn=True),
    dict(num_layers=3, with_last_bn=True),
    dict(num_layers=3),
]


def feats(num: int = 5) -> tuple[Tensor]:
    return (torch.randn(num, tiny.WIDTH, 2, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64),)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


def differences(neck: MultiProjectorNeck) -> dict[str, float]:
    """Return how values and gradients, in the features and every parameter, differ from the naive loops."""
    (ours_in,), (theirs_in,) = leaves(*feats()), leaves(*feats())
    ours, theirs = neck((ours_in,)), tiny_mpcl.naive_embeddings(neck, (theirs_in,))
    weights = torch.cos(torch.arange(ours.numel(), dtype=ours.dtype)).view(ours.shape)
    parameters = list(neck.parameters())
    actual = torch.autograd.grad((ours * weights).sum(), [ours_in, *parameters])
    expected = torch.autograd.grad((theirs * weights).sum(), [theirs_in, *parameters])
    return dict(value=naive.largest_difference([ours], [theirs]), gradient=naive.largest_difference(actual, expected))


@pytest.mark.parametrize('num', [1, 3])
@pytest.mark.parametrize('layers', LAYERS, ids=str)
def test_equals_the_naive_loops(layers, num):
    neck = tiny_mpcl.neck(num_projectors=num, **layers, **SEPARATE)
    assert neck(feats()).shape == (num, 5, tiny.EMBEDDING)
    worst = differences(neck)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('settings', [{}, dict(with_bn=False), dict(init='mixed')], ids=str)
def test_shared_hidden_layers_equal_the_naive_loops(settings):
    neck = tiny_mpcl.neck(num_projectors=4, num_layers=3, **settings)
    assert [len(p) for n, p in neck.named_parameters() if 'fc' in n and 'weight' in n] == [1, 1, 4]
    worst = differences(neck)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize(('num', 'millions'), [(1, 27.97), (2, 28.23), (4, 28.75), (8, 29.80)])
def test_parameters_are_those_of_table_iii(num, millions):
    """ResNet-50 with the projectors of MoCo v2. Table III counts backbone and projectors."""
    cfg = Config.fromfile(CONFIGS / 'mpcl' / 'mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py').model
    cfg.neck.num_projectors = num
    init_default_scope('mmpretrain')
    parts = MODELS.build(cfg.backbone), MODELS.build(cfg.neck)
    assert round(sum(p.numel() for part in parts for p in part.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize('hid_channels', [7, [7, 7, 7], [6, 7, 8]])
@pytest.mark.parametrize('setting', [{}, dict(shared_hidden=None)])
def test_projectors_of_the_same_width_share_their_hidden_layers(hid_channels, setting):
    neck = tiny_mpcl.neck(hid_channels=hid_channels, **setting)
    if hid_channels == [6, 7, 8]:
        assert isinstance(neck.mlps, SeparateMLPs)
    else:
        assert [len(neck.mlps.fc0.weight), len(neck.mlps.fc1.weight)] == [1, 3]
    separate = tiny_mpcl.neck(hid_channels=7, **SEPARATE)
    assert [len(separate.mlps.fc0.weight), len(separate.mlps.fc1.weight)] == [3, 3]


@pytest.mark.parametrize('layers', LAYERS, ids=str)
def test_equals_a_loop_over_separate_necks(layers):
    """Running statistics are equal as well, and so are outputs in training and evaluation mode."""
    neck = tiny_mpcl.neck(**layers, **SEPARATE)
    alone = tiny_mpcl.separate(neck.mlps, **layers)
    x = feats()[0].flatten(2).mean(2)
    for mode in (True, False):
        for module in (neck, alone):
            module.train(mode)
        expected = torch.stack([mlp(x)[0] for mlp in alone])
        assert naive.largest_difference([neck(feats())], [expected]) < TOLERANCE
    ours = {n: b for n, b in neck.mlps.named_buffers() if b.dim()}
    for name, value in ours.items():
        theirs = torch.cat([mlp.state_dict()[name] for mlp in alone])
        assert naive.largest_difference([value], [theirs]) < TOLERANCE
    assert len(ours) == 2 * sum('running_mean' in n for n in ours)


@pytest.mark.parametrize('layers', LAYERS, ids=str)
def test_an_input_for_each_projector(layers):
    """The predictors have one input per projector."""
    mlps = tiny.randomize(ParallelMLPs(3, 6, 7, 6, MLPSettings(**layers), ['default'] * 3).double())
    x = torch.randn(3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (ours_in,), (theirs_in,) = leaves(x), leaves(x)
    ours, theirs = mlps(ours_in), tiny_mpcl.naive_mlps(mlps, theirs_in)
    assert naive.largest_difference([ours], [theirs]) < TOLERANCE
    weights = torch.cos(torch.arange(ours.numel(), dtype=ours.dtype)).view(ours.shape)
    actual = torch.autograd.grad((ours * weights).sum(), [ours_in, *mlps.parameters()])
    expected = torch.autograd.grad((theirs * weights).sum(), [theirs_in, *mlps.parameters()])
    assert naive.largest_difference(actual, expected) < TOLERANCE


@pytest.mark.parametrize('with_bn', [True, False])
def test_gradients_of_the_weights_need_no_copy(with_bn):
    """autograd would copy a gradient whose layout differs from that of its parameter, in every step."""
    mlps = ParallelMLPs(3, 4, 6, 2, MLPSettings(num_layers=3, with_bn=with_bn), ['default'] * 3)
    weights = [mlps.fc0.weight, mlps.fc1.weight, mlps.fc2.weight]
    actual = torch.autograd.grad(mlps(torch.randn(8, 4)).square().sum(), weights)
    assert [gradient.stride() for gradient in actual] == [weight.stride() for weight in weights]


def test_different_widths():
    neck = tiny_mpcl.neck(hid_channels=[4, 12, 7])
    assert isinstance(neck.mlps, SeparateMLPs)
    assert [mlp.fc0.weight.shape[1] for mlp in neck.mlps] == [4, 12, 7]
    x = feats()[0].flatten(2).mean(2)
    expected = torch.cat([tiny_mpcl.naive_mlps(mlp, x) for mlp in neck.mlps])
    assert naive.largest_difference([neck(feats())], [expected]) < TOLERANCE
    assert isinstance(tiny_mpcl.neck(hid_channels=[12, 12, 12]).mlps, ParallelMLPs)


def test_vectors_are_taken_as_they_are():
    neck = tiny_mpcl.neck()
    pooled = feats()[0].mean((2, 3))
    torch.testing.assert_close(neck((pooled,)), neck(feats()), rtol=0, atol=TOLERANCE)


def test_statistics_are_per_projector():
    """A projector's output does not change with the weights of another."""
    neck = tiny_mpcl.neck(num_layers=3, with_last_bn=True, **SEPARATE)
    before = neck(feats())
    neck.mlps.fc0.weight.data[1] *= 3
    neck.mlps.fc0.weight.data[1, 0] += 1
    after = neck(feats())
    assert torch.equal(before[0], after[0]) and torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize('widths', [24, [24, 16, 24, 16]])
def test_mixed_initialization(widths):
    torch.manual_seed(0)
    neck = MultiProjectorNeck(64, widths, 32, mlp=dict(init='mixed', **SEPARATE))
    mlps = neck.mlps if isinstance(neck.mlps, SeparateMLPs) else None
    for m in range(4):
        weight = neck.mlps.fc0.weight[m] if mlps is None else mlps[m].fc0.weight[0]
        fan_out, fan_in = weight.shape
        bound = (6 / fan_out) ** 0.5 if m % 2 == 0 else (6 / (fan_in + fan_out)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound


def test_default_initialization_is_torchs_and_every_projectors_own():
    torch.manual_seed(0)
    neck = MultiProjectorNeck(64, 32, 16, mlp=dict(with_bn=False, **SEPARATE))
    for linear, fan_in in ((neck.mlps.fc0, 64), (neck.mlps.fc1, 32)):
        for m in range(4):
            assert 0.9 / fan_in**0.5 < linear.weight[m].abs().max() <= 1 / fan_in**0.5
            assert 0.6 / fan_in**0.5 < linear.bias[m].abs().max() <= 1 / fan_in**0.5
        assert linear.weight.unique().numel() > 0.99 * linear.weight.numel()


@pytest.mark.parametrize('shared', [False, True])
def test_dropout_is_every_projectors_own_and_off_in_evaluation(shared):
    neck = tiny_mpcl.neck(dropout=0.5, shared_hidden=shared)
    plain = tiny_mpcl.neck(shared_hidden=shared)
    plain.load_state_dict(neck.state_dict())
    seen = []
    handle = neck.mlps.drop.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))
    torch.manual_seed(0)
    neck(feats())
    handle.remove()
    ((before, after),) = seen
    dropped = (before > 0) & (after == 0)
    assert not torch.equal(dropped[0], dropped[1])
    shares = dropped.sum((1, 2)) / (before > 0).sum((1, 2))
    assert all(0.3 < share < 0.7 for share in shares.tolist())
    passed = after > 0
    torch.testing.assert_close(after[passed], 2 * before[passed])
    neck.mlps.bn0.load_state_dict(plain.mlps.bn0.state_dict())
    torch.testing.assert_close(neck.eval()(feats()), plain.eval()(feats()), rtol=0, atol=TOLERANCE)


def test_orthogonal_weights_stay_orthogonal_while_they_train():
    neck = tiny_mpcl.neck(orthogonal=True, **SEPARATE)
    sgd = torch.optim.SGD(neck.parameters(), lr=0.1)
    for _ in range(3):
        sgd.zero_grad()
        neck(feats()).square().mean().backward()
        sgd.step()
    for linear in (neck.mlps.fc0, neck.mlps.fc1):
        used = orthogonalize(linear.weight).flatten(1)
        gram = used @ used.T
        torch.testing.assert_close(gram, gram.diagonal().diag(), rtol=0, atol=1e-12)
        torch.testing.assert_close(used.norm(dim=1), linear.weight.flatten(1).norm(dim=1), rtol=1e-12, atol=0)
        # The weights themselves are not orthogonal.
        assert (linear.weight.flatten(1) @ linear.weight.flatten(1).T - gram).abs().max() > 1e-3
    # The same network on weights that are orthogonal already.
    plain = tiny_mpcl.neck(**SEPARATE)
    plain.load_state_dict(neck.state_dict())
    for linear in (plain.mlps.fc0, plain.mlps.fc1):
        linear.weight.data = orthogonalize(linear.weight.data)
    torch.testing.assert_close(neck(feats()), plain(feats()), rtol=0, atol=TOLERANCE)


def test_orthogonalize_is_gram_schmidt():
    weight = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows: list[Tensor] = []
    for w in weight.flatten(1):
        rest = w
        for row in rows:
            rest = rest - (w @ row) / (row @ row) * row
        rows.append(rest / rest.norm() * w.norm())
    torch.testing.assert_close(orthogonalize(weight).flatten(1), torch.stack(rows), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(orthogonalize, [weight.requires_grad_()])


def test_autocast_keeps_the_embeddings_close():
    neck = tiny_mpcl.neck(num_layers=3, orthogonal=True).float()
    x = (feats()[0].float(),)
    with torch.autocast('cpu', torch.bfloat16):
        low = neck(x)
    torch.testing.assert_close(low.float(), neck(x), rtol=0.1, atol=1.0)
    low.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        (dict(num_projectors=0), ['num_projectors', '0']),
        (dict(in_channels=0), ['in_channels', '0']),
        (dict(hid_channels=0), ['hid_channels', '0']),
        (dict(hid_channels=[4, 5]), ['one per projector (3)', '[4, 5]']),
        (dict(out_channels=-1), ['out_channels', '-1']),
        (dict(num_layers=1), ['num_layers', '2', '1']),
        (dict(init='xavier'), ['init', 'mixed', 'xavier']),
        (dict(mlp=dict(layers=3)), ['layers', 'num_layers']),
        (dict(dropout=1.0), ['dropout', '[0, 1)', '1.0']),
        (dict(hid_channels=[4, 5, 6], shared_hidden=True), ['shared_hidden', '[4, 5, 6]']),
        (dict(hid_channels=[4, 5, 6], orthogonal=True), ['orthogonal', '[4, 5, 6]']),
        (dict(hid_channels=1, out_channels=2, orthogonal=True), ['3 projectors', '2 weights']),
    ],
    ids=str,
)
def test_constructor_errors(changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny_mpcl.neck(**changes)
    assert all(number in str(error.value) for number in numbers), str(error.value)


def test_wrong_features_are_named():
    with pytest.raises(ValueError, match=r'\(N, 8\).*got \(5, 7\)'):
        tiny_mpcl.neck()((torch.randn(5, 7).double(),))
    with pytest.raises(ValueError, match='out_type'):
        tiny_mpcl.neck()((torch.randn(5, 4, 8).double(),))
