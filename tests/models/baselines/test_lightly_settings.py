"""mmpretrain's BYOL and MoCo with the teacher, the directions and the shuffle of lightly's benchmarks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers import tiny
from mmengine.registry import MODELS, init_default_scope

import lewel_plugins.models  # noqa: F401

pytestmark = pytest.mark.core
NECK = dict(type='NonLinearNeck', hid_channels=16, out_channels=8, with_last_bn=False, norm_cfg=dict(type='BN1d'))


def build(config: dict):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    return MODELS.build(dict(config, backbone=tiny.backbone_config()))


def test_teacher_of_constant_byol_moves_by_the_same_share_in_every_step():
    width = tiny.neck_config()['in_channels']
    predictor = dict(NECK, in_channels=8, with_avg_pool=False)
    head = dict(type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'), predictor=predictor)
    model = build(
        dict(type='lewel_plugins.ConstantBYOL', base_momentum=0.25, neck=dict(NECK, in_channels=width), head=head)
    )
    views = [torch.randn(4, 3, 32, 32) for _ in range(2)]
    model.loss(views, [])  # the first step copies
    expected = copy.deepcopy(list(model.neck.parameters()))
    for _ in range(3):
        with torch.no_grad():
            for parameter, average in zip(model.neck.parameters(), expected):
                parameter.add_(torch.randn_like(parameter))
                average.lerp_(parameter, 0.25)
        model.loss(views, [])
    for average, actual in zip(expected, model.target_net.module[1].parameters()):
        torch.testing.assert_close(actual, average)


def test_symmetric_moco_is_the_mean_of_both_directions():
    width = tiny.neck_config()['in_channels']
    neck = dict(type='MoCoV2Neck', in_channels=width, hid_channels=16, out_channels=8)
    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.1)
    model = build(
        dict(type='lewel_plugins.SymmetricMoCo', queue_len=12, feat_dim=8, momentum=0.01, neck=neck, head=head)
    ).double()
    views = [torch.randn(4, 3, 32, 32, dtype=torch.float64) for _ in range(2)]
    queue = model.queue.clone()
    embed = lambda x: F.normalize(model.neck(model.backbone(x))[0], dim=1)  # noqa: E731
    z = [embed(x).detach() for x in views]  # the teacher is a copy in the first step, and BN has no shuffle to see
    expected = 0.0
    for q, k in ((z[0], z[1]), (z[1], z[0])):
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue], 1) / 0.1
        expected += F.cross_entropy(logits, torch.zeros(4, dtype=torch.long)) / 2
        queue = torch.cat([queue[:, : int(model.queue_ptr)], k.T, queue[:, int(model.queue_ptr) + 4 :]], 1)
        model.queue_ptr += 4
    model.queue_ptr.zero_()
    loss = model.loss(views)['loss']
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.queue, queue, rtol=0, atol=1e-10)
    loss.backward()
    assert all(p.grad is not None for p in (*model.backbone.parameters(), *model.neck.parameters()))
    assert not any(p.requires_grad and p.grad is not None for p in model.encoder_k.parameters())


def test_keys_are_shuffled_for_the_teacher_and_returned_in_order():
    width = tiny.neck_config()['in_channels']
    neck = dict(type='MoCoV2Neck', in_channels=width, hid_channels=16, out_channels=8)
    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.1)
    model = build(
        dict(type='lewel_plugins.SymmetricMoCo', queue_len=16, feat_dim=8, momentum=0.01, neck=neck, head=head)
    ).eval()
    x = torch.randn(8, 3, 32, 32)
    seen = []
    model.encoder_k.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    keys = model._keys(x)
    assert not torch.equal(seen[0], x)
    torch.testing.assert_close(keys, F.normalize(model.encoder_k(x)[0], dim=1))
