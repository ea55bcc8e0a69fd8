"""MSBReg's losses on other methods: mmpretrain's BYOL and MoCo, LEWEL_B, and a toy with other shapes."""

import pytest
import torch
from helpers import references as naive
from helpers import tiny, tiny_mpcl, twins
from helpers.toy_runner import toy_config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor, nn

from lewel_plugins import functional as LF
from lewel_plugins.hooks import RegularizerHook
from lewel_plugins.models import MPCLMoCo
from lewel_plugins.seeding import seed_shared_generator

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


def both(weight_s: float = 0.03, weight_b: float = 0.4) -> list[dict]:
    return [
        dict(type='lewel_plugins.SingularValueLoss', weight=weight_s),
        dict(type='lewel_plugins.BrownianLoss', weight=weight_b),
    ]


def noise(count: int, seed: int) -> Tensor:
    return torch.randn(count, tiny.EMBEDDING, generator=torch.Generator().manual_seed(seed)).double()


def test_on_mmpretrains_byol_they_make_twice_msbreg_of_two_views():
    model = tiny.msbreg(exclude_self=True, lambda_s=0.03, lambda_b=0.4, momentum=0.3)
    tiny.shrink(model)
    twin = twins.byol(model)
    RegularizerHook('head.predictor', both(2 * 0.03, 2 * 0.4)).attach(twin)
    worst = twins.walk_together(model, twin, steps=3, scale=2)
    assert max(worst.values()) < TOLERANCE, worst


def test_on_lewel_b_they_equal_the_naive_losses_of_its_predictions():
    model, views = tiny.lewel_b(), tiny.images(3)
    seen: list[Tensor] = []
    model.head.q.register_forward_hook(lambda _, inputs, output: seen.append(output))
    plain = model(views, mode='loss')
    p = torch.stack(seen)  # (2, 3, d)
    expected = 0.03 * naive.singular_value_loss(p) + 0.4 * naive.brownian_loss(p, noise(3, 5))
    theirs = tiny.gradients(sum(plain.values()) + expected, model)
    RegularizerHook('head.q', both()).attach(model)
    seed_shared_generator(5)
    losses = model(inputs=views, data_samples=None, mode='loss')
    assert list(losses) == [*plain, 'loss_singular', 'loss_brownian']
    assert naive.largest_difference([losses['loss_singular'] + losses['loss_brownian']], [expected]) < TOLERANCE
    ours = tiny.gradients(sum(losses.values()), model)
    assert naive.largest_difference(ours, theirs) < TOLERANCE


class Toy(nn.Module):
    """A model whose neck receives three views in one of several shapes."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        self.neck, self.shape, self.calls = nn.Linear(4, 5).double(), shape, 1
        self.other = nn.Linear(4, 5)

    def forward(self, inputs: list[Tensor], mode: str = 'tensor') -> dict[str, Tensor] | Tensor:
        if mode == 'tensor':
            return self.neck(inputs[0])
        if self.shape == 'views':
            p = torch.stack([self.neck(x) for x in inputs])
        elif self.shape == 'one view after another':
            p = self.neck(torch.cat(inputs))
        else:  # the shape of M projectors
            p = self.neck(torch.stack(inputs))
        with torch.no_grad():
            self.neck(inputs[0])  # a pass of a teacher that shares modules, which must not count
        return dict(loss=0 * p.sum())


@pytest.mark.parametrize('shape', ['views', 'one view after another', 'projectors'])
def test_shapes_of_outputs(shape):
    model = Toy(shape)
    inputs = [torch.randn(6, 4, generator=torch.Generator().manual_seed(i)).double() for i in range(3)]
    p = model.neck(torch.stack(inputs))  # (3, 6, 5)
    RegularizerHook('neck', both()[:1]).attach(model)
    losses = model(inputs, mode='loss')
    torch.testing.assert_close(losses['loss_singular'], 0.03 * LF.singular_value_loss(p), rtol=0, atol=TOLERANCE)
    assert model(inputs).shape == (6, 5)  # another mode has no losses
    with torch.no_grad():
        assert model(inputs, mode='loss').keys() == {'loss'}


def test_as_many_projectors_as_images():
    config = tiny_mpcl.config('mpcl_moco', queue_len=16)
    images = [x[:3] for x in tiny.images()]
    model = MPCLMoCo(**config).double()
    assert model.neck(model.backbone(images[0])).shape[:2] == (3, 3)
    RegularizerHook('neck', both()[:1]).attach(model)
    assert model(images, mode='loss')['loss_singular'].isfinite()


def test_moco_is_regularized_on_its_queries():
    model = tiny.lewel_m(neck_changes=dict(coupled=False), beta=0.0)
    twin = twins.moco(model)
    RegularizerHook('neck', both()).attach(twin)
    views = tiny.images()
    losses = twin(views, [], mode='loss')
    q = model.neck.g(model.backbone(views[0])[0].mean((2, 3)))
    torch.testing.assert_close(losses['loss_singular'], 0.03 * LF.singular_value_loss(q[None]), rtol=0, atol=TOLERANCE)


def regularized_config(folder):
    cfg = toy_config(folder, max_iters=3)
    cfg.default_hooks.sampler_seed = dict(type='lewel_plugins.ReproducibilityHook')
    cfg.custom_hooks = [dict(type='lewel_plugins.RegularizerHook', module='head.predictor', regularizers=both())]
    cfg.experiment_name = f'regularized_{id(cfg)}'
    return cfg


def test_trains_by_config_and_lets_go(tmp_path):
    runner = Runner.from_cfg(regularized_config(tmp_path))
    runner.train()
    for name in ('loss_singular', 'loss_brownian'):
        values = runner.message_hub.get_scalar(f'train/{name}').data[0]
        assert len(values) == 3 and len(set(values.tolist())) == 3
    assert not runner.model._forward_hooks and not runner.model.head.predictor._forward_hooks


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match='at least one loss, got none'):
        RegularizerHook('neck', [])
    with pytest.raises(ValueError, match="different names, got .'brownian', 'brownian'"):
        RegularizerHook('neck', both()[1:] * 2)
    model = tiny.lewel_b()
    with pytest.raises(ValueError, match="LEWELB has no module 'predictor' .* head.q, "):
        RegularizerHook('predictor', both()).attach(model)
    RegularizerHook('head.s', both()).attach(model)  # aligned embeddings (N, d/h, c)
    with pytest.raises(ValueError, match=r's must return .* N = 4, got \(4, 2, 8\), \(4, 2, 8\)'):
        model(tiny.images(), mode='loss')
    with pytest.raises(ValueError, match=r's must return .* N = 2, got \(2, 2, 8\), \(2, 2, 8\)'):
        model([x[:2] for x in tiny.images()], mode='loss')  # as many images as aligned embeddings
    unused = Toy('views')
    RegularizerHook('other', both()).attach(unused)
    with pytest.raises(ValueError, match='Toy.other was not called'):
        unused([torch.zeros(6, 4).double()] * 2, mode='loss')
    own = tiny.msbreg()
    RegularizerHook('head.predictor', both()).attach(own)
    with pytest.raises(ValueError, match='MSBReg has loss_brownian, loss_singular already'):
        own(tiny.images(), mode='loss')


def test_losses_build_by_name():
    assert [MODELS.build(config).weight for config in both(0.1, 0.2)] == [0.1, 0.2]
