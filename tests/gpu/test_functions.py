"""Losses, measures, K-means and views on the device against float64, or the CPU."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import references as naive
from helpers import references_mpcl as naive_mpcl
from mmengine.dataset import default_collate
from mmpretrain.datasets.transforms import PackInputs
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.functional import _fused
from lewel_plugins.models import BatchViews
from lewel_plugins.models.kmeans import draw_rows, spherical_kmeans
from lewel_plugins.transforms import MakeViews

TOLERANCE = dict(rtol=1e-4, atol=1e-5)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ASSIGNMENT = torch.tensor([2, 0, 2, 1])
LOSSES = {  # function, the naive one, arguments in float64
    'info_nce': (
        lambda q, k, queue: LF.info_nce(q, k, queue, 0.2),
        lambda q, k, queue: naive.info_nce(q, k, queue, 0.2),
        (randn(4, 5), randn(4, 5, seed=1), 3 * randn(5, 9, seed=2)),
    ),
    'info_nce of projectors': (
        lambda q, k, queue: LF.info_nce(q, k, queue, 0.2),
        lambda q, k, queue: naive_mpcl.info_nce(q, k, queue, 0.2),
        (randn(2, 4, 5), randn(2, 4, 5, seed=1), 3 * randn(2, 5, 9, seed=2)),
    ),
    'aligned_info_nce': (
        lambda q, k: LF.aligned_info_nce(q, k, 0.2),
        lambda q, k: naive.aligned_info_nce(q, k, 0.2),
        (randn(3, 4, 5), randn(3, 4, 5, seed=1)),
    ),
    'alignment_maps': (LF.alignment_maps, naive.alignment_maps, (randn(2, 6, 5),)),
    'aligned_pooling': (
        lambda f, maps: LF.aligned_pooling(f, maps, 4),
        lambda f, maps: naive.aligned_pooling(f, maps, 4),
        (randn(2, 12, 3), randn(2, 8, 3, seed=1)),
    ),
    'group_contrast': (
        lambda p, groups: LF.group_contrast(p, groups, ASSIGNMENT.to(p.device), 0.1),
        lambda p, groups: naive.group_contrast(p, groups, ASSIGNMENT, 0.1),
        (randn(4, 5), 2 * randn(3, 5, seed=1)),
    ),
    'update_groups': (
        lambda groups, z: LF.update_groups(groups, z, ASSIGNMENT.to(z.device), 0.6),
        lambda groups, z: naive.update_groups(groups, z, ASSIGNMENT, 0.6),
        (randn(5, 4), randn(4, 4, seed=1)),
    ),
    'barlow_twins': (
        lambda x, y: LF.barlow_twins(LF.standardize(x), LF.standardize(y), 0.005),
        lambda x, y: naive_mpcl.barlow_twins(x, y, 0.005),
        (randn(2, 6, 5), randn(2, 6, 5, seed=1)),
    ),
    'singular_value_loss': (LF.singular_value_loss, naive.singular_value_loss, (randn(2, 6, 4) + 1,)),
    'brownian_loss': (LF.brownian_loss, naive.brownian_loss, (randn(4, 3, 5), 3 * randn(3, 5, seed=1))),
    'cosine_mse': (LF.cosine_mse, naive.cosine_mse, (randn(5, 4), 2 * randn(5, 4, seed=1))),
    'centroid_loss': (LF.centroid_loss, naive.centroid_loss, (randn(4, 3, 5), 2 * randn(4, 3, 5, seed=1))),
    'multi_crop_loss': (LF.multi_crop_loss, naive.multi_crop_loss, (randn(5, 3, 4), randn(2, 3, 4, seed=1))),
}


def check_loss(name: str, device: str) -> None:
    function, reference, inputs = LOSSES[name]
    expected = naive.value_and_gradients(reference, inputs)
    leaves = [x.to(device, torch.float32) for x in inputs]
    for value, exact in zip(naive.value_and_gradients(function, leaves), expected, strict=True):
        assert value.device.type == device and value.dtype == torch.float32
        torch.testing.assert_close(value.cpu().double(), exact, **TOLERANCE)


@pytest.mark.parametrize('name', LOSSES)
def test_losses_equal_the_naive_loops_in_float64(name, device):
    check_loss(name, device)


@pytest.mark.parametrize('name', ['info_nce', 'info_nce of projectors'])
def test_a_queue_in_several_blocks(name, device, monkeypatch):
    for constant in ('_BLOCK', '_BLOCK_DEVICE'):
        monkeypatch.setattr(_fused, constant, 20)
    check_loss(name, device)


@pytest.mark.parametrize('shape', [(64, 24), (24, 64)])
def test_gram_matrices_of_the_monitor(shape, device):
    x = randn(*shape) * torch.logspace(0, -2, shape[1], dtype=torch.float64)
    rank, spectrum = LF.rank_me_and_spectrum(x.float().to(device))
    assert rank.device.type == device
    torch.testing.assert_close(rank.cpu().double(), LF.rank_me(x), rtol=1e-4, atol=0)
    torch.testing.assert_close(spectrum.cpu().double(), LF.covariance_spectrum(x), rtol=1e-3, atol=1e-4)


def test_measures(device):
    x, y = randn(20, 8), randn(20, 8, seed=1)
    for function, inputs in ((LF.alignment, (x, y)), (LF.uniformity, (x,)), (LF.hsic, (torch.stack([x, y]),))):
        actual = function(*(value.float().to(device) for value in inputs))
        torch.testing.assert_close(actual.cpu().double(), function(*inputs), **TOLERANCE)


def test_kmeans_is_that_of_the_cpu(device):
    center = F.normalize(randn(6, 16), dim=1)
    rows = center[torch.arange(120) % 6] + 0.2 * randn(120, 16, seed=1)
    results = {}
    for where, dtype in (('cpu', torch.float64), (device, torch.float32)):
        x = rows.to(where, dtype)
        start = draw_rows(x, torch.arange(120, device=where), 6, seed=2)
        results[dtype] = spherical_kmeans(x, start, iterations=10, seed=3)
    exact, actual = results.values()
    assert actual.centroids.device.type == device
    assert actual.sizes.tolist() == exact.sizes.tolist() and sum(exact.sizes.tolist()) == 120
    assert actual.iterations == exact.iterations > 0
    assert actual.inertia == pytest.approx(exact.inertia, rel=1e-4)
    torch.testing.assert_close(actual.centroids.cpu().double(), exact.centroids, **TOLERANCE)


def crops(count: int = 6) -> dict:
    """Return a batch of crops that the device has to finish, with all operations."""
    scheme = dict(size=32, jitter=0.8, gray=0.3, blur=0.6, solarize=0.4)
    transform = MakeViews([scheme, dict(scheme, size=24)], num_views=2, on_device=True)
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    samples = []
    for seed in range(count):
        random.seed(seed)
        samples.append(PackInputs()(transform(dict(img=image))))
    return dict(inputs=default_collate(samples)['inputs'], data_samples=[])


def test_views_finished_on_the_device_are_those_of_the_cpu(device):
    data = crops()
    expected = BatchViews(mean=(0, 0, 0), std=(1, 1, 1))(data, training=True)['inputs']
    actual = BatchViews(mean=(0, 0, 0), std=(1, 1, 1)).to(device)(data, training=True)['inputs']
    assert len(actual) == len(expected) == 4
    for view, other in zip(actual, expected):
        assert view.device.type == device and view.is_contiguous(memory_format=torch.channels_last)
        difference = (view.cpu() - other).abs()
        # In levels of 255. A value at the threshold of the solarization can fall on either side of it.
        assert difference.mean() < 0.02 and (difference > 0.1).float().mean() < 1e-3


def test_views_made_on_the_device(device):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    scheme = dict(size=32, crop_scale=(0.2, 1.0), solarize=0.2)
    preprocessor = BatchViews(views=[scheme] * 2, mean=(0, 0, 0), std=(255, 255, 255)).to(device)
    first, second = preprocessor(dict(inputs=images, data_samples=[]), training=True)['inputs']
    assert first.device.type == device and first.shape == second.shape == images.shape
    assert first.isfinite().all() and first.min() >= 0 and first.max() <= 1
    assert (first - second).abs().amax((1, 2, 3)).gt(0.1).all()
