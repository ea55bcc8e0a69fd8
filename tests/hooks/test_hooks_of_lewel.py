"""The hooks that ``lewel pretrain`` adds: validation at the start, retrieval of views, progress, a kept backbone."""

import json
import math
import time
from unittest.mock import MagicMock

import pytest
import torch
from helpers.ranks import on_ranks
from helpers.toy_runner import ToyImages, toy_config, toy_runner
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from lewel_plugins.datasets.pretrain_dataset import PretrainDataset, SampleId
from lewel_plugins.functional import lidar
from lewel_plugins.hooks import FrozenBackboneHook, ProgressHook, ViewRetrievalHook, view_retrieval_hook
from lewel_plugins.hooks.view_retrieval_hook import _embed_many_views, _embed_two_views, retrieval_accuracy
from lewel_plugins.running import watched_loader
from lewel_plugins.running.progress_file import read_progress
from lewel_plugins.seeding import derive_seed

pytestmark = pytest.mark.core

IMAGES = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='lewel_plugins.PretrainDataset', dataset=dict(type='mmengine.ToyImages', size=10, views=2)),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    collate_fn=dict(type='default_collate'),
)
MONITORS = [
    dict(type='lewel_plugins.InitialValidationHook'),
    dict(type='lewel_plugins.ViewRetrievalHook', dataloaders=dict(train=IMAGES), lidar_views=4, lidar_images=7),
    dict(type='lewel_plugins.ProgressHook', every=1e-9),
]


@HOOKS.register_module(force=True)
class Rates(Hook):
    """Keep the rates of the groups in each iteration, and the weights of the first layer after it."""

    priority = 'VERY_LOW'
    seen: list = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([[group['lr'] for group in runner.optim_wrapper.param_groups]])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen[-1].append(next(runner.model.backbone.parameters()).detach().clone())


def scalars(folder) -> list[dict]:
    return [json.loads(line) for line in next(folder.glob('*/vis_data/scalars.json')).read_text().splitlines()]


def test_retrieval_accuracy_equals_a_loop_in_plain_numbers():
    generator = torch.Generator().manual_seed(0)
    first, noise = torch.randn(2, 30, 5, generator=generator)
    second = first + 0.8 * noise

    def cosine(a, b):
        a, b = a.tolist(), b.tolist()
        return math.fsum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)

    hits = [max(range(30), key=lambda j: cosine(first[i], second[j])) == i for i in range(30)]
    assert 0 < sum(hits) < 30
    assert retrieval_accuracy(first, second) == pytest.approx(sum(hits) / 30)
    assert retrieval_accuracy(first, 7 * first) == 1
    assert retrieval_accuracy(torch.ones(4, 3), torch.ones(4, 3)) == 0  # a collapse finds nothing


def test_views_that_the_preprocessor_draws_are_the_same_in_each_validation(monkeypatch):
    model = nn.Module()
    model.backbone, model.neck = nn.Identity(), nn.Linear(4, 3)
    model.data_preprocessor = lambda batch, training: dict(inputs=[x + torch.rand(4, 4) for x in [batch['x']] * 2])
    monkeypatch.setattr(view_retrieval_hook, 'broken_files', lambda samples: [[]] * 4)
    loader = [dict(x=torch.full((4, 4), float(i)), data_samples=[]) for i in range(2)]
    rows = []
    for seed in range(2):
        torch.manual_seed(seed)
        with torch.no_grad():
            rows.append(_embed_two_views(model, loader, 8)[0])
        numbers = torch.rand(2)
        torch.manual_seed(seed)
        assert torch.equal(numbers, torch.rand(2))  # the training goes on with its own numbers
    assert torch.equal(*rows) and not torch.equal(rows[0][0], rows[0][1])


def test_validations_show_the_start_and_the_training_stays_the_same(tmp_path):
    plain = toy_runner(tmp_path / 'plain', max_iters=4, val_interval=1000)
    plain.train()
    by_step = {'default_hooks.logger.log_metric_by_epoch': False}
    watched = toy_runner(tmp_path / 'watched', max_iters=4, val_interval=2, custom_hooks=MONITORS, **by_step)
    watched.train()
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, watched.model.state_dict()[name]), name
    lines = [line for line in scalars(tmp_path / 'watched') if 'finds_view/train' in line]
    assert [line['step'] for line in lines] == [0, 2, 4]
    assert all('representation/rank_me' in line and 0 <= line['finds_view/train'] <= 100 for line in lines)
    model, images = watched.model.eval(), [ToyImages(10)[i]['inputs'] for i in range(7)]
    with torch.no_grad():
        views = [model.neck(model.backbone(torch.stack(view)))[0] for view in zip(*images)]
    unit = torch.nn.functional.normalize(torch.stack([*views, *views], 1), dim=2)  # the same under both seeds
    assert lines[-1]['lidar/train'] == pytest.approx(lidar(unit * 4).item(), rel=1e-4)  # 16 channels
    progress = read_progress(tmp_path / 'watched')
    assert (progress.stage, progress.step, progress.steps) == ('finished', 4, 4)
    assert progress.scalars['finds_view/train'] == lines[-1]['finds_view/train']
    assert progress.images_per_second > 0 and 0 <= progress.waiting <= 1
    assert progress.seconds_left is None  # with fewer than twenty steps, any estimate would be a guess


def test_raw_pixels_are_classified_once_by_the_same_rule(tmp_path):
    hooks = [dict(type='lewel_plugins.PixelBaselineHook'), *MONITORS]
    runner = toy_runner(tmp_path, max_iters=2, val_interval=1, custom_hooks=hooks)
    runner.train()
    values = runner.message_hub.get_scalar('val/knn/pixels_top1').data[0]
    assert len(values) == 1
    images = {
        split: [loader.dataset[i] for i in range(len(loader.dataset))]
        for split, loader in (('bank', runner.val_loop.bank_dataloader), ('query', runner.val_dataloader))
    }
    rows = {split: torch.stack([item['inputs'].flatten() for item in items]) for split, items in images.items()}
    unit = {split: torch.nn.functional.normalize(x.double(), dim=1) for split, x in rows.items()}
    label = {split: [int(item['data_samples'].gt_label) for item in items] for split, items in images.items()}
    hits = 0
    for i, row in enumerate(unit['query'] @ unit['bank'].T):
        votes = [0.0] * 4
        for j in row.topk(3).indices.tolist():
            votes[label['bank'][j]] += math.exp(float(row[j]) / 0.07)
        hits += votes.index(max(votes)) == label['query'][i]
    assert float(values[0]) == pytest.approx(100 * hits / len(label['query']))
    with pytest.raises(ValueError, match='PixelBaselineHook needs a FeatureValLoop with a KNNMetric'):
        wrong = dict(val_evaluator=[dict(type='lewel_plugins.RepresentationMetric')], custom_hooks=hooks)
        toy_runner(tmp_path / 'wrong', max_iters=2, **wrong).train()


@DATASETS.register_module(force=True)
class SeededImages(ToyImages):
    """Images with noise by the generator that ``PretrainDataset`` seeds."""

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return dict(item, inputs=[image + torch.randn(3, 16, 16) for image in item['inputs']])


def test_lidar_has_further_views_of_the_first_images():
    dataset = PretrainDataset(SeededImages(5))
    loader = DataLoader(dataset, batch_size=4, collate_fn=default_collate)
    model = MagicMock(neck=lambda x: x, backbone=lambda x: x.flatten(1))
    model.data_preprocessor = lambda batch, training: batch
    z = _embed_many_views(model, loader, images=3, views=6)
    assert z.shape == (3, 6, 768) and torch.equal(z, _embed_many_views(model, loader, images=3, views=6))
    for image, views in enumerate(z):
        expected = [
            view for seed in range(3) for view in dataset[SampleId(image, derive_seed(0, seed, image))]['inputs']
        ]
        assert torch.equal(
            torch.stack(sorted(views, key=sum)), torch.stack(sorted((v.flatten() for v in expected), key=sum))
        )
    assert len(_embed_many_views(model, loader, images=200, views=2)) == 5


def test_lidar_loads_into_pinned_memory_like_the_loader_and_is_watched(monkeypatch):
    loader = DataLoader(PretrainDataset(ToyImages(5)), batch_size=4, collate_fn=default_collate, pin_memory=True)
    loaders = []
    monkeypatch.setattr(view_retrieval_hook, '_embed_two_views', lambda model, few, count: loaders.append(few))
    with pytest.raises(TypeError):  # there are no embeddings
        _embed_many_views(MagicMock(), loader, images=3, views=2)
    assert loaders[0].pin_memory and isinstance(loaders[0], watched_loader._WatchedLoader)


class HangingImages(ToyImages):
    """Images on a disk that does not answer."""

    def __getitem__(self, index):
        time.sleep(10)


def test_lidar_does_not_wait_for_a_disk_that_does_not_answer():
    workers = dict(num_workers=1, timeout=1, multiprocessing_context='fork')
    loader = DataLoader(PretrainDataset(HangingImages(5)), batch_size=4, collate_fn=default_collate, **workers)
    with pytest.raises(RuntimeError, match='timed out after 1 seconds'):
        _embed_many_views(MagicMock(), loader, images=3, views=2)


def _finds_view(rank, folder):
    runner = toy_runner(folder, max_iters=1, custom_hooks=MONITORS)
    runner.train()
    return [runner.message_hub.get_scalar(f'val/{name}/train').data[0].tolist()[0] for name in ('finds_view', 'lidar')]


def test_two_ranks_find_the_same_share_as_one(tmp_path):
    """The first validation: ten images on two ranks are five each, and on three ranks two of them are repeated."""
    (expected,) = on_ranks(1, tmp_path, _finds_view, tmp_path / 'one')
    for ranks in (2, 3):
        for measured in on_ranks(ranks, tmp_path, _finds_view, tmp_path / str(ranks)):
            assert measured == pytest.approx(expected, rel=1e-5)


def test_the_backbone_is_kept_while_the_heads_start(tmp_path):
    wrapper = {
        'optim_wrapper.constructor': 'lewel_plugins.TypedOptimWrapperConstructor',
        'optim_wrapper.paramwise_cfg': dict(backbone_lr_mult=0.1),
    }
    Rates.seen.clear()
    runner = toy_runner(
        tmp_path,
        max_iters=4,
        **wrapper,
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=4, by_epoch=False)],
        custom_hooks=[dict(type='lewel_plugins.FrozenBackboneHook', iters=2), dict(type='Rates')],
    )
    runner.train()
    rates, weights = zip(*Rates.seen)
    marked = [group.get('backbone', False) for group in runner.optim_wrapper.param_groups]
    assert sum(marked) == 1 and len(marked) > 1  # mmengine adds a group without parameters
    for i, row in enumerate(rates):
        rate = 0.05 * (1 + math.cos(math.pi * i / 4)) / 2
        for lr, of_backbone in zip(row, marked):
            assert lr == pytest.approx(0 if of_backbone and i < 2 else rate * (0.1 if of_backbone else 1))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: FrozenBackboneHook(-1), 'iters must not be negative, got -1'),
        (lambda: ProgressHook(0), 'every must be positive, got 0'),
        (lambda: ViewRetrievalHook({}), 'needs at least one data loader'),
        (lambda: ViewRetrievalHook(dict(train=IMAGES), lidar_views=3), 'must be an even number, or 0 .*, got 3'),
        (lambda: ViewRetrievalHook(dict(train=IMAGES), lidar_images=1), 'lidar_images must be at least 2, got 1'),
    ],
)
def test_wrong_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_what_only_a_runner_can_know(tmp_path):
    with pytest.raises(ValueError, match=r'set optim_wrapper.paramwise_cfg.backbone_lr_mult'):
        toy_runner(tmp_path / 'a', custom_hooks=[dict(type='lewel_plugins.FrozenBackboneHook', iters=2)]).train()
    one = toy_config('').train_dataloader
    one.dataset.views = 1
    hook = dict(type='lewel_plugins.ViewRetrievalHook', dataloaders=dict(train=one))
    with pytest.raises(ValueError, match='needs two views per image, but the pipeline makes 1'):
        toy_runner(tmp_path / 'b', max_iters=2, val_interval=1, custom_hooks=[hook]).train()
    unseeded = ViewRetrievalHook(dict(train=one), lidar_views=2)
    with pytest.raises(ValueError, match="PretrainDataset, but that of 'train' is a ToyImages"):
        unseeded.before_train(Runner)
