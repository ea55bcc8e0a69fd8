"""The methods on a backbone of one convolution, small enough for the naive loops of ``references.py``."""

from __future__ import annotations

from inspect import signature

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from helpers import references as naive
from lewel_plugins import models
from lewel_plugins.models import LEWELB, LEWELM, MLP, BYOLMultiCrop, LEWELNeck, MSBReg, ProjectionNeck, SMoG
from lewel_plugins.models.projector_balance import ProjectorBalance

WIDTH, HIDDEN, EMBEDDING = 8, 12, 8
HEADS = dict(
    LEWELB='LEWELPredictHead',
    LEWELM='LEWELContrastHead',
    MSBReg='MSBRegHead',
    BYOLMultiCrop='BYOLMultiCropHead',
    SMoG='SMoGHead',
    MPCLMoCo='MPCLContrastHead',
    MPCLMoCoV3='MPCLPredictHead',
    MPCLBarlowTwins='MPCLBarlowTwinsHead',
)


def arguments(algorithm: str, **settings: object) -> dict:
    """Return arguments of an algorithm, with those of its head and of the head's balance in ``head=dict(…)``."""
    accepted = signature(getattr(models, HEADS[algorithm])).parameters
    head = {name: settings.pop(name) for name in list(settings) if name in accepted}
    balance = {name: settings.pop(name) for name in list(settings) if name in signature(ProjectorBalance).parameters}
    if balance:
        head['balance'] = balance
    return dict(head=dict(type=f'lewel_plugins.{HEADS[algorithm]}', **head), **settings)


@MODELS.register_module(force=True)
class TinyBackbone(nn.Module):
    """Convolution, norm, ReLU: (N, 3, 6, 6) → ((N, 8, 3, 3),). ``batch_free`` uses a group norm instead of BN."""

    def __init__(self, batch_free: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1, bias=False)
        self.norm = nn.GroupNorm(2, WIDTH) if batch_free else nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.norm(self.conv(x)).relu(),)


def backbone_config(batch_free: bool = False) -> dict:
    return dict(type='mmengine.TinyBackbone', batch_free=batch_free)


def neck_config(**changes: object) -> dict:
    sizes = dict(in_channels=WIDTH, hid_channels=HIDDEN, out_channels=EMBEDDING, num_groups=4)
    return dict(type='lewel_plugins.LEWELNeck', **{**sizes, **changes})


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Set all parameters and running statistics to values that differ from one another and from initial ones."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
            if 'running_var' in name:
                noise = noise.abs() + 0.5
            elif name.endswith('weight') and tensor.dim() == 1:
                noise = noise * 0.3 + 1
            elif name.endswith('bias'):
                noise = noise + 0.5  # keeps a hidden layer of few units from being zero for some input
            tensor.copy_(noise)
    return model


def neck(seed: int = 0, **changes: object) -> LEWELNeck:
    config = neck_config(**changes)
    del config['type']
    return randomize(LEWELNeck(**config).double(), seed)


def lewel_b(seed: int = 0, batch_free: bool = False, neck_changes: dict | None = None, **changes: object) -> LEWELB:
    """Build LEWEL_B in float64, with a teacher unlike the online network."""
    settings = arguments('LEWELB', **{**dict(hid_channels=HIDDEN), **changes})
    model = LEWELB(backbone_config(batch_free), neck_config(**(neck_changes or {})), **settings)
    return randomize(model.double(), seed)


def lewel_m(seed: int = 0, batch_free: bool = False, neck_changes: dict | None = None, **changes: object) -> LEWELM:
    """Build LEWEL_M in float64, with a teacher unlike the online network and a queue of 12 unit keys."""
    settings = arguments('LEWELM', **{**dict(queue_len=12), **changes})
    model = LEWELM(backbone_config(batch_free), neck_config(**(neck_changes or {})), **settings)
    model = randomize(model.double(), seed)
    model.queue.keys.copy_(nn.functional.normalize(model.queue.keys, dim=0))
    return model


def projection_config(**changes: object) -> dict:
    sizes = dict(in_channels=WIDTH, hid_channels=HIDDEN, out_channels=EMBEDDING)
    return dict(type='lewel_plugins.ProjectionNeck', **{**sizes, **changes})


def msbreg(seed: int = 0, batch_free: bool = False, neck_changes: dict | None = None, **changes: object) -> MSBReg:
    """Build MSBReg in float64, with a teacher unlike the online network."""
    settings = arguments('MSBReg', **{**dict(hid_channels=HIDDEN), **changes})
    model = MSBReg(backbone_config(batch_free), projection_config(**(neck_changes or {})), **settings)
    return randomize(model.double(), seed)


def byol_multi_crop(seed: int = 0, batch_free: bool = False, **changes: object) -> BYOLMultiCrop:
    """Build BYOL with multi-crop in float64, with a teacher unlike the online network."""
    settings = arguments('BYOLMultiCrop', hid_channels=HIDDEN, **changes)
    return randomize(BYOLMultiCrop(backbone_config(batch_free), projection_config(), **settings).double(), seed)


def smog_neck_config(**changes: object) -> dict:
    return projection_config(**{**dict(out_norm=True), **changes})


def smog(seed: int = 0, neck_changes: dict | None = None, **changes: object) -> SMoG:
    """Build SMoG in float64, with a teacher unlike the online network and 5 groups; β is 0.7 by default."""
    settings = {**dict(hid_channels=HIDDEN, num_groups=5, beta=0.7, cache_dtype='float32'), **changes}
    model = SMoG(backbone_config(), smog_neck_config(**(neck_changes or {})), **arguments('SMoG', **settings))
    model = randomize(model.double(), seed)
    groups = model.head.groups
    groups.rows.copy_(nn.functional.normalize(groups.rows, dim=1))
    groups.beta.fill_(groups.start_beta)
    return model


def shrink(model: nn.Module, factor: float = 0.3) -> None:
    """Bring predictions to about unit variance, because the singular value loss grows with their fourth power."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= factor


def images(num: int = 4, views: int = 2, seed: int = 0, size: int = 6) -> list[Tensor]:
    """Return ``views`` tensors (num, 3, size, size) in float64."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(num, 3, size, size, generator=generator, dtype=torch.float64) for _ in range(views)]


# Naive networks with the weights of a model. SPEC: parameters in the order g, then p.


def neck_parameters(module: LEWELNeck) -> tuple[list[Tensor], list[Tensor], list[Tensor] | None]:
    """Return the parameters of g, of p, and of the separate g of the maps if there is one."""
    parameters = list(module.parameters())
    assert len(parameters) in (8, 12)
    return parameters[:4], parameters[4:8], parameters[8:] or None


def neck_statistics(module: LEWELNeck) -> list[tuple[Tensor, Tensor]]:
    """Return the running (mean, variance) in the same order."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d)]
    return [(m.running_mean, m.running_var) for m in norms]


def naive_neck(module: LEWELNeck, feature: Tensor, maps: Tensor | None = None) -> tuple[Tensor, Tensor]:
    g, p, map_g = neck_parameters(module)
    statistics = None if module.training else neck_statistics(module)
    return naive.lewel_neck(feature, g, p, module.num_groups, map_g, maps, statistics, module.scale)


def naive_loss(model: LEWELB | LEWELM, views: list[Tensor], maps: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return (L_g, L_a) of one step by Eqs. 4 and 5, both in the loops of ``references.py``."""
    if isinstance(model, LEWELM):
        query, query_aligned = naive_neck(model.neck, model.backbone(views[0])[0], maps)
        with torch.no_grad():
            teacher = model.teacher.module
            key, key_aligned = naive_neck(teacher.neck, teacher.backbone(views[1])[0], maps)
        temperature = model.head.temperature
        global_loss = naive.info_nce(query, key, model.queue.keys, temperature)
        return global_loss, naive.aligned_info_nce(query_aligned, key_aligned, temperature)
    q, s = list(model.head.q.parameters()), list(model.head.s.parameters())
    online = [naive_neck(model.neck, model.backbone(x)[0], maps) for x in views]
    with torch.no_grad():
        teacher = model.teacher.module
        targets = [naive_neck(teacher.neck, teacher.backbone(x)[0], maps) for x in views]
    q_statistics, s_statistics = (
        None if norm.training else (norm.running_mean, norm.running_var) for norm in (model.head.q[1], model.head.s[1])
    )
    global_loss, aligned_loss = views[0].new_zeros(()), views[0].new_zeros(())
    for here, there in ((0, 1), (1, 0)):
        global_loss = global_loss + naive.cosine_mse(naive.mlp(online[here][0], q, q_statistics), targets[there][0])
        rows, target_rows = (
            torch.stack([embedding for image in side for embedding in image])
            for side in (online[here][1], targets[there][1])
        )
        aligned_loss = aligned_loss + naive.cosine_mse(naive.mlp(rows, s, s_statistics), target_rows)
    return global_loss, aligned_loss


def step_differences(model: LEWELB | LEWELM, views: list[Tensor]) -> dict[str, float]:
    """Return how a step differs from the naive step: in both losses, and in the gradient of their sum."""
    maps = None
    if model.neck.alignment == 'uniform':
        maps = views[0].new_full((len(views[0]), model.neck.out_channels, 9), 1 / 9)
    naive_global, naive_aligned = naive_loss(model, views, maps)
    expected = [(1 - model.head.beta) * naive_global, model.head.beta * naive_aligned]
    theirs = gradients(expected[0] + expected[1], model)
    losses = model.loss(views)
    ours = gradients(losses['loss_global'] + losses['loss_aligned'], model)
    return dict(
        loss=naive.largest_difference([losses['loss_global'], losses['loss_aligned']], expected),
        gradient=naive.largest_difference(ours, theirs),
    )


def naive_smog_head(head: MLP, rows: Tensor, activation: str) -> Tensor:
    """Apply an MLP in loops, with a BN on the output if it has one."""
    parameters = list(head.parameters())
    function = dict(relu=lambda row: row.clamp(min=0), gelu=naive.gelu)[activation]
    statistics = None if head.training else (head[1].running_mean, head[1].running_var)
    if len(parameters) == 4:
        return naive.mlp(rows, parameters, statistics, activation=function)
    first, weight, bias, second, out_weight, out_bias = parameters
    out = naive.mlp(rows, [first, weight, bias, second], statistics, activation=function)
    if head.training:
        return naive.batch_norm(out, out_weight, out_bias)[0]
    return (out - head[4].running_mean) / torch.sqrt(head[4].running_var + naive.BN_EPS) * out_weight + out_bias


def naive_smog_loss(model: SMoG, views: list[Tensor], odd: bool, beta: float | list[float]) -> tuple[Tensor, Tensor]:
    """Return loss and updated groups of one step, by Eqs. 3 and 4 in the loops of ``references.py``."""

    def embed(backbone: nn.Module, neck: ProjectionNeck, x: Tensor) -> Tensor:
        pooled = torch.stack([naive.pooled(feature) for feature in backbone(x)[0]])
        return naive_smog_head(neck.g, pooled, neck.activation)

    x_a, x_b = (views[1], views[0]) if odd else (views[0], views[1])
    teacher = model.teacher.module
    with torch.no_grad():
        z_b = embed(teacher.backbone, teacher.neck, x_b)
    z_a = embed(model.backbone, model.neck, x_a)
    c_a, c_b = (naive.assign_groups(z, model.head.groups.rows) for z in (z_a, z_b))
    groups = naive.update_groups(model.head.groups.rows, z_a, c_a, beta)
    online = [z_a]
    if len(views) > 2:  # BN has its statistics over all small views together
        together = embed(model.backbone, model.neck, torch.cat(views[2:]))
        online.append(together)
    losses = []
    for z in online:
        p = naive_smog_head(model.head.predictor, z, model.neck.activation)
        for part in p.split(len(x_a)):
            losses.append(naive.group_contrast(part, groups, c_b, model.head.temperature))
    return sum(losses, z_a.new_zeros(())) / len(losses), groups


def gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    """Return the gradient in every trainable parameter; zeros for those that the loss does not reach."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads)]


def naive_head(module: MLP, rows: Tensor) -> Tensor:
    """Apply an MLP in loops: one in training mode, or one without BN."""
    norm = 'LN' if isinstance(module[1], nn.LayerNorm) else 'BN'
    return naive.mlp(rows, list(module.parameters()), None, norm, type(module[0]) is not nn.Linear)


def naive_embeddings(model: MSBReg | BYOLMultiCrop, views: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return predictions p and targets z of all views, both (K, N, d)."""

    def project(network: nn.Module, x: Tensor) -> Tensor:
        rows = torch.stack([naive.pooled(feature) for feature in network.backbone(x)[0]])
        return naive_head(network.neck.g, rows)

    p = torch.stack([naive_head(model.head.predictor, project(model, x)) for x in views])
    with torch.no_grad():
        z = torch.stack([project(model.teacher.module, x) for x in views])
    return p, z
