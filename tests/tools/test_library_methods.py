"""Methods of lightly and of stable-pretraining as rows of a comparison.

They get the data, views, backbone, optimizer and schedule of our recipes, all their weights train, and their losses
are those of mmpretrain or of ours up to the factors that are stated here.
"""

import importlib
import math
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lewel_plugins.comparison.run import resolved_configs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.files import read_json
from lewel_plugins.models.heads import SMoGHead

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
FILES = sorted((CONFIGS / 'comparisons' / 'libraries').glob('*.py'))
SMALL = '_resnet10_1xb128-10e_cifar10.py'
SHARED = (
    'train_dataloader', 'bank_dataloader', 'val_dataloader', 'val_cfg', 'val_evaluator', 'data_preprocessor',
    'param_scheduler', 'train_cfg', 'auto_scale_lr',
)  # fmt: skip


def load(path: Path | str) -> Config:
    """Return a config of a library, or skip the test if the library is not installed."""
    cfg = Config.fromfile(str(path), import_custom_modules=False)
    init_default_scope('mmpretrain')
    for module in cfg.get('custom_imports', {}).get('imports', []):
        library = module.rpartition('.')[2].removesuffix('_methods')
        pytest.importorskip(library)
        if str(ROOT / 'tools') not in sys.path:
            sys.path.append(str(ROOT / 'tools'))
        importlib.import_module(module)
    return cfg


def build(name: str) -> nn.Module:
    """Return the model of a small recipe, of a library or of ours."""
    folder = 'comparisons/libraries' if (CONFIGS / 'comparisons/libraries' / (name + SMALL)).exists() else 'baselines'
    cfg = load(CONFIGS / folder / (name + SMALL))
    return MODELS.build(cfg.model).train()


def test_there_are_eight_recipes():
    assert len(FILES) == 8


@pytest.mark.parametrize('name', ['libraries_cifar10', 'rates-libraries_cifar10'])
def test_rows_share_all_but_the_method(name):
    comparison = load_comparison(CONFIGS / 'comparisons' / f'{name}.py')
    rates = load_comparison(CONFIGS / 'comparisons' / 'rates_cifar10.py')
    configs = resolved_configs(comparison)
    expected = resolved_configs(rates if name.startswith('rates') else comparison)
    (first,) = [cfg for row, cfg in expected.items() if row in ('MoCo v2, 0.1', 'MoCo v2, mmpretrain')]
    for row, cfg in configs.items():
        assert {key: cfg[key] for key in SHARED} == {key: first[key] for key in SHARED}, row
        assert dict(cfg.model.backbone) == dict(first.model.backbone) == dict(type='lewel_plugins.ResNet10'), row
        assert {**cfg.optim_wrapper.optimizer, 'lr': 0} == {**first.optim_wrapper.optimizer, 'lr': 0}, row
        assert {**cfg.optim_wrapper, 'optimizer': 0} == {**first.optim_wrapper, 'optimizer': 0}, row


def test_every_library_has_the_rates_of_the_method_here():
    rates: dict[str, set] = {}
    for name in ('rates_cifar10', 'rates-libraries_cifar10'):
        for row in load_comparison(CONFIGS / 'comparisons' / f'{name}.py').rows:
            if row.series and not row.series.endswith('LARS'):
                rates.setdefault(row.series, set()).add(row.value)
    rows = {row.name for row in load_comparison(CONFIGS / 'comparisons' / 'libraries_cifar10.py').rows}
    here = {f'{method}, mmpretrain' for method in ('BYOL', 'MoCo v2', 'MoCo v3', 'Barlow Twins')} | {'SMoG, ours'}
    for row in rows - here:
        assert rates[row] == rates[row.rpartition(', ')[0]], row
    assert rows - here <= set(rates)


def test_each_row_has_the_best_rate_of_its_search():
    best: dict[str, float] = {}
    for name in ('rates_cifar10', 'rates-libraries_cifar10'):
        runs = defaultdict(list)
        for row in (read_json(ROOT / 'docs' / 'results' / f'{name}.json') or {'rows': []})['rows']:
            series, _, rate = row['name'].rpartition(', ')
            runs[series] += [(value['knn/top1_k20'], rate) for value in row['values'].values()]
        best.update({series: float(max(values)[1]) for series, values in runs.items() if series and values})
    comparison = load_comparison(CONFIGS / 'comparisons' / 'libraries_cifar10.py')
    rates = {name: cfg.optim_wrapper.optimizer.lr for name, cfg in resolved_configs(comparison).items()}
    for row in comparison.rows:
        method, _, library = row.name.rpartition(', ')
        searched = method if row.name == row.baseline else row.name
        assert rates[row.name] == best.get(searched, rates[row.baseline]), row.name


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name.partition('_')[0])
def test_two_steps_change_all_trained_weights(path):
    cfg = load(path)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    model.init_weights()
    teachers = {
        name: value for name, value in model.state_dict().items() if 'momentum' in name or 'teacher' in name
    }  # fmt: skip
    for name, value in teachers.items():  # start as copies of the online networks
        online = name.replace('.teacher.', '.student.').replace('_momentum.', '.')
        assert torch.equal(value, model.state_dict()[online]), name
    trained = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    MessageHub.get_current_instance().update_info_dict(dict(epoch=0, max_epochs=10))
    if hasattr(model, 'before_training'):
        model.before_training()
    for _ in range(2):
        images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
        losses = model.train_step(dict(inputs=images, data_samples=[]), wrapper)
        assert losses['loss'].isfinite()
        if hasattr(model, 'after_optimizer_step'):
            model.after_optimizer_step(0.5)
    after = dict(model.named_parameters())
    is_linear = {f'{name}.bias' for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name, value in trained.items():
        # BN cancels a bias in front of it.
        assert name in is_linear or not torch.equal(value, after[name]), name
    for name, value in frozen.items():
        if value.ndim > 1 and name != 'smog.group_features':
            assert not torch.equal(value, after[name]), name


class Map(nn.Module):
    """A backbone that returns embeddings (N, d) as maps of one pixel."""

    def forward(self, x):
        return (x[:, :, None, None],)


class Neck(nn.Module):
    """A neck or predictor of mmpretrain that changes nothing."""

    def forward(self, x):
        return (x[0].flatten(1),)


class Teacher(nn.Sequential):
    """A teacher of mmpretrain or of stable-pretraining that changes nothing."""

    def update_parameters(self, model):
        pass

    def forward_student(self, x):
        return self(x)

    def forward_teacher(self, x):
        return self(x).detach()


def on_embeddings(model: nn.Module) -> nn.Module:
    """Take all networks out of a method, so that it computes its loss on its inputs (N, d)."""
    if hasattr(model, 'method'):
        for name in ('backbone', 'projector'):
            setattr(model.method, name, Teacher())
        if hasattr(model.method, 'predictor'):
            model.method.predictor = nn.Identity()
        return model
    if hasattr(model, 'projection'):
        model.backbone, model.neck, model.prediction_head = Map(), nn.Identity(), nn.Identity()
        model.backbone_momentum, model.neck_momentum = Map(), nn.Identity()
        model.update_momentum = lambda: None
        return model
    model.backbone, model.neck = Map(), Neck()
    for name in ('target_net', 'encoder_k', 'momentum_encoder'):
        if hasattr(model, name):
            setattr(model, name, Teacher(Map(), Neck()))
    if hasattr(model.head, 'predictor'):
        model.head.predictor = Neck()
    return model


def loss_and_gradients(model: nn.Module, views: list[torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
    """Return the loss on embeddings, and its gradients."""
    inputs = [view.clone().requires_grad_() for view in views]
    loss = sum(model.loss(inputs, []).values())
    return loss.item(), torch.autograd.grad(loss, inputs, allow_unused=True)


@pytest.mark.parametrize(
    ('theirs', 'reference', 'scale', 'constant'),
    [
        ('lightly-byol', 'byol', 1 / 4, 0),
        ('stable-pretraining-byol', 'byol', 1 / 2, 2),
        ('lightly-mocov2', 'mocov2', 1, 0),
        ('stable-pretraining-mocov3', 'mocov3', 1.25, 0),
        ('lightly-barlowtwins', 'barlowtwins', 1, 0),
    ],
)
def test_loss_is_that_of_mmpretrain_up_to_a_factor(theirs, reference, scale, constant):
    torch.manual_seed(0)
    width = 256 if 'barlow' in theirs else 64
    views = [torch.randn(16, width) for _ in range(2)]
    views[1] += views[0]
    library, mmpretrain = on_embeddings(build(theirs)), on_embeddings(build(reference))
    if 'moco' in theirs and 'v2' in theirs:
        mmpretrain.queue.copy_(library.criterion.memory_bank.bank.T)
    loss, gradients = loss_and_gradients(library, views)
    expected, expected_gradients = loss_and_gradients(mmpretrain, views)
    assert loss == pytest.approx(scale * expected + constant, rel=1e-5)
    for ours, other in zip(gradients, expected_gradients):
        if other is not None:
            torch.testing.assert_close(ours, scale * other, rtol=1e-4, atol=1e-6)
    if 'v2' in theirs:
        assert torch.equal(library.criterion.memory_bank.bank[:16], mmpretrain.queue[:, :16].T)


def test_moco_of_stable_pretraining_has_the_keys_of_the_batch_among_the_negatives():
    torch.manual_seed(0)
    views = [torch.randn(16, 64) for _ in range(2)]
    older = nn.functional.normalize(torch.randn(4096, 64))
    library, mmpretrain = on_embeddings(build('stable-pretraining-mocov2')), on_embeddings(build('mocov2'))
    library.method.queue.append(older)
    older[:16] = nn.functional.normalize(views[1])
    mmpretrain.queue.copy_(older.T)
    loss, (gradient, _) = loss_and_gradients(library, views)
    expected, (expected_gradient, _) = loss_and_gradients(mmpretrain, views)
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradient, expected_gradient)
    same = [views[1], views[1]]
    assert loss_and_gradients(library, same)[0] > math.log(2)  # the positive is a negative as well


def test_barlow_twins_of_stable_pretraining_has_smaller_correlations():
    torch.manual_seed(0)
    N = 16
    views = [torch.randn(N, 256) for _ in range(2)]
    library = on_embeddings(build('stable-pretraining-barlowtwins'))
    y1, y2 = ((z - z.mean(0)) / z.std(0, correction=0) for z in (view.double() for view in views))
    c = (N - 1) / N * (y1.T @ y2 / N)
    on, off = (1 - c.diagonal()).square().sum(), (c - c.diagonal().diag()).square().sum()
    assert loss_and_gradients(library, views)[0] == pytest.approx((on + 0.0051 * off).item(), rel=1e-4)


def test_smog_of_lightly_is_ours_with_constant_beta():
    torch.manual_seed(0)
    views = [torch.randn(16, 64) for _ in range(2)]
    library = on_embeddings(build('lightly-smog'))
    head = SMoGHead(in_channels=64, hid_channels=8, num_groups=91, beta=0.99, end_beta=None)
    head.predictor = nn.Identity()
    unit = nn.functional.normalize(torch.randn(91, 64))
    library.smog.set_group_features(unit)
    head.groups.rows.copy_(unit)
    views = [nn.functional.normalize(view) for view in views]
    loss, (gradient, _) = loss_and_gradients(library, views)
    z_a = views[0].clone().requires_grad_()
    expected = head.loss(z_a, views[1], z_a)['loss_contrastive']
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    # lightly moves the groups by features that are not normalized, so its gradient has a part along them.
    gradients = [
        g - (g * views[0]).sum(1, keepdim=True) * views[0] for g in (gradient, *torch.autograd.grad(expected, z_a))
    ]
    torch.testing.assert_close(*gradients)
