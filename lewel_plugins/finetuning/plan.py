"""Every setting of a fine-tuning from facts, with the reason for each.

:func:`plan` is pure, as that of a pretraining. What shapes the weights follows from the labels and the weights to start
from; the machine determines only how the same training is run, with one exception, which is a warning: a batch that
does not fit.
"""

import math

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.backbones import find_backbone
from lewel_plugins.planning.devices import USABLE, choose_gpus, count_ranks, workers
from lewel_plugins.planning.facts import GIB, GPU
from lewel_plugins.planning.findings import plural
from lewel_plugins.planning.plan import LARGE_FOLDER, SMALL_STEM_UP_TO
from lewel_plugins.planning.settings import Setting, Settings

from .facts import FinetuneFacts, LabelFacts, Start
from .networks import Network, find_network

LIBRARIES = {'detector': 'mmdet', 'segmenter': 'mmseg'}
TASKS = tuple(LIBRARIES)
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
BATCH = 16  # images per step in the recipes
EPOCH_STEPS = 4  # least steps of an epoch
FROZEN_NORM_BELOW = 16  # images per step below which statistics of a batch are too noisy
RATES = {  # per 16 images, as in the recipes, and as in those of mmdet and mmseg for Swin
    ('detector', 'sgd'): 0.02,
    ('segmenter', 'sgd'): 0.01,
    ('detector', 'adamw'): 1e-4,
    ('segmenter', 'adamw'): 6e-5,
}
LEAST_STEPS = 3000
EPOCHS = {'detector': (12, 120), 'segmenter': (30, 300)}  # the first: COCO's 1x, and VOC's 20,000 steps
RANDOM_TIMES = 3  # a detector from random weights needs about three times as long (He, Girshick, Dollár 2018)
WARM_UP = (1000, 0.1)  # steps, and share of all steps, at most
SIZES = {'detector': (800, 1333), 'segmenter': (512, 2048)}  # shorter and longer side of the recipes
LARGEST_ANCHOR = 32  # smallest anchor of the recipes
MULTIPLE = 32
CHECKPOINTS = 10


def plan(task: str, facts: FinetuneFacts, epochs: int | None = None, gpus: int | None = None) -> Settings:
    """Derive every setting of a fine-tuning.

    Args:
        task: ``detector`` or ``segmenter``.
        facts: Labels, weights and machine.
        epochs: Length that the user asks for; None for the rule.
        gpus: Number of GPUs; 0 for the CPU, None for all.

    Raises:
        SetupError: The request cannot be met; the message names the value and what is accepted.
    """
    labels, start = facts.labels, facts.start
    backbone, stem = _backbone(labels, start)
    network = find_network(task, backbone.value, stem.value)
    size = _image_size(task, labels)
    batch = _batch(labels)
    devices = choose_gpus(facts.machine.gpus, gpus)
    ranks = count_ranks(devices.value, batch.value, least=1)
    accumulation = _fit(network, size.value, batch.value, ranks.value, devices.value)
    length = _epochs(task, labels, start, batch.value, epochs)
    rate = RATES[task, network.optimizer]
    steps = length.value * math.ceil(labels.num_train / batch.value)
    settings = [
        Setting('images', labels.num_train, labels.split),
        Setting('val_images', labels.num_val, 'only measured on'),
        Setting('classes', labels.num_classes, 'as labeled'),
        backbone,
        stem,
        _head(task, labels),
        size,
        *([_anchor(labels, size.value)] if task == 'detector' else []),
        *_normalization(start),
        devices,
        ranks,
        Setting('precision', 'float32', 'as in the recipes'),
        batch,
        accumulation,
        _norm(network, start, batch.value, accumulation.value),
        Setting('optimizer', network.optimizer, 'as in the recipe'),
        Setting('lr', rate * batch.value / BATCH, f'{rate:g} × {batch.value} / {BATCH}'),
        length,
        _warm_up(task, steps),
        workers(facts.machine.cores, None, ranks.value),
        Setting('checkpoint_epochs', max(1, length.value // CHECKPOINTS), 'about ten times, with a measurement'),
    ]
    return Settings(settings)


def _backbone(labels: LabelFacts, start: Start) -> tuple[Setting, Setting]:
    if start.is_random:
        chosen = 'resnet18' if labels.num_train < LARGE_FOLDER else 'resnet50'
        images = f'{labels.num_train:,} images'
        backbone = find_backbone(start.backbone or chosen)
        small = labels.short_side <= SMALL_STEM_UP_TO and backbone.small_stem is not None
        return (
            Setting('backbone', backbone.name, 'as requested' if start.backbone else images),
            Setting('stem', '3 × 3' if small else 'standard', f'images of {labels.short_side} px'),
        )
    find_backbone(start.backbone)
    return (
        Setting('backbone', start.backbone, f'that of {start.name}'),
        Setting('stem', start.stem, f'that of {start.name}'),
    )


def _head(task: str, labels: LabelFacts) -> Setting:
    if task == 'segmenter':
        return Setting('head', 'FCN', 'as in the recipe')
    if labels.has_outlines:
        return Setting('head', 'Mask R-CNN', 'every object has an outline')
    outlined, objects = labels.outlined
    if not outlined:
        return Setting('head', 'Faster R-CNN', 'the labels are boxes')
    reason = f'{objects - outlined:,} of {plural(objects, "object")} have no outline'
    if objects - outlined == 1:
        reason = reason.replace('have', 'has')
    return Setting('head', 'Faster R-CNN', reason, f'{reason}; a Mask R-CNN needs one of every object')


def _image_size(task: str, labels: LabelFacts) -> Setting:
    """Return shorter and longer side of the images: their own, up to those of the recipe."""
    most, longest = SIZES[task]
    short = min(most, max(MULTIPLE, MULTIPLE * round(labels.short_side / MULTIPLE)))
    long = max(round(longest * short / most), short) if task == 'detector' else longest * short // most
    reason = f'median {labels.short_side:,} × {labels.long_side:,} px; recipe {most}'
    warning = ''
    if short < labels.short_side / 3:
        warning = (
            f'images are reduced from {labels.short_side:,} to {short} px on the shorter side, and small objects with '
            'them; cut the images into tiles if these matter'
        )
    return Setting('image_size', [short, long], reason, warning)


def _anchor(labels: LabelFacts, size: list[int]) -> Setting:
    """Return the side of the smallest anchors: the power of two that the small boxes have at the size of training."""
    side = labels.small_box * size[0] / labels.short_side
    value = 2 ** math.floor(math.log2(min(LARGEST_ANCHOR, max(4.0, side))))
    return Setting('anchor', value, f'a tenth of the boxes is below {side:.0f} px; recipe {LARGEST_ANCHOR}')


def _normalization(start: Start) -> list[Setting]:
    known = start.mean is not None and start.std is not None
    reason = f'as in the training of {start.name}' if known and not start.is_random else "ImageNet's"
    values = (start.mean, start.std) if known else IMAGENET
    return [Setting('mean', list(values[0] or ()), reason), Setting('std', list(values[1] or ()), reason)]


def _batch(labels: LabelFacts) -> Setting:
    count = labels.num_train
    value = 2 ** max(0, math.floor(math.log2(max(1, min(BATCH, count / EPOCH_STEPS)))))
    value = max(value, min(2, count))
    if value == BATCH:
        return Setting('batch_size', value, 'as in the recipe')
    return Setting('batch_size', value, f'{math.ceil(count / value)} steps per epoch of {count} images; recipe {BATCH}')


def _fit(network: Network, size: list[int], batch: int, ranks: int, gpus: tuple[GPU, ...]) -> Setting:
    """Return the number of parts that the batch of a rank is accumulated from, so that one of them fits."""
    if not gpus:
        return Setting('accumulation', 1, 'no limit of memory is known')
    free = min(gpu.free for gpu in gpus)
    per_rank, fixed = batch // ranks, network.fixed_gib * GIB
    need = network.image_gib * GIB * size[0] * size[1] / (network.image_size[0] * network.image_size[1])
    fits = int((USABLE * free - fixed) // need)
    parts = next(
        count for count in range(1, per_rank + 1) if per_rank % count == 0 and per_rank // count <= max(1, fits)
    )
    shown = (
        f'{per_rank} images need about {(network.fixed_gib * GIB + per_rank * need) / GIB:.1f} of {free / GIB:.1f} GiB'
    )
    warning = '' if fits else f'one image needs about {(fixed + need) / GIB:.1f} GiB, and {free / GIB:.1f} are free'
    return Setting('accumulation', parts, shown if parts == 1 else f'{per_rank // parts} × {parts}: {shown}', warning)


def _norm(network: Network, start: Start, batch: int, accumulation: int) -> Setting:
    """Return whether batch norm is trained or keeps the statistics of the pretraining."""
    if not network.has_batch_norm:
        return Setting('batch_norm', 'none', 'the backbone has layer norm')
    if start.is_random:
        warning = f'batch norm learns from {batch} images per step' if batch < FROZEN_NORM_BELOW else ''
        return Setting('batch_norm', 'trained', 'random weights have no statistics to keep', warning)
    if batch < FROZEN_NORM_BELOW:
        return Setting('batch_norm', 'frozen', f'{batch} images per step are below {FROZEN_NORM_BELOW}')
    if accumulation > 1:
        warning = (
            f'a batch of {batch} does not fit, so that batch norm keeps the statistics of the pretraining; with more '
            'GPUs or memory it would be trained'
        )
        return Setting('batch_norm', 'frozen', f'the batch comes in {accumulation} parts', warning)
    return Setting('batch_norm', 'trained', f'over all {batch} images of a step, as in the recipe')


def _epochs(task: str, labels: LabelFacts, start: Start, batch: int, epochs: int | None) -> Setting:
    per_epoch = math.ceil(labels.num_train / batch)
    if epochs is not None:
        if epochs < 1:
            raise SetupError(f'--epochs must be at least 1, got {epochs}')
        return Setting('epochs', epochs, f'as requested: {epochs * per_epoch:,} steps')
    least, most = EPOCHS[task]
    value = min(most, max(least, math.ceil(LEAST_STEPS / per_epoch)))
    reason = f'{value * per_epoch:,} steps, {per_epoch:,} per epoch; recipe {least} epochs'
    if start.is_random:
        value *= RANDOM_TIMES
        reason = f'{value * per_epoch:,} steps, {RANDOM_TIMES} times those of given weights'
    return Setting('epochs', value, reason)


def _warm_up(task: str, steps: int) -> Setting:
    if task == 'segmenter':
        return Setting('warm_up', 0, 'the recipe has none')
    most, share = WARM_UP
    value = min(most, max(1, round(share * steps)))
    return Setting('warm_up', value, f'of {steps:,} steps; recipe {most:,} of 90,000')
