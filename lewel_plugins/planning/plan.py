"""Every setting of a training from facts and a request, with the reason for each.

:func:`plan` is pure: it reads neither files nor devices, so that each rule is tested on numbers. What shapes the
weights (backbone, size, batch, length, rate, teacher, queue, groups) follows from folder and request alone. The
machine determines only how the same training is run, with one exception, which is a warning: a batch that does not fit.
"""

import math
from collections.abc import Mapping
from typing import Any

from lewel_plugins.errors import SetupError

from .backbones import SMALL, Backbone, find_backbone, stem_of
from .devices import PER_RANK, USABLE, choose_gpus, count_ranks, precision, workers
from .facts import GPU, Facts, Weights
from .findings import gigabytes, plural
from .methods import BATCH, MEAN, METHODS, Method, find_method
from .request import Request
from .settings import Setting, Settings

LEAST_IMAGES = 2
FEW, LITTLE, PUBLISHED = 20, 500, 2000  # images: to try the installation; to learn little from; of published successes
LARGE_FOLDER = 50_000  # images from which the backbone is a ResNet-50
SIZES = (32, 64, 96, 128, 160, 192, 224)
STRIDE = 32  # pixels per position of the last map of a network with the standard stem
SMALL_STEM_UP_TO = 64  # pixels of views without blur, and of those for which a ResNet has a small stem
_SMALL_STEM = f'a ResNet with a {SMALL} stem is exported to safetensors and onnx only'
EPOCH_STEPS = 4  # least steps of an epoch
STEPS = 5000
EPOCHS = (200, 1600)
CONTINUED = 0.1  # share of the steps with weights to start from
LEAST_CONTINUED_STEPS = 500
BACKBONE_SHARE = 1.0  # rate of a given backbone over that of the heads: docs/results/planned_values.md
FROZEN_SHARE = 0.05  # share of the steps in which the heads train alone
HORIZON_SHARE = 0.1  # 1 / (1 − α) over the number of steps, at most
EMAN_FROM = 50_000  # steps; after 3,900, eman costs 4 points: docs/results/all-methods_cifar10.md
MOST_MOMENTUM = 0.99  # 1 − α; mmpretrain's teachers take less than 1
HOLDOUT_FROM, HOLDOUT_SHARE, HOLDOUT_MOST = 5000, 0.02, 1000
PROVEN_RATES = (0.25, 4.0)  # times the recipe's rate
CHECKPOINT_MINUTES = 10
CHECKS = 20  # validations in a training


class Plan(Settings):
    """The settings of a pretraining.

    Args:
        method: The method.
        backbone: The backbone.
        settings: The settings.
        weights: Weights that it starts from; None for random ones.
    """

    def __init__(
        self, method: Method, backbone: Backbone, settings: list[Setting], weights: Weights | None = None
    ) -> None:
        super().__init__(settings)
        self.method, self.backbone, self.weights = method, backbone, weights


def plan(facts: Facts, request: Request) -> Plan:
    """Derive every setting of a training.

    Args:
        facts: Folder, machine and weights.
        request: What the user asks for; the rest follows from the rules.

    Raises:
        SetupError: The request cannot be met; the message names the value and what is accepted.
    """
    method = find_method(request.method)
    check_folder(facts)
    holdout = _holdout(facts, request)
    images = facts.folder.num_images - holdout.value
    backbone = _backbone(facts, request, method)
    net = find_backbone(backbone.value)
    if not net.has_batch_norm:
        method = method.without_batch_norm()
    size = _image_size(facts, request, net)
    _check_side(net, size.value)
    batch = _batch(request, method, images)
    gpus = choose_gpus(facts.machine.gpus, request.gpus)
    ranks = count_ranks(gpus.value, batch.value, images=0 if request.batch_size else images)
    batch, accumulation = _fit(facts, gpus.value, ranks.value, batch, method, _smaller(net, size.value))
    epochs = _epochs(facts, request, images, batch.value)
    steps = epochs.value * (images // batch.value)
    queue = _queue(method, images, batch.value)
    settings = [
        _images(facts, method, batch, queue, epochs),
        holdout,
        Setting('method', method.name, method.title),
        backbone,
        size,
        _stem(facts, net, size.value, method),
        gpus,
        ranks,
        precision(gpus.value),
        batch,
        accumulation,
        Setting('optimizer', method.optimizer, _optimizer(net)),
        _rate(facts, method, batch.value),
        epochs,
        _warm_up(method, epochs.value),
        *_start(facts, steps),
        *_teacher(method, steps),
        *queue,
        *_groups(method, images, batch.value, epochs.value),
        workers(facts.machine.cores, request.workers, ranks.value),
        Setting('checkpoint_minutes', CHECKPOINT_MINUTES, 'at the end of an epoch; the last three are kept'),
        _monitors(epochs.value),
    ]
    return Plan(method, net, settings, facts.weights)


def check_folder(facts: Facts) -> None:
    """Refuse a folder that holds too few images to compare with each other.

    Raises:
        SetupError: There are fewer than two.
    """
    count = facts.folder.num_images
    if count < LEAST_IMAGES:
        what = 'no image' if count == 0 else 'one image'
        raise SetupError(f'the folder holds {what}; pretraining compares images with each other and needs at least two')


def _images(facts: Facts, method: Method, batch: Setting, queue: list[Setting], epochs: Setting) -> Setting:
    folder = facts.folder
    reason = f'{folder.num_images:,} of {folder.num_files:,} files'
    parts = [f'{folder.num_broken:,} broken'] if folder.num_broken else []
    parts += [f'{folder.num_copies:,} copies of others'] if folder.num_copies else []
    warning = note = ''
    if folder.num_images <= FEW:
        note = f'{folder.num_images} images are enough to try the installation, not to learn from'
    elif facts.weights is None and folder.num_images < LITTLE:
        warning = (
            f'a network learns little from {folder.num_images} images alone; use --from to start from existing weights'
        )
    elif facts.weights is None and folder.num_images < PUBLISHED:
        note = _small_folder(folder.num_images, method, batch, queue, epochs)
    return Setting('images', folder.num_images, '; '.join([reason, *parts]), warning, note)


def _small_folder(count: int, method: Method, batch: Setting, queue: list[Setting], epochs: Setting) -> str:
    values = [f'batch {batch.value} (recipe {method.batch})']
    values += [f'queue {setting.value:,} (recipe {method.queue:,})' for setting in queue]
    values.append(f'{epochs.value:,} epochs')
    return (
        f'{count:,} images: {", ".join(values)}; published successes from scratch start at about {PUBLISHED:,} images'
    )


def _holdout(facts: Facts, request: Request) -> Setting:
    count = facts.folder.num_images
    if request.holdout is not None:
        if not 0 <= request.holdout <= count - LEAST_IMAGES:
            raise SetupError(f'--holdout must be 0 to {count - LEAST_IMAGES}, got {request.holdout}')
        return Setting('holdout', request.holdout, 'as requested')
    if count < HOLDOUT_FROM:
        return Setting('holdout', 0, f'below {HOLDOUT_FROM:,} images, all are trained on')
    value = min(HOLDOUT_MOST, round(HOLDOUT_SHARE * count))
    return Setting('holdout', value, f'{value:,} images are never trained on, for the monitors')


def _backbone(facts: Facts, request: Request, method: Method) -> Setting:
    count = facts.folder.num_images
    if facts.weights is not None:
        if request.backbone not in (None, facts.weights.backbone):
            raise SetupError(
                f'{facts.weights.name} holds a {facts.weights.backbone}, but --backbone is {request.backbone}'
            )
        chosen, reason = facts.weights.backbone, f'that of {facts.weights.name}'
    elif request.backbone is not None:
        chosen, reason = request.backbone, 'as requested'
    else:
        chosen, reason = 'resnet18' if count < LARGE_FOLDER else 'resnet50', f'{count:,} images'
    if method.vector is None and not find_backbone(chosen).has_map:
        others = ' or '.join(sorted(name for name, other in METHODS.items() if other.vector is not None))
        raise SetupError(
            f'{method.name} does not take {chosen}, which returns one vector per image; use a ResNet, Swin or '
            f'ConvNeXt, or --method {others}'
        )
    return Setting('backbone', chosen, reason)


def _image_size(facts: Facts, request: Request, backbone: Backbone) -> Setting:
    side = facts.folder.median_short_side
    if request.image_size is not None:
        if request.image_size < SIZES[0]:
            raise SetupError(f'--image-size must be at least {SIZES[0]}, got {request.image_size}')
        patch = _settings(facts, backbone).get('patch_size', 1)
        if not backbone.has_map and request.image_size % patch:
            raise SetupError(
                f'--image-size must be a multiple of {patch}, the side of the patches of {backbone.name}, '
                f'got {request.image_size}'
            )
        return Setting('image_size', request.image_size, f'as requested{_blur(request.image_size)}')
    value = max((size for size in SIZES if size <= side), default=SIZES[0])
    return Setting('image_size', value, f'median short side {side:,} px{_blur(value)}')


def _check_side(backbone: Backbone, side: int) -> None:
    if ':' in backbone.name:
        from .zoo import check_side  # imports torch, which other backbones do not need here

        check_side(backbone, side)


def _blur(size: int) -> str:
    return f'; views of at most {SMALL_STEM_UP_TO} px are not blurred' if size <= SMALL_STEM_UP_TO else ''


def _stem(facts: Facts, backbone: Backbone, size: int, method: Method) -> Setting:
    if facts.weights is not None:
        stem = stem_of(_settings(facts, backbone))
        note = _SMALL_STEM if stem == SMALL else ''
        return Setting('stem', stem, 'that of the given weights', _one_position(method, backbone, stem, size), note)
    if size > SMALL_STEM_UP_TO or backbone.small_stem is None:
        reason = f'the only one of {backbone.name}' if backbone.small_stem is None else f'views of {size} px'
        return Setting('stem', 'standard', reason, _one_position(method, backbone, 'standard', size))
    note = f'{_SMALL_STEM}; --image-size above {SMALL_STEM_UP_TO} has the standard stem'
    return Setting('stem', SMALL, f'views of {size} px', note=note)


def _one_position(method: Method, backbone: Backbone, stem: str, size: int) -> str:
    """Return a warning where nothing is left to align; ResNet-10 and a small stem have a stride of 8 or less."""
    if not method.name.startswith('lewel') or stem == SMALL or backbone.name == 'resnet10' or size >= 2 * STRIDE:
        return ''
    return (
        f'views of {size} px leave one position of the map of {backbone.name}, so that {method.title} has nothing to '
        f'align; use --image-size {2 * STRIDE} or more, or another method'
    )


def _settings(facts: Facts, backbone: Backbone) -> Mapping[str, Any]:
    """Return the config of the given weights, or else that of the name."""
    return (facts.weights and facts.weights.settings) or backbone.config


def _power_of_two(value: float) -> int:
    """Return the largest power of two that is not above ``value``, at least 1."""
    return 2 ** max(0, math.floor(math.log2(max(1, value))))


def _batch(request: Request, method: Method, images: int) -> Setting:
    if request.batch_size is not None:
        if not 2 <= request.batch_size <= images:
            raise SetupError(f'--batch-size must be 2 to {images:,}, the number of images, got {request.batch_size}')
        return Setting('batch_size', request.batch_size, 'as requested', note=_left_out(images, request.batch_size))
    value = min(method.batch, _power_of_two(images / EPOCH_STEPS))
    if value < PER_RANK:
        value = min(PER_RANK, images)
        note = _left_out(images, value)
        reason = 'the least that a method can learn from' if value == PER_RANK else f'all {images} images'
        return Setting('batch_size', value, reason, note=note)
    if value == method.batch:
        return Setting('batch_size', value, f'as in the recipe: {images // value:,} steps per epoch')
    reason = f'a quarter of {images:,} images; recipe {method.batch}'
    return Setting('batch_size', value, reason, note=_left_out(images, value))


def _left_out(images: int, batch: int) -> str:
    rest = images % batch
    if rest < 0.01 * images:
        return ''
    return f'batches of {batch}: {rest} of {images:,} images sit out each epoch, different ones each time'


def _smaller(backbone: Backbone, size: int) -> str:
    """Return what needs less memory."""
    options = ['--backbone resnet18'] if backbone.name not in ('resnet10', 'resnet18') else []
    options += [f'--image-size {max(other for other in SIZES if other < size)}'] if size > SIZES[0] else []
    return ' or '.join(options) or '--gpus 0 for the CPU'


def _fit(
    facts: Facts, gpus: tuple[GPU, ...], ranks: int, batch: Setting, method: Method, smaller: str
) -> tuple[Setting, Setting]:
    """Return the batch and the number of parts that it is accumulated from, so that a part fits."""
    if facts.memory is None or not gpus:
        return batch, Setting('accumulation', 1, 'no limit of memory is known')
    fullest = min(gpus, key=lambda gpu: gpu.free)
    images, per_rank, free = batch.value, batch.value // ranks, fullest.free
    fits, need = facts.memory.largest(USABLE * free), facts.memory.need(per_rank)
    if fits >= per_rank:
        return batch, Setting(
            'accumulation', 1, f'{per_rank} images need {gigabytes(need)}, {gigabytes(free)} are free'
        )
    least = min(PER_RANK, per_rank)
    if fits < least:
        raise SetupError(
            f'{least} images need {gigabytes(facts.memory.need(least))} and GPU {fullest.index} has '
            f'{gigabytes(free)} free; try {smaller}'
        )
    too_large = f'{images} needs {need / 1e9:.0f} GB, {free / 1e9:.0f} are free'
    if method.loss == BATCH:
        part = ranks * (fits - fits % PER_RANK)  # need not divide the batch, since it is not accumulated
        warning = (
            f'a batch of {images} does not fit: {part} instead, which is another loss, because {method.title} compares '
            'the images of a batch with each other'
        )
        return Setting('batch_size', part, too_large, warning), Setting('accumulation', 1, too_large)
    # The largest batch in equal parts, none of them smaller than the least or larger than what fits.
    nearest = max(part * (per_rank // part) for part in range(least, fits + 1))
    if nearest != per_rank:
        raise SetupError(
            f'--batch-size is {images}, and {too_large}: no equal parts of {least} to {fits} images make it up; '
            f'try {ranks * nearest}'
        )
    parts = next(count for count in range(2, per_rank + 1) if per_rank % count == 0 and per_rank // count <= fits)
    part = images // parts
    why = 'the loss is a mean over images' if method.loss == MEAN else 'the queue takes the keys of the whole step'
    return batch, Setting('accumulation', parts, f'{part} × {parts} accumulated: {too_large}; {why}')


def _optimizer(backbone: Backbone) -> str:
    if backbone.has_batch_norm:
        return 'as in the recipe'
    return f'{backbone.name} has no batch norm: rate, decay and warm-up are of MoCo v3 with a ViT'


def _rate(facts: Facts, method: Method, batch: int) -> Setting:
    value = method.lr * batch / method.batch
    reason = f'{value:g} = {method.lr:g} × {batch} / {method.batch}'
    low, high = (share * method.lr for share in PROVEN_RATES)
    warning = (
        '' if low <= value <= high else f'the rate {value:g} is far from the {method.lr:g} of the recipe: not proven'
    )
    return Setting('lr', value, reason, warning)


def _epochs(facts: Facts, request: Request, images: int, batch: int) -> Setting:
    per_epoch = images // batch
    if request.epochs is not None:
        if request.epochs < 1:
            raise SetupError(f'--epochs must be at least 1, got {request.epochs}')
        return Setting('epochs', request.epochs, f'as requested: {request.epochs * per_epoch:,} steps')
    if request.hours is not None:
        if request.hours <= 0:
            raise SetupError(f'--hours must be positive, got {request.hours:g}')
        if facts.step_seconds is not None:
            seconds = request.hours * 3600 - facts.other_seconds
            value = max(1, int(seconds / (facts.step_seconds * per_epoch)))
            reason = f'{request.hours:g} h at {facts.step_seconds:.2f} s per step'
            return Setting('epochs', value, reason)
    value = min(max(math.ceil(STEPS / per_epoch), EPOCHS[0]), EPOCHS[1])
    if facts.weights is not None:
        share = CONTINUED * value * per_epoch
        value = math.ceil(max(LEAST_CONTINUED_STEPS, share) / per_epoch)
        tenth = 'a tenth of a training from random weights'
        if share < LEAST_CONTINUED_STEPS:
            tenth = f'at least {LEAST_CONTINUED_STEPS}; {tenth} is {math.ceil(share):,}'
        return Setting('epochs', value, f'{value * per_epoch:,} steps: {tenth}')
    reason = f'{value * per_epoch:,} steps, {per_epoch:,} per epoch'
    if value * per_epoch < STEPS:  # not what the number of steps calls for
        reason += f'; {EPOCHS[1]:,} epochs at most'
    return Setting('epochs', value, reason)


def _warm_up(method: Method, epochs: int) -> Setting:
    if not method.warm_up:
        return Setting('warm_up', 0, 'the recipe has none')
    value = min(epochs - 1, max(1, round(method.warm_up * epochs / method.epochs)))
    return Setting('warm_up', value, f'{value} of {epochs} epochs; recipe {method.warm_up} of {method.epochs}')


def _start(facts: Facts, steps: int) -> list[Setting]:
    if facts.weights is None:
        return []
    return [
        Setting('weights', facts.weights.name, 'also of the teacher'),
        Setting('backbone_lr_mult', BACKBONE_SHARE, 'the backbone has the rate of the heads'),
        Setting('frozen_steps', round(FROZEN_SHARE * steps), 'the heads train alone first'),
    ]


def _teacher(method: Method, steps: int) -> list[Setting]:
    if method.momentum is None:
        return []
    value: float = max(method.momentum, min(MOST_MOMENTUM, 1 / (HORIZON_SHARE * steps)))
    reason = 'as in the recipe' if value == method.momentum else f'its horizon is a tenth of {steps:,} steps'
    settings = [Setting('momentum', value, f'α {1 - value:.4g}: {reason}')]
    if method.name == 'lewel-b' and steps < EMAN_FROM:
        reason = 'BN by its own batch; averaged statistics (eman) cost accuracy in short trainings'
        settings.append(Setting('teacher_norm', 'train', reason))
    return settings


def _queue(method: Method, images: int, batch: int) -> list[Setting]:
    if not method.queue:
        return []
    value = min(_power_of_two(images / 4), method.queue)
    reason = f'recipe {method.queue:,}: {images:,} images'
    if value < 2 * batch:
        value, reason = 2 * batch, f'recipe {method.queue:,}: {images:,} images, but at least two batches'
    if method.whole_batches and value % batch:
        value -= value % batch
        reason += f'; a multiple of the batch of {batch}'
    return [Setting('queue_len', value, reason)]


def _groups(method: Method, images: int, batch: int, epochs: int) -> list[Setting]:
    if method.name != 'smog':
        return []
    from lewel_plugins.models.group_schedule import group_schedule  # imports torch, which a refusal does not wait for

    try:
        schedule = group_schedule(images, batch, epochs)
    except ValueError as error:
        raise SetupError(str(error)) from None
    reason = 'the ratios of the paper'
    return [
        Setting('num_groups', schedule.num_groups, reason),
        Setting('reset_interval', schedule.interval, f'{reason}, in steps'),
        Setting('momentum', schedule.momentum, f'α {1 - schedule.momentum:.4g}: {reason}'),
        Setting('end_beta', schedule.end_beta, reason),
    ]


def _monitors(epochs: int) -> Setting:
    value = max(1, epochs // CHECKS)
    count = plural(epochs // value, 'time')
    return Setting('monitor_epochs', value, f'{count} in all, and before the first step')
