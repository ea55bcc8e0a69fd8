"""Linear evaluation on features that are extracted once: the Runner's training steps, without the backbone."""

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
        lr: Initial learning rate.
        top1: Top-1 accuracy on the query set, percent.
        top5: Top-5 accuracy (or top-C, for fewer classes), percent.
        predictions: Predicted classes of the query set, (Q,) int64.
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
    """Build the classifier of a config as the Runner initializes it under ``seed``, with the same head bit for bit."""
    set_random_seed(seed)
    model = MODELS.build(model_config(cfg))
    model.init_weights()
    return model


def base_batch_size(cfg: Config) -> int:
    """Return the number of images per step on all processes: ``base_batch_size``, or else the loader's batch size."""
    return (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or cfg.train_dataloader.batch_size


def dropped_steps(cfg: Config) -> list[str]:
    """Return the processing of training images that features extracted once cannot have.

    These are the types of the transforms that the validation's pipeline lacks, and of a data preprocessor that makes
    random views.
    """
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    validation_steps = cfg.val_dataloader.dataset.get('pipeline') or []
    steps = [step.type for step in dataset.get('pipeline') or [] if step not in validation_steps]
    preprocessor = model_config(cfg).get('data_preprocessor') or {}
    return [*steps, preprocessor['type']] if preprocessor.get('views') else steps


def check_fast(cfg: Config) -> None:
    """Raise SetupError if the config trains more than a linear classifier on frozen features."""
    model, wrapper = cfg.model, cfg.optim_wrapper
    plain_loss = dict(type='CrossEntropyLoss', loss_weight=1.0)
    problems = {
        'model.frozen must be True': model.get('frozen', True) is True,
        'model.head must be a LinearClsHead': model.head.type == 'LinearClsHead',
        'its loss must be a plain CrossEntropyLoss': {**plain_loss, **model.head.get('loss', {})} == plain_loss,
        'optim_wrapper must be an OptimWrapper (float32)': wrapper.get('type', 'OptimWrapper') == 'OptimWrapper',
        'train_cfg must count epochs': 'max_epochs' in cfg.train_cfg,
    }
    unmet = [problem for problem, met in problems.items() if not met]
    if unmet:
        raise SetupError(f'the fast path only trains a linear classifier on features: {"; ".join(unmet)}')


def linear_probe(
    cfg: Config, head: nn.Module, bank: FeatureSet, query: FeatureSet, lrs: Sequence[float], seed: int
) -> list[LinearResult]:
    """Train the head of a linear evaluation on features, with several learning rates at once.

    Optimizer, schedule, order of the images, batches and initial weights are those of ``tools/train.py`` with the same
    seed, on as many processes as the config is made for. The result equals that of the Runner on images without
    augmentation, up to rounding and, if the number of images does not divide by that of the processes, up to the few
    images that fill the last batch. A step has the batch of all processes, ``auto_scale_lr.base_batch_size``. All
    learning rates share one matrix product per step.

    Args:
        cfg: Config of a linear evaluation, see :func:`check_fast`.
        head: Its head with the initial weights; not changed.
        bank: Features and labels to train on, in the order of the dataset.
        query: Features and labels to measure on.
        lrs: Learning rates, positive.
        seed: Seed of the order.

    Returns:
        One result per learning rate.

    Raises:
        SetupError: The config trains more than a linear classifier.
        ValueError: There is no learning rate, one is not positive, or an image has no label.
    """
    check_fast(cfg)
    if not lrs or min(lrs) <= 0:
        raise ValueError(f'learning rates must be positive, got {list(lrs)}')
    _check_labels(bank, query)
    device = bank.feat.device
    heads = [copy.deepcopy(cast(nn.Linear, head.fc)).to(device) for _ in lrs]
    order, batch_size = _order(cfg, len(bank.feat), seed)
    drop_last = bool(cfg.train_dataloader.get('drop_last', False))
    steps = len(bank.feat) // batch_size if drop_last else -(-len(bank.feat) // batch_size)
    if steps == 0:
        raise ValueError(f'a batch of {batch_size} with drop_last leaves none of the {len(bank.feat)} images')
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


def _check_labels(bank: FeatureSet, query: FeatureSet) -> None:
    for name, features in (('training', bank), ('validation', query)):
        unlabeled = int((features.label < 0).sum())
        if unlabeled:
            raise ValueError(f'{unlabeled} of {len(features.label)} {name} images have no label')


def _order(cfg: Config, size: int, seed: int) -> tuple[Callable[[int], Tensor], int]:
    """Return a function from an epoch to its order of the images by the config's sampler, and the batch size."""
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
    # A sum over learning rates, so that each classifier gets the gradient of its own mean over the batch.
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
