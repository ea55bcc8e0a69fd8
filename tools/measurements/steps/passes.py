"""The passes that a step cannot do without: backbone and MLP heads, on the step's shapes.

The online network goes forward and backward, the teacher forward. Everything else in a step (preprocessing, pooling,
losses, optimizer, teacher update) is beside them. All knowledge of the models' parts is in this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from .clock import Function
from .memory import saved_bytes

Head = tuple[Callable, Tensor]  # an MLP with an input of its shape


@dataclass(frozen=True)
class Heads:
    """The MLPs that one view passes through.

    Args:
        online: Those of the online network.
        teacher: Those of the teacher.
    """

    online: list[Head]
    teacher: list[Head]


def full_step(model: Any, wrapper: OptimWrapper, data: dict) -> Function:
    """Return a function that does a training step with the teacher's update."""

    def run() -> None:
        model.train_step(data, wrapper)
        if hasattr(model, 'after_optimizer_step'):
            model.after_optimizer_step(0.5)

    return run


def update_teacher(model: Any) -> None:
    """Update the teacher, if there is one."""
    if hasattr(model, 'after_optimizer_step'):
        model.after_optimizer_step(0.5)
    else:
        _teacher_of_mmpretrain(model).update_parameters(torch.nn.Sequential(model.backbone, model.neck))


def _teacher_of_mmpretrain(model: Any) -> Any:
    return model.target_net if hasattr(model, 'target_net') else model.encoder_k


def heads_of(model: Any, f: Tensor) -> Heads:
    """Return the MLPs with an input each, for a feature map f (N, D, H, W)."""
    if hasattr(model.head, 'balance'):
        return _heads_of_mpcl(model, f)
    if not hasattr(model, 'teacher'):
        return _heads_of_mmpretrain(model, f)
    if hasattr(model.head, 'predictor'):
        return _heads_of_msbreg_and_smog(model, f)
    return _heads_of_lewel(model, f)


def _randn(f: Tensor, *shape: int) -> Tensor:
    return torch.randn(*shape, device=f.device, dtype=f.dtype)


def _heads_of_mpcl(model: Any, f: Tensor) -> Heads:
    N, D, _, _ = f.shape
    neck = model.neck
    online: list[Head] = [(neck.mlps, _randn(f, N, D))]
    if hasattr(model.head, 'predictor'):
        online.append((model.head.predictor, _randn(f, neck.num_projectors, N, neck.out_channels)))
    has_teacher = hasattr(model, 'teacher')
    return Heads(online, [(model.teacher.module.neck.mlps, _randn(f, N, D))] if has_teacher else [])


def _heads_of_msbreg_and_smog(model: Any, f: Tensor) -> Heads:
    N, D, _, _ = f.shape
    pooled, z = _randn(f, N, D), _randn(f, N, model.neck.out_channels)
    return Heads([(model.neck.g, pooled), (model.head.predictor, z)], [(model.teacher.module.neck.g, pooled)])


def _heads_of_lewel(model: Any, f: Tensor) -> Heads:
    N, D, H, W = f.shape
    neck, teacher = model.neck, model.teacher.module.neck
    K, d, c = neck.num_aligned, neck.out_channels, neck.aligned_channels
    positions, aligned = _randn(f, N, 1 + H * W, D), _randn(f, N, K, D)
    online: list[Head] = [(neck.g, positions), (neck.p, aligned)]
    if hasattr(model.head, 'q'):
        online += [(model.head.q, _randn(f, N, d)), (model.head.s, _randn(f, N, K, c))]
    return Heads(online, [(teacher.g, positions), (teacher.p, aligned)])


def _heads_of_mmpretrain(model: Any, f: Tensor) -> Heads:
    N, D, _, _ = f.shape
    features = _randn(f, N, D, 1, 1)
    online: list[Head] = [(_on_tuples(model.neck), features)]
    if hasattr(model, 'target_net'):
        online.append((_on_tuples(model.head.predictor), _randn(f, N, 256)))
    return Heads(online, [(_on_tuples(_teacher_of_mmpretrain(model).module[1]), features)])


def _on_tuples(neck: Callable) -> Callable:
    """Return a neck of mmpretrain, which maps tuples, as a function of a tensor."""
    return lambda y: neck((y,))[0]


def teacher_backbone(model: Any) -> Callable:
    """Return the teacher's backbone; without a teacher, a function that does nothing."""
    if hasattr(model, 'teacher'):
        return model.teacher.module.backbone
    if hasattr(model.head, 'balance'):  # MPCL on Barlow Twins
        return lambda x: None
    return _teacher_of_mmpretrain(model).module[0]


def num_online_views(model: Any, data: dict) -> int:
    """Return how many views pass through the online network: one in MoCo (the query) and in SMoG, else all."""
    return 1 if hasattr(model, 'queue') or hasattr(model.head, 'groups') else len(data['inputs'])


def online_pass(model: Any, x: Tensor, heads: list[Head]) -> list[Tensor]:
    """Pass a view through the backbone, and each head's input through the head."""
    return [model.backbone(x)[-1], *(head(y.detach().requires_grad_()) for head, y in heads)]


def precision(x: Tensor, bf16: bool) -> torch.autocast:
    """Return a context of the recipes' mixed precision, or of float32."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=bf16)


def necessary_passes(model: Any, data: dict, bf16: bool = False) -> Function:
    """Return a function that does the passes of one step through backbone and MLPs."""
    x = model.data_preprocessor(data, True)['inputs']
    with torch.no_grad(), precision(x[0], bf16):
        f = model.backbone(x[0])[-1]
    heads, through_teacher = heads_of(model, f), teacher_backbone(model)
    views = range(num_online_views(model, data))
    online = [p for p in model.parameters() if p.requires_grad]
    grad = torch.randn_like(f)

    def run() -> None:
        for i in views:
            with precision(x[i], bf16):
                features, *outputs = online_pass(model, x[i], heads.online)
            features.backward(grad)
            for output in outputs:
                output.backward(torch.ones_like(output))
        with torch.no_grad(), precision(x[0], bf16):
            for i in views:
                through_teacher(x[i - 1])
                for head, y in heads.teacher:
                    head(y)
        for p in online:
            p.grad = None

    return run


def memory(model: Any, data: dict, bf16: bool = False) -> tuple[int, int]:
    """Return the bytes that autograd keeps for the backward pass of a step, and of its necessary passes."""
    x = model.data_preprocessor(data, True)['inputs']
    views, parameters = range(num_online_views(model, data)), list(model.parameters())
    with precision(x[0], bf16):
        heads = heads_of(model, model.backbone(x[0])[-1].detach()).online
        step = saved_bytes(lambda: model(x, data['data_samples'], mode='loss'), parameters)
        passes = saved_bytes(lambda: [online_pass(model, x[i], heads) for i in views], parameters)
    return step, passes
