"""A model whose loss has a mistake that shows on a GPU only, on a line that ends with ``# BUG: name``."""

from pathlib import Path

import torch
import torch.distributed as torch_dist
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from lewel_plugins import dist

# By the name of the mistake: how the error begins, or the kind of wait.
ERRORS = dict(
    cpu_tensor='mul of tensors on cuda:0 and cpu',
    cpu_target='nll_loss_forward of tensors on cuda:0 and cpu',
    cpu_gradient='mul of tensors on cuda:0 and cpu',
    generator='randn on CUDA with a generator of CPU',
    dtypes='mm of float16, float32: CUDA has no kernel for a mix',
    index_dtypes='index_copy_ of float32, bfloat16: CUDA has no kernel for a mix',
    half_svd='_linalg_svd of torch.float16',
    strides='all_reduce of a tensor that is not contiguous',
    cpu_collective='all_reduce of a tensor on the CPU',
    gather_sizes='all_gather_into_tensor of 2 × (8, 8) into (3, 8)',
)
WAITS = dict(
    item='read by the host',
    branch='read by the host',
    cpu='read by the host',
    mask='mask',
    nonzero='size of nonzero',
    upload='copy from the host',
    cpu_indices='indices from the host',
)


class CPUGradient(torch.autograd.Function):
    """The identity, with a gradient that a constant on the CPU scales."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * torch.ones(grad.shape[1])  # BUG: cpu_gradient


@MODELS.register_module(force=True)
class BuggyModel(BaseModel):
    """One convolution and a loss."""

    def __init__(self, bug: str = 'none', data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.bug = bug
        self.conv, self.out = nn.Conv2d(3, 16, 3, stride=2), nn.Linear(16, 8)
        if bug == 'unused':
            self.extra = nn.Linear(8, 8)

    def forward(self, inputs: list[Tensor], data_samples: list | None = None, mode: str = 'loss') -> dict:
        z = self.out(self.conv(inputs[0]).relu().mean((2, 3)))  # (N, 8)
        return dict(loss=getattr(self, f'loss_{self.bug}')(z.float()))

    def loss_none(self, z: Tensor) -> Tensor:
        # Legal and without a wait: numbers, allocations and constants on the device, numbers of the host.
        order = torch.randperm(4).tolist()  # the host computes on its own
        z = torch.where(z > 0, z, z.new_zeros(()))
        z = dist.all_gather(z) * torch.arange(8, device=z.device) * torch.tensor(2.0)
        return z.square().mean() * order.index(max(order))

    loss_unused = loss_none

    def loss_cpu_tensor(self, z: Tensor) -> Tensor:
        return (z * torch.ones(8)).mean()  # BUG: cpu_tensor

    def loss_cpu_target(self, z: Tensor) -> Tensor:
        return nn.functional.cross_entropy(z, torch.zeros(len(z), dtype=torch.long))  # BUG: cpu_target

    def loss_cpu_gradient(self, z: Tensor) -> Tensor:
        return CPUGradient.apply(z).square().mean()

    def loss_generator(self, z: Tensor) -> Tensor:
        noise = torch.randn(z.shape, device=z.device, generator=torch.Generator())  # BUG: generator
        return (z * noise).mean()

    def loss_dtypes(self, z: Tensor) -> Tensor:
        with torch.autocast('cuda', enabled=False):
            return (z.half() @ z.t()).mean()  # BUG: dtypes

    def loss_index_dtypes(self, z: Tensor) -> Tensor:
        rows = z.detach().clone()
        rows.index_copy_(0, torch.arange(2, device=z.device), z[:2].bfloat16())  # BUG: index_dtypes
        return (z - rows).mean()

    def loss_half_svd(self, z: Tensor) -> Tensor:
        return torch.linalg.svdvals(z.half()).sum()  # BUG: half_svd

    def loss_strides(self, z: Tensor) -> Tensor:
        total = z.detach().t()
        torch_dist.all_reduce(total)  # BUG: strides
        return (z * total.t()).mean()

    def loss_cpu_collective(self, z: Tensor) -> Tensor:
        torch_dist.all_reduce(torch.ones(1))  # BUG: cpu_collective
        return z.mean()

    def loss_gather_sizes(self, z: Tensor) -> Tensor:
        torch_dist.all_gather_into_tensor(z.new_empty(3, 8), z.detach())  # BUG: gather_sizes
        return z.mean()

    def loss_item(self, z: Tensor) -> Tensor:
        return z.mean() / (1 + z.detach().norm().item())  # BUG: item

    def loss_branch(self, z: Tensor) -> Tensor:
        if (z.detach() > 1e9).any():  # BUG: branch
            return z.sum()
        return z.mean()

    def loss_mask(self, z: Tensor) -> Tensor:
        return z[z > 0].mean()  # BUG: mask

    def loss_nonzero(self, z: Tensor) -> Tensor:
        return z.flatten()[(z > 0).flatten().nonzero()[:, 0]].mean()  # BUG: nonzero

    def loss_cpu(self, z: Tensor) -> Tensor:
        return z.mean() + z.detach().cpu().numpy().mean()  # BUG: cpu

    def loss_upload(self, z: Tensor) -> Tensor:
        return (z * torch.tensor([0.5], device=z.device)).mean()  # BUG: upload

    def loss_cpu_indices(self, z: Tensor) -> Tensor:
        return z[torch.arange(2)].mean()  # BUG: cpu_indices

    def loss_low_precision(self, z: Tensor) -> Tensor:
        return z.bfloat16().mean()


def line_of(bug: str) -> str:
    """Return ``file:line`` of a mistake, as a dry run names it."""
    lines = Path(__file__).read_text(encoding='utf-8').split('\n')
    (number,) = (i for i, line in enumerate(lines, 1) if line.endswith(f'# BUG: {bug}'))
    return f'tests/helpers/buggy_model.py:{number}'


def config(bug: str = 'none', batch: int = 8, amp: bool = True) -> dict:
    """Return the settings of a config that trains the model on two views of 32 pixels."""
    wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False)) if amp else {}
    return dict(
        default_scope='mmpretrain',
        model=dict(
            type='mmengine.BuggyModel',
            bug=bug,
            data_preprocessor=dict(type='lewel_plugins.BatchViews', views=[dict(size=32)] * 2),
        ),
        train_dataloader=dict(
            batch_size=batch,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='CustomDataset', pipeline=[dict(type='lewel_plugins.LoadRGB'), dict(type='PackInputs')]),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), **wrapper),
    )
