"""A training whose DDP is made anew in the middle, as by a resume, ends with the same bits on four ranks."""

import pytest
import torch
from helpers.ranks import on_ranks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lewel_plugins.running.gradient_buckets import fix_buckets

pytestmark = pytest.mark.core
RANKS, STEPS = 4, 4


class Net(nn.Module):
    """Layers that are used in another order than they are registered in, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.b = nn.Linear(50, 10), nn.Linear(64, 300), nn.Linear(300, 50)
        self.frozen = nn.Linear(10, 10).requires_grad_(False)

    def forward(self, x):
        return self.frozen(self.c(self.b(self.a(x).relu()).relu()))


def wrap(net: nn.Module, fix: bool) -> DistributedDataParallel:
    model = DistributedDataParallel(net, bucket_cap_mb=0.05)
    if fix:
        fix_buckets(model)
        assert all(parameter.grad is None for parameter in net.parameters())
    return model


def train(rank: int, resume_at: int, fix: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = Net()
    model = wrap(net, fix)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for step in range(STEPS):
        if step == resume_at:
            model = wrap(net, fix)
        x = torch.randn(8, 64, generator=torch.Generator().manual_seed(RANKS * step + rank))
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
    return net.state_dict()


@pytest.mark.parametrize('fix', [True, False])
def test_a_new_ddp_sums_in_the_same_order(tmp_path, fix):
    straight = on_ranks(RANKS, tmp_path, train, -1, fix)[0]
    resumed = on_ranks(RANKS, tmp_path, train, 2, fix)[0]
    equal = all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert equal == fix  # without the fix, the bits differ
    for name in straight:
        torch.testing.assert_close(straight[name], resumed[name], rtol=1e-4, atol=1e-6)


def test_other_models_stay_as_they_are():
    net = Net()
    fix_buckets(net)
    assert all(parameter.grad is None for parameter in net.parameters())
