"""What a training of several ranks needs of NCCL and DDP, in a group of one: gradients, gloo beside NCCL, objects."""

import copy

import torch
from mmengine.model import MMDistributedDataParallel
from torch import distributed, nn

from lewel_plugins.dist import unwrap_model
from lewel_plugins.running.gradient_buckets import fix_buckets


class Net(nn.Module):
    """Layers that are used in another order than they are registered in, a frozen one, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.b = nn.Linear(50, 10), nn.Linear(64, 300), nn.Linear(300, 50)
        self.frozen, self.bn = nn.Linear(10, 10).requires_grad_(False), nn.BatchNorm1d(50)

    def forward(self, x):
        return self.frozen(self.c(self.bn(self.b(self.a(x).relu())).relu()))


def train(model: nn.Module, device: str) -> dict[str, torch.Tensor]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(2):
        x = torch.randn(8, 64, generator=torch.Generator().manual_seed(step)).to(device)
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
    return unwrap_model(model).state_dict()


def test_ddp_with_fixed_buckets_trains_like_the_model_alone(device, process_group):
    torch.manual_seed(0)
    net = Net().to(device)
    expected = train(copy.deepcopy(net), device)
    before = copy.deepcopy(net.state_dict())
    devices = [0] if device == 'cuda' else None
    # Small buckets, of which there are several then.
    model = MMDistributedDataParallel(net, device_ids=devices, broadcast_buffers=False, bucket_cap_mb=0.05)
    fix_buckets(model)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in net.parameters())
    actual = train(model, device)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, msg=lambda text, name=name: f'{name}: {text}')
    assert not torch.equal(actual['a.weight'], before['a.weight'])


def test_gloo_beside_the_group_of_the_device(device, process_group):
    group = distributed.new_group(backend='gloo')  # as PreemptionHook makes one
    number = torch.tensor(3)
    work = distributed.all_reduce(number, distributed.ReduceOp.MAX, group, async_op=True)
    on_device = torch.ones(4, device=device)
    distributed.all_reduce(on_device)
    work.wait()
    assert number.item() == 3 and on_device.tolist() == [1] * 4


def test_objects_are_gathered(device, process_group):
    objects: list = [None]
    distributed.all_gather_object(objects, dict(rank=0, paths=['a', 'ö']))
    assert objects == [dict(rank=0, paths=['a', 'ö'])]
