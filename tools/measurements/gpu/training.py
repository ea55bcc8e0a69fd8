"""Steps of the methods: time over the necessary passes, other libraries, switches, precision.

All are in the recipes' mixed precision. On a GPU, a time is that of several steps between two synchronizations, so that
the host prepares a step while another one runs, as in a training.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins.seeding import seed_shared_generator

from ..steps import over_passes, peers, switches
from ..steps.options import Setting
from ..steps.recipes import build, load_recipe, recipe_batch
from .devices import use


def _setting(method: str, depth: int, size: int, batch: int | None) -> Setting:
    return Setting(depth, size, batch or recipe_batch(method))


def step(
    device: str, method: str, depth: int, size: int, batch: int | None, repeats: int, calls: int
) -> dict[str, Any]:
    """Return the time of a step and that of its necessary passes; ``batch`` None is that of the recipe."""
    use(device)
    setting = _setting(method, depth, size, batch)
    row = over_passes.measure(method, setting, repeats, device, bf16=True, calls=calls)
    return dict(batch=setting.batch, images_per_second=setting.batch / row['step'], **row)


def peer(
    device: str, method: str, depth: int, size: int, batch: int | None, repeats: int, calls: int
) -> dict[str, Any]:
    """Return the time of a step, and those of the same method in other libraries."""
    use(device)
    path, overrides = peers.OURS[method]
    setting = Setting(depth, size, batch or load_recipe(path, depth, overrides).train_dataloader.batch_size)
    rows = peers.measure(method, setting, repeats, device, bf16=True, calls=calls)
    return dict(batch=setting.batch, peers=rows)


def switch(
    device: str, name: str, method: str, depth: int, size: int, batch: int | None, repeats: int, calls: int
) -> dict[str, Any]:
    """Return the time of a step with a switch of ``step.py switches`` and without it."""
    use(device)
    if device == 'cpu':
        switches.COMPILER = 'eager'  # only the graphs: the compiler takes minutes on a CPU
    setting = _setting(method, depth, size, batch)
    return dict(batch=setting.batch, **switches.measure(method, setting, name, repeats, device, bf16=True, calls=calls))


def precision(
    device: str, method: str, depth: int, size: int, batch: int | None, largest_batch: int = 128
) -> dict[str, Any]:
    """Return the losses of a step in float32 and in mixed precision, and how their gradients differ."""
    use(device)
    torch.backends.cudnn.allow_tf32 = False
    setting = _setting(method, depth, size, batch)
    setting = setting._replace(batch=min(setting.batch, largest_batch))  # float32 needs twice the memory
    torch.manual_seed(0)
    model, _ = build(method, depth, device)
    count = int(method.partition('K = ')[2] or 2)
    views = related_views(setting.batch, size, count)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    losses, gradients = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        model.load_state_dict(state)
        torch.manual_seed(0)
        seed_shared_generator(0)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            data = model.data_preprocessor(dict(inputs=views, data_samples=[]), True)
            loss, _ = model.parse_losses(model(**data, mode='loss'))
        model.zero_grad()
        loss.backward()
        losses[dtype] = loss.item()
        gradients[dtype] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    exact, rounded = gradients.values()
    return dict(
        batch=setting.batch,
        loss_float32=losses[torch.float32],
        loss_bf16=losses[torch.bfloat16],
        cosine=F.cosine_similarity(exact, rounded, dim=0).item(),
        norm_ratio=(rounded.norm() / exact.norm()).item(),
    )


def related_views(batch: int, size: int, count: int) -> list[Tensor]:
    """Return views of smooth noise that have most of it in common, (batch, 3, size, size) uint8 each."""
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        x = torch.rand(batch, 3, 8, 8, generator=generator)
        return F.interpolate(x, size=(size, size), mode='bilinear')

    image = noise()
    return [(255 * (0.8 * image + 0.2 * noise())).to(torch.uint8) for _ in range(count)]
