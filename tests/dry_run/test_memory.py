"""The peak of a dry run is that of a real run: the same tracker, on the CPU, with torch's engine and real tensors."""

from contextlib import nullcontext

import pytest
import torch
from helpers import tiny
from mmengine.registry import MODELS
from torch._subclasses import FakeTensorMode

import lewel_plugins.models  # noqa: F401
from lewel_plugins.dry_run.engine import GraphRoot
from lewel_plugins.dry_run.fake_gpu import move_to_gpu
from lewel_plugins.dry_run.memory import LiveMemory

MIB = 2**20
WIDTHS = dict(in_channels=128, hid_channels=512, out_channels=128)
CASES = {  # algorithm → neck, settings, number of views
    'LEWELB': (dict(type='LEWELNeck', num_groups=4), dict(hid_channels=512), 2),
    'SMoG': (dict(type='ProjectionNeck', out_norm=True), dict(hid_channels=512, num_groups=3000), 2),
    'MPCLMoCo': (dict(type='MultiProjectorNeck'), dict(queue_len=16384), 2),
    'MPCLBarlowTwins': (dict(type='MultiProjectorNeck'), {}, 2),
    'MSBReg': (dict(type='ProjectionNeck'), dict(hid_channels=512), 4),
}


def build(algorithm: str):
    neck, settings, views = CASES[algorithm]
    config = dict(
        type=f'lewel_plugins.{algorithm}',
        backbone=dict(type='lewel_plugins.ResNet10'),
        neck={**WIDTHS, **neck, 'type': f'lewel_plugins.{neck["type"]}'},
        data_preprocessor=dict(type='lewel_plugins.BatchViews'),
        **tiny.arguments(algorithm, **settings),
    )
    return MODELS.build(config), views


def peak(algorithm: str, fake: bool, batch: int, size: int) -> float:
    """Return the peak of the second step in MiB."""
    model, views = build(algorithm)
    memory = LiveMemory('cpu')
    with FakeTensorMode() if fake else nullcontext(), memory:
        if fake:
            move_to_gpu(model, torch.device('cpu'))
            if algorithm == 'SMoG':
                model.head.groups._steps = 0  # a value that fake tensors do not have
        model.train()
        for tensor in [*model.parameters(), *model.buffers()]:
            memory.track(tensor)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, 0.1, momentum=0.9, foreach=True)
        for _ in range(2):
            memory.reset_peak()
            images = [torch.zeros(batch, 3, size, size, dtype=torch.uint8) for _ in range(views)]
            losses = model(**model.data_preprocessor(dict(inputs=images), True), mode='loss')
            loss = model.parse_losses(losses)[0]
            if fake:
                root, loss = GraphRoot.cut(loss)
                del losses
                root.backward()
            else:
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses = loss = images = None
    return memory.peak / MIB


@pytest.mark.sampled(3)
@pytest.mark.parametrize('algorithm', CASES)
@pytest.mark.parametrize(('batch', 'size'), [(16, 32), (128, 16)])
def test_peak_is_that_of_a_real_run(algorithm, batch, size):
    real = peak(algorithm, fake=False, batch=batch, size=size)
    assert real > 10
    assert peak(algorithm, fake=True, batch=batch, size=size) == pytest.approx(real, abs=0.01, rel=0)


def test_storages_count_once_until_they_are_freed():
    memory = LiveMemory('cpu')
    with memory:
        x = torch.zeros(1000)  # 4,000 bytes: 8 blocks of 512
        view = x.view(10, 100)[3:]
        assert memory.live == 4096
        y = x + 1
        del x
        assert memory.live == memory.peak == 2 * 4096
        del view
        assert memory.live == 4096 and memory.peak == 2 * 4096
        memory.reset_peak()
        assert memory.peak == 4096
        del y
    assert memory.live == 0


class Saves(torch.autograd.Function):
    """x → 2x; keeps x, and needs the memory of ``temporary`` tensors like it to go back."""

    @staticmethod
    def forward(ctx, x, temporary):
        ctx.save_for_backward(x)
        ctx.temporary = temporary
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return sum([grad * i for i in range(ctx.temporary)], grad + x), None


def test_custom_functions_release_what_they_save_as_soon_as_they_have_run():
    peaks = []
    for is_ours in (False, True):
        memory = LiveMemory('cpu')
        with memory:
            x = torch.ones(1000, requires_grad=True)
            y = Saves.apply(x, 6)
            for _ in range(3):
                y = Saves.apply(y, 0)
            loss = y.sum()
            del y
            memory.reset_peak()
            if is_ours:
                root, loss = GraphRoot.cut(loss)
                root.backward()
            else:
                loss.backward()
        peaks.append(memory.peak)
    assert peaks[0] == peaks[1] + 512  # the caller of torch's engine keeps the gradient of the loss
