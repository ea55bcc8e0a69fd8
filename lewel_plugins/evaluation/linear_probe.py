"""Linear evaluation on features that were extracted once: the steps of the slow way, without its backbone."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DATA_SAMPLERS, MODELS, PARAM_SCHEDULERS
from mmengine.runner import set_random_seed
from rich.progress import track
from torch import Tensor, nn

from lewel_plugins.checkpoints import model_config
from lewel_plugins.errors import SetupError

from .feature_metric import FeatureSet


class LinearResult(NamedTuple):
    """A linear classifier that was trained with one learning rate.

    Attributes:
        lr: The learning rate at the start.
        top1: Accuracy on the query set, percent.
        top5: Of its five best classes (or of all, if there are fewer), percent.
        predictions: Classes of the query set, (Q,) int64.
        weight: (C, D).
        bias: (C,).
    """

    lr: float
    top1: float
    top5: float
    predictions: Tensor
    weight: Tensor
    bias: Tensor


def build_classifier(cfg: Config, seed: int) -> Any:
    """The config's classifier as the Runner initialises it under ``seed``: the same head, bit for bit."""
    set_random_seed(seed)
    model = MODELS.build(model_config(cfg))
    model.init_weights()
    return model


def base_batch_size(cfg: Config) -> int:
    """Images a step over all processes: those that the config's learning rate was set for, where it says so."""
    return (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or cfg.train_dataloader.batch_size


def dropped_steps(cfg: Config) -> list[str]:
    """What the config does to training images only, which features that are extracted once leave out.

    Types of the transforms that the validation's pipeline lacks, and of a data preprocessor that makes random views.
    """
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    kept = cfg.val_dataloader.dataset.get('pipeline') or []
    steps = [step.type for step in dataset.get('pipeline') or [] if step not in kept]
    preprocessor = model_config(cfg).get('data_preprocessor') or {}
    return [*steps, preprocessor['type']] if preprocessor.get('views') else steps


def check_fast(cfg: Config) -> None:
    """Raise SetupError if the config trains more than a linear classifier on frozen features."""
    model, wrapper = cfg.model, cfg.optim_wrapper
    problems = {
        'model.frozen must be True': model.get('frozen', True) is True,
        'model.head must be a LinearClsHead': model.head.type == 'LinearClsHead',
        'its loss must be a plain CrossEntropyLoss': dict(model.head.get('loss', {})).get('type', 'CrossEntropyLoss')
        == 'CrossEntropyLoss'
        and not set(model.head.get('loss', {})) - {'type', 'loss_weight'}
        and model.head.get('loss', {}).get('loss_weight', 1.0) == 1.0,
        'optim_wrapper must be an OptimWrapper (float32)': wrapper.get('type', 'OptimWrapper') == 'OptimWrapper',
        'train_cfg must count epochs': 'max_epochs' in cfg.train_cfg,
    }
    unmet = [problem for problem, met in problems.items() if not met]
    if unmet:
        raise SetupError(f'the fast path trains a linear classifier on features; {"; ".join(unmet)}')


def linear_probe(
    cfg: Config, head: nn.Module, bank: FeatureSet, query: FeatureSet, lrs: Sequence[float], seed: int
) -> list[LinearResult]:
    """Train the head of a linear evaluation config on features, with several learning rates at once.

    Optimizer, schedule, order of the images, batches and first weights are those that the config has in
    ``tools/train.py`` with the same seed on as many processes as it is made for, so that the result is that of the
    slow way on images without augmentation, to within rounding (and, where an epoch does not divide by the number of
    processes, the few images that fill it up). A step has the whole batch of all of them,
    ``auto_scale_lr.base_batch_size``. All learning rates share one matrix product a step.

    Args:
        cfg: Linear evaluation config, see :func:`check_fast`.
        head: Its head, with the weights to start from; not changed.
        bank: Features and labels to train on, in the order of the dataset.
        query: Those to measure.
        lrs: Learning rates, positive.
        seed: Seed of the order.

    Returns:
        One result a learning rate.

    Raises:
        SetupError: The config asks for more than that.
        ValueError: No learning rate, or one that is not positive; or an image has no label.
    """
    check_fast(cfg)
    if not lrs or min(lrs) <= 0:
        raise ValueError(f'learning rates must be positive, got {list(lrs)}')
    for name, features in (('training', bank), ('validation', query)):
        unlabelled = int((features.label < 0).sum())
        if unlabelled:
            raise ValueError(f'{unlabelled} of {len(features.label)} {name} images have no label')
    device = bank.feat.device
    heads = [copy.deepcopy(cast(nn.Linear, head.fc)).to(device) for _ in lrs]
    order, batch_size = _order(cfg, len(bank.feat), seed)
    drop_last = bool(cfg.train_dataloader.get('drop_last', False))
    steps = len(bank.feat) // batch_size if drop_last else -(-len(bank.feat) // batch_size)
    if steps == 0:
        raise ValueError(f'a batch of {batch_size} with drop_last leaves nothing of {len(bank.feat)} images')
    wrappers = [_wrapper(cfg, fc, lr) for fc, lr in zip(heads, lrs)]
    schedulers = [scheduler for wrapper in wrappers for scheduler in _schedulers(cfg, wrapper, steps)]
    for epoch in track(range(cfg.train_cfg.max_epochs), 'linear classifier'):
        rows = order(epoch).to(device)
        for batch in rows.split(batch_size)[:steps]:
            _step(heads, wrappers, bank.feat[batch], bank.label[batch])
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in schedulers:
            if scheduler.by_epoch:
                scheduler.step()
    return [_measure(fc, lr, query) for fc, lr in zip(heads, lrs)]


def _order(cfg: Config, size: int, seed: int) -> tuple[Callable[[int], Tensor], int]:
    """Indices of an epoch as the config's sampler gives them, and the batch size."""
    loader = cfg.train_dataloader
    sampler: Any = DATA_SAMPLERS.build(dict(loader.sampler, dataset=range(size), seed=seed))

    def of_epoch(epoch: int) -> Tensor:
        sampler.set_epoch(epoch)
        return torch.tensor(list(sampler))

    return of_epoch, base_batch_size(cfg)


def _wrapper(cfg: Config, fc: nn.Module, lr: float) -> OptimWrapper:
    config = ConfigDict(copy.deepcopy(cfg.optim_wrapper))
    config.optimizer.lr = lr
    return build_optim_wrapper(nn.ModuleDict(dict(head=nn.ModuleDict(dict(fc=fc)))), config)


def _schedulers(cfg: Config, wrapper: OptimWrapper, epoch_length: int) -> list:
    configs = cfg.get('param_scheduler') or []
    default = dict(optimizer=wrapper, epoch_length=epoch_length)
    return [PARAM_SCHEDULERS.build(dict(config), default_args=default) for config in configs]


def _step(heads: Sequence[nn.Linear], wrappers: Sequence[OptimWrapper], x: Tensor, labels: Tensor) -> None:
    weight: Tensor = torch.cat([fc.weight for fc in heads])  # (R·C, D)
    bias: Tensor = torch.cat([fc.bias for fc in heads])
    logits = F.linear(x, weight, bias).view(len(x) * len(heads), -1)  # (N·R, C)
    # A sum over learning rates: each classifier has the gradient of its own mean over the batch.
    loss = F.cross_entropy(logits, labels.repeat_interleave(len(heads)), reduction='sum') / len(x)
    for wrapper in wrappers:
        wrapper.zero_grad()
    loss.backward()
    for wrapper in wrappers:
        wrapper.step()


@torch.no_grad()
def _measure(fc: nn.Linear, lr: float, query: FeatureSet, chunk: int = 4096) -> LinearResult:
    parts = [fc(x).topk(min(5, len(fc.bias)), dim=1).indices for x in query.feat.split(chunk)]
    best = torch.cat(parts)  # (Q, 5)
    hit = best == query.label[:, None]
    top1, top5 = (100 * hits.double().mean().item() for hits in (hit[:, 0], hit.any(1)))
    weight, bias = fc.weight.detach().clone(), fc.bias.detach().clone()
    return LinearResult(lr, top1, top5, best[:, 0], weight, bias)
