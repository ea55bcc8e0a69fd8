"""Linear evaluation on features that are extracted once equals that by the Runner."""

import pytest
import torch
from helpers.toy_classifier import linear_config, write_checkpoint
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.extraction import extract_features, plain_loader
from lewel_plugins.evaluation.linear_probe import build_classifier, dropped_steps, linear_probe

pytestmark = pytest.mark.core
LARS = dict(type='lewel_plugins.LARS', lr=3.2, momentum=0.9, weight_decay=0.0)
NESTEROV = dict(type='SGD', lr=0.3, momentum=0.9, nesterov=True, weight_decay=1e-3)
COSINE = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True, begin=0, end=4, convert_to_iter_based=True)]


def features(cfg):
    init_default_scope('mmpretrain')
    model = build_classifier(cfg, cfg.randomness.seed)
    sets = [extract_features(model, plain_loader(cfg[f'{name}_dataloader']), name) for name in ('train', 'val')]
    return model.head, *sets


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'optim_wrapper.optimizer': NESTEROV, 'param_scheduler': COSINE},
        {'optim_wrapper.optimizer': LARS, 'param_scheduler': COSINE, 'train_dataloader.drop_last': True},
    ],
    ids=['steps', 'nesterov and cosine', 'LARS, drop_last'],
)
def test_fast_equals_slow(tmp_path, changes):
    checkpoint = write_checkpoint(tmp_path / 'a.pth')
    cfg = linear_config(tmp_path / 'slow', checkpoint, **changes)
    lr = cfg.optim_wrapper.optimizer.lr
    runner = Runner.from_cfg(cfg.copy())
    runner.train()
    slow = runner.val()

    head, bank, query = features(cfg)
    (fast,) = linear_probe(cfg, head, bank, query, [lr], seed=3)
    fc = runner.model.head.fc
    assert not torch.allclose(fc.weight, head.fc.weight, rtol=1e-2, atol=1e-4)  # the training has changed it
    torch.testing.assert_close(fast.weight, fc.weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.bias, fc.bias.detach(), rtol=1e-4, atol=1e-6)
    assert fast.top1 == pytest.approx(slow['accuracy/top1'])
    assert fast.top5 == 100.0  # the five best of four classes
    other = linear_probe(cfg, head, bank, query, [lr], seed=4)[0]
    assert not torch.allclose(other.weight, fast.weight, rtol=1e-4, atol=1e-6)  # another order of the images


def test_learning_rates_do_not_see_each_other(tmp_path):
    cfg = linear_config(tmp_path / 'slow', write_checkpoint(tmp_path / 'a.pth'))
    head, bank, query = features(cfg)
    before = head.fc.weight.clone()
    rates = [0.01, 0.05, 0.3]
    together = linear_probe(cfg, head, bank, query, rates, seed=0)
    assert torch.equal(before, head.fc.weight)
    for rate, result in zip(rates, together):
        (alone,) = linear_probe(cfg, head, bank, query, [rate], seed=0)
        assert result.lr == rate
        torch.testing.assert_close(result.weight, alone.weight, rtol=1e-4, atol=1e-6)
        assert torch.equal(result.predictions, alone.predictions)
    assert not torch.allclose(together[0].weight, together[1].weight)


def test_a_step_has_the_whole_batch_of_the_recipe(tmp_path):
    """In a recipe for several processes, the loader has the batch of one, and the learning rate is for all of them."""
    checkpoint = write_checkpoint(tmp_path / 'a.pth')
    whole = linear_config(tmp_path / 'whole', checkpoint)  # batches of 8
    share = linear_config(tmp_path / 'x', checkpoint, **{'train_dataloader.batch_size': 2})
    share.auto_scale_lr = dict(base_batch_size=8)
    head, bank, query = features(whole)
    (expected,) = linear_probe(whole, head, bank, query, [0.05], seed=0)
    (result,) = linear_probe(share, head, bank, query, [0.05], seed=0)
    assert torch.equal(result.weight, expected.weight)
    share.pop('auto_scale_lr')
    (small,) = linear_probe(share, head, bank, query, [0.05], seed=0)
    assert not torch.allclose(small.weight, expected.weight, rtol=1e-3, atol=1e-4)


def test_what_is_done_to_training_images_only_is_named():
    steps = [dict(type=name) for name in ('LoadRGB', 'RandomResizedCrop', 'RandomFlip', 'PackInputs')]
    cfg = Config(
        dict(
            model=dict(type='X'),
            train_dataloader=dict(dataset=dict(dataset=dict(dataset=dict(pipeline=steps)))),
            val_dataloader=dict(dataset=dict(pipeline=[steps[0], dict(type='ResizeEdge'), steps[3]])),
        )
    )
    assert dropped_steps(cfg) == ['RandomResizedCrop', 'RandomFlip']
    cfg.data_preprocessor = dict(type='BatchViews', views=[dict(size=8)])
    cfg.val_dataloader.dataset.pipeline = steps
    assert dropped_steps(cfg) == ['BatchViews']
    assert dropped_steps(Config(dict(cfg.to_dict(), data_preprocessor=dict(type='ClsDataPreprocessor')))) == []


def test_features_are_those_of_the_dataset_in_its_order(tmp_path):
    cfg = linear_config(tmp_path / 'slow', write_checkpoint(tmp_path / 'a.pth'))
    init_default_scope('mmpretrain')
    model = build_classifier(cfg, 0).train()
    loader = plain_loader(cfg.train_dataloader)
    result = extract_features(model, loader, 'x')
    images = torch.stack([loader.dataset[i]['inputs'] for i in range(22)])
    with torch.no_grad():
        expected = model.backbone(images)[-1].mean((2, 3))
    torch.testing.assert_close(result.feat, expected)
    assert result.label.tolist() == [i % 4 for i in range(22)] and not result.feat.requires_grad
    assert extract_features(model, loader, 'x', labeled=False).label.eq(-1).all()
    model.backbone.conv.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match='x: the features of 22 images are NaN or infinite'):
        extract_features(model, loader, 'x')


def test_what_the_fast_path_does_not_do_is_refused(tmp_path):
    checkpoint = write_checkpoint(tmp_path / 'a.pth')
    cfg = linear_config(tmp_path / 'slow', checkpoint)
    head, bank, query = features(cfg)
    for changes, message in (
        ({'model.frozen': False}, 'model.frozen must be True'),
        ({'model.head.loss.type': 'LabelSmoothLoss'}, 'its loss must be a plain CrossEntropyLoss'),
        ({'optim_wrapper.type': 'AmpOptimWrapper'}, r'must be an OptimWrapper \(float32\)'),
    ):
        with pytest.raises(SetupError, match=message):
            linear_probe(linear_config(tmp_path / 'x', checkpoint, **changes), head, bank, query, [0.1], 0)
    for rates in ([], [0.1, 0.0]):
        with pytest.raises(ValueError, match='learning rates must be positive'):
            linear_probe(cfg, head, bank, query, rates, 0)
    unlabeled = bank._replace(label=bank.label.clone().index_fill_(0, torch.tensor([1, 2]), -1))
    with pytest.raises(ValueError, match='2 of 22 training images have no label'):
        linear_probe(cfg, head, unlabeled, query, [0.1], 0)
