"""MPCL on the backbone of ``tiny.py``, and its step in naive loops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import references as naive
from helpers import references_mpcl as naive_mpcl
from helpers import tiny
from lewel_plugins.models import MPCLBarlowTwins, MPCLMoCo, MPCLMoCoV3, MultiProjectorNeck
from lewel_plugins.models.necks.parallel_mlps import MLPSettings, ParallelMLPs

METHODS = ('mpcl_moco', 'mpcl_moco_v3', 'mpcl_barlow_twins')
CLASSES = dict(mpcl_moco=MPCLMoCo, mpcl_moco_v3=MPCLMoCoV3, mpcl_barlow_twins=MPCLBarlowTwins)
TYPES = {method: f'lewel_plugins.{cls.__name__}' for method, cls in CLASSES.items()}
MPCL = MPCLMoCo | MPCLMoCoV3 | MPCLBarlowTwins


def neck_config(**changes: object) -> dict:
    """Return the config of the neck; settings of its MLPs go into ``mlp=dict(…)``."""
    mlp = {name: changes.pop(name) for name in list(changes) if name in MLPSettings.__dataclass_fields__}
    sizes = dict(in_channels=tiny.WIDTH, hid_channels=tiny.HIDDEN, out_channels=tiny.EMBEDDING, num_projectors=3)
    return dict(type='lewel_plugins.MultiProjectorNeck', **{**sizes, 'mlp': mlp, **changes})


def config(method: str, backbone: dict | None = None, neck: dict | None = None, **changes: object) -> dict:
    """Return the arguments of a model whose MLPs have the layers of the framework's recipes."""
    layers = dict(
        mpcl_moco=dict(with_bn=False), mpcl_moco_v3=dict(with_last_bn=True), mpcl_barlow_twins=dict(num_layers=3)
    )
    settings = dict(
        mpcl_moco=dict(queue_len=12),
        mpcl_moco_v3=dict(predictor=dict(hid_channels=tiny.HIDDEN, with_last_bn=True)),
        mpcl_barlow_twins={},
    )
    return dict(
        backbone=backbone or tiny.backbone_config(),
        neck=neck_config(**{**layers[method], **(neck or {})}),
        **tiny.arguments(CLASSES[method].__name__, **{**settings[method], **changes}),
    )


def build(method: str, seed: int = 0, **changes: object) -> MPCL:
    """Build a model in float64: a teacher unlike the online network, unit keys, uneven weights, empty sums."""
    model = tiny.randomize(CLASSES[method](**config(method, **changes)).double(), seed)
    M = model.neck.num_projectors
    model.head.balance.weights.copy_((torch.arange(M) + 1) / sum(range(M + 1)))
    for total in model.head.balance.accumulators():
        total.zero_()
    if isinstance(model, MPCLMoCo):
        model.queue.keys.copy_(F.normalize(model.queue.keys, dim=1))
    return model


def neck(seed: int = 0, **changes: object) -> MultiProjectorNeck:
    settings = neck_config(**changes)
    del settings['type']
    return tiny.randomize(MultiProjectorNeck(**settings).double(), seed)


def naive_mlps(mlps: ParallelMLPs, x: Tensor) -> Tensor:
    """Apply one projector after the other, in loops: (N, in) or (M, N, in) → (M, N, out)."""
    last = getattr(mlps, f'fc{mlps.num_layers - 1}')
    tasks = []
    for m in range(len(last.weight)):
        weights, biases, norms = [], [], []
        for i in range(mlps.num_layers):
            linear, norm = getattr(mlps, f'fc{i}'), getattr(mlps, f'bn{i}', None)
            copy = m if len(linear.weight) > 1 else 0
            weights.append(linear.weight[copy])
            biases.append(None if linear.bias is None else linear.bias[copy])
            width = linear.weight.shape[1]
            channels = slice(copy * width, (copy + 1) * width)
            affine = norm is not None and norm.affine
            norms.append(
                None if norm is None else (norm.weight[channels], norm.bias[channels]) if affine else (None, None)
            )
        tasks.append(naive_mpcl.mlp(x[m] if x.dim() == 3 else x, weights, biases, norms))
    return torch.stack(tasks)


def naive_embeddings(neck: MultiProjectorNeck, feats: tuple[Tensor]) -> Tensor:
    return naive_mlps(neck.mlps, torch.stack([naive.pooled(image) for image in feats[0]]))


def naive_tasks(model: MPCL, views: list[Tensor]) -> tuple[Tensor, list[float], list[Tensor]]:
    """Return loss and accuracy of every projector, and the online embeddings that PCR compares."""
    z = [naive_embeddings(model.neck, model.backbone(x)) for x in views]
    if isinstance(model, MPCLBarlowTwins):
        losses = naive_mpcl.barlow_twins(*z, model.head.redundancy_weight)
        return losses, naive_mpcl.batch_accuracy(*map(naive_mpcl.standardize, z)), z
    with torch.no_grad():
        teacher = model.teacher.module
        keys = [naive_embeddings(teacher.neck, teacher.backbone(x)) for x in views]
    if isinstance(model, MPCLMoCo):
        queue = model.queue.keys.clone()
        losses = naive_mpcl.info_nce(z[0], keys[1], queue, model.head.temperature)
        return losses, naive_mpcl.queue_accuracy(z[0], keys[1], queue), z[:1]
    losses, accuracies = views[0].new_zeros(len(z[0])), []
    for here, there in ((0, 1), (1, 0)):
        q = naive_mlps(model.head.predictor, z[here])
        losses = losses + 2 * model.head.temperature * naive_mpcl.batch_info_nce(q, keys[there], model.head.temperature)
        accuracies.append(naive_mpcl.batch_accuracy(q, keys[there]))
    return losses, [sum(both) / 2 for both in zip(*accuracies)], z


def step_differences(model: MPCL, views: list[Tensor]) -> dict[str, float]:
    """Return how a step differs from the naive step: losses, gradient of their sum, accuracies, cosines."""
    tasks, accuracies, z = naive_tasks(model, views)
    balance, M = model.head.balance, len(tasks)
    weighted = sum(w * loss for w, loss in zip(balance.weights.tolist(), tasks)) / (M if balance.literal_eq4 else 1)
    pcr = sum(naive_mpcl.projector_regularization(view, balance.pcr) for view in z) / len(z)
    expected = [weighted, balance.pcr_weight * pcr]
    theirs = tiny.gradients(expected[0] + expected[1], model)
    losses = model.loss(views)
    assert losses.keys() == {'loss_contrastive', 'loss_pcr'}
    ours = tiny.gradients(losses['loss_contrastive'] + losses['loss_pcr'], model)
    cosines = sum(naive_mpcl.projector_cosines(view).mean(0) for view in z) / len(z)
    images = balance.images
    assert images.item() == len(views[0])
    return dict(
        loss=naive.largest_difference(list(losses.values()), expected),
        gradient=naive.largest_difference(ours, theirs),
        accuracy=naive.largest_difference([balance.correct / images], [torch.tensor(accuracies).double()]),
        cosine=naive.largest_difference([balance.cosines / images], [cosines]),
    )


def separate(mlps: ParallelMLPs, **layers: object) -> nn.ModuleList:
    """Return M MLPs of one projector each, with the same weights."""
    num, width, _ = mlps.fc0.weight.shape
    _, out, _ = getattr(mlps, f'fc{mlps.num_layers - 1}').weight.shape
    alone = nn.ModuleList()
    for m in range(num):
        one = ParallelMLPs(1, mlps.fc0.weight.shape[2], width, out, MLPSettings(**layers), ['default']).double()
        state = {
            name: value.view(num, -1)[m].view(one.state_dict()[name].shape) if value.dim() else value
            for name, value in mlps.state_dict().items()
        }
        one.load_state_dict(state)
        alone.append(one)
    return alone
