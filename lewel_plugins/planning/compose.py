"""A plan as a config that the stock Runner trains."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

import lewel_plugins
from lewel_plugins.errors import SetupError

from .backbones import SMALL
from .config_keys import merge_settings
from .monitors import add_monitors
from .plan import SMALL_STEM_UP_TO, Plan

_OURS = '_base_/models/lewel-m_resnet50.py'
NARROW = 512  # channels of a backbone up to which heads are those of the recipes for ResNet-18
SHORT_EPOCH = 50  # steps of an epoch below which the loader does not wait for its end
_BARLOW_TWINS_KEYS = {'bn': dict(lr_mult=0.024), 'bias': dict(lr_mult=0.024)}  # Barlow Twins' rate of norms and biases


def configs_folder() -> Path:
    """Return the folder ``configs`` of a clone, an editable installation or a wheel.

    Raises:
        SetupError: There is none.
    """
    package = Path(lewel_plugins.__file__).resolve().parent
    for folder in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (folder / _OURS).is_file():  # beside an installed package, there may be the configs of another one
            return folder
    raise SetupError(f'the configs of lewel_plugins are neither beside {package} nor in it; install it again')


@dataclass(frozen=True)
class Images:
    """Configs of the images of a run, as data sets without their pipelines.

    Args:
        train: Those to train on.
        monitored: Some of those to train on, for the monitors; None for no monitors.
        held_out: Those that are never trained on, for the monitors; None if there are none.
        bank: Labeled images, for the k-NN accuracy; None without labels.
        queries: Other labeled images; None without labels.
        num_classes: Number of classes of the labeled images; None without labels.
    """

    train: dict[str, Any]
    monitored: dict[str, Any] | None = None
    held_out: dict[str, Any] | None = None
    bank: dict[str, Any] | None = None
    queries: dict[str, Any] | None = None
    num_classes: int | None = None


def compose(
    plan: Plan,
    images: Images,
    seed: int = 0,
    weights: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Return the whole config of a plan, without bases.

    Args:
        plan: The plan.
        images: The images.
        seed: Seed of the run.
        weights: File of the weights to start from, if the plan has some.
        settings: Settings of the user by key, as in ``optimizer.lr``.

    Raises:
        SetupError: A setting is of nothing that the config has, or a step of the optimizer has more images than there
            are.
    """
    base = configs_folder() / '_base_'
    parts = [
        base / 'models' / f'{plan.method.model}.py',
        base / 'datasets' / 'image-folder.py',
        base / 'default_runtime.py',
    ]
    entries: dict[str, Any] = {}
    for part in parts:
        entries.update(Config.fromfile(part).to_dict())
    for name in ('views', 'train_pipeline'):
        entries.pop(name)
    views = Config.fromfile(base / 'views' / f'{plan.method.views}_224px.py').views
    entries['model'] = _model(plan, entries['model'])
    entries['train_dataloader'].update(
        batch_size=plan['batch_size'] // plan['ranks'] // plan['accumulation'],
        num_workers=plan['workers'],
        persistent_workers=plan['workers'] > 0,
    )
    pipeline: list[dict[str, Any]] = [
        dict(type='lewel_plugins.LoadViews', views=_views(plan, views.copy())),
        dict(type='PackInputs'),
    ]
    entries['train_dataloader']['dataset']['dataset'] = dict(images.train, pipeline=pipeline)
    entries['custom_hooks'] = _custom_hooks(plan, entries.get('custom_hooks', []))
    entries['optim_wrapper'] = _optim_wrapper(plan, entries['optim_wrapper'])
    entries['param_scheduler'] = _schedulers(plan)
    entries['train_cfg'] = dict(type='EpochBasedTrainLoop', max_epochs=plan['epochs'])
    entries['auto_scale_lr'] = dict(base_batch_size=plan['batch_size'])
    entries['default_hooks']['checkpoint'].update(interval=1, minutes=plan['checkpoint_minutes'])
    entries['randomness'] = dict(seed=seed)
    if plan.method.name == 'mocov3' and not plan.backbone.has_map:
        entries['find_unused_parameters'] = True  # mmpretrain fixes the positions after DDP has expected a gradient
    if plan.weights is not None:
        _start_from(plan, entries, weights)
    if images.monitored is not None:
        add_monitors(plan, entries, images, pipeline)
    steps = (plan['images'] - plan['holdout']) // plan['batch_size']
    if steps < SHORT_EPOCH and plan['workers']:  # the last one, so that the places of the others do not depend on it
        entries['custom_hooks'].append(dict(type='lewel_plugins.ContinuousLoaderHook'))
    config = Config(entries)
    merge_settings(config, settings or {})
    _set_whole_steps(config, plan)
    return config


def _set_whole_steps(config: Config, plan: Plan) -> None:
    """Have every epoch end with a step of the optimizer, as the plan counts them.

    A checkpoint holds no gradients of an unfinished step. With one rank and no accumulation, ``drop_last`` is enough.
    """
    parts = config.optim_wrapper.get('accumulative_counts', 1)
    images = plan['images'] - plan['holdout']
    if type(parts) is not int or parts < 1:
        raise SetupError(
            f'--set optim_wrapper.accumulative_counts: it takes a whole number of at least 1, got {parts!r}'
        )
    if plan['ranks'] * parts == 1:
        return
    step = config.train_dataloader.batch_size * plan['ranks'] * parts
    if step > images:
        raise SetupError(
            f'--set optim_wrapper.accumulative_counts={parts} makes a step of {step:,} images, and there are {images:,}'
        )
    config.train_dataloader.sampler.step = step


def _start_from(plan: Plan, entries: dict[str, Any], weights: str | None) -> None:
    """Start the backbone from weights, and its teacher with it; only the heads learn at first."""
    assert plan.weights is not None
    entries['model']['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=weights, prefix='backbone.')
    if plan.weights.normalization:
        entries['data_preprocessor'].update(plan.weights.normalization)
    options = entries['optim_wrapper'].setdefault('paramwise_cfg', {})
    options['backbone_lr_mult'] = plan['backbone_lr_mult']
    entries['custom_hooks'] += [
        dict(type='lewel_plugins.StrictPretrainedHook'),
        dict(type='lewel_plugins.FrozenBackboneHook', iters=plan['frozen_steps'] * plan['accumulation']),
    ]


def _model(plan: Plan, model: dict[str, Any]) -> dict[str, Any]:
    """Return the model of a method with the backbone of the plan, and heads that fit it."""
    result = Config(dict(model=model))
    backbone = _backbone_config(plan, model['backbone'])
    options: dict[str, Any] = {'backbone': dict(_delete_=True, **backbone), 'neck.in_channels': plan.backbone.channels}
    if plan.backbone.channels <= NARROW:
        options.update(plan.method.narrow)
    if not plan.backbone.has_map:
        options.update(plan.method.vector or {})
    if 'queue_len' in plan.settings:
        options['queue_len'] = plan['queue_len']
    if 'num_groups' in plan.settings:
        options.update({'head.num_groups': plan['num_groups'], 'head.end_beta': plan['end_beta']})
    if 'momentum' in plan.settings:
        options[plan.method.momentum_key] = plan['momentum']
    if 'teacher_norm' in plan.settings:
        options['teacher_norm'] = plan['teacher_norm']
    result.merge_from_dict({f'model.{name}': value for name, value in options.items()})
    return result.model.to_dict()


def _backbone_config(plan: Plan, recipe: dict[str, Any]) -> dict[str, Any]:
    if plan.weights is not None and plan.weights.settings is not None:
        return dict(plan.weights.settings)
    backbone = plan.backbone
    config = dict(backbone.small_stem if plan['stem'] == SMALL and backbone.small_stem else backbone.config)
    if not backbone.has_map:
        config['img_size'] = plan['image_size']
    deep = config.get('depth', 0) >= 50
    if deep and 'zero_init_residual' in recipe:
        config['zero_init_residual'] = recipe['zero_init_residual']
    return config


def _views(plan: Plan, views: list[Any]) -> list[dict[str, Any]]:
    """Return one scheme per view: those of the method in turn, at the size of the plan."""
    size = plan['image_size']
    schemes = [dict(views[i % len(views)], size=size) for i in range(plan.method.num_views)]
    if size <= SMALL_STEM_UP_TO:  # no blur, as is usual for images this small
        schemes = [{name: value for name, value in scheme.items() if name != 'blur'} for scheme in schemes]
    return schemes


def _custom_hooks(plan: Plan, hooks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    hooks = copy.deepcopy(hooks)
    for hook in hooks:
        if hook['type'].endswith('SMoGResetHook'):
            hook['interval'] = plan['reset_interval']
    return hooks


def _optim_wrapper(plan: Plan, wrapper: dict[str, Any]) -> dict[str, Any]:
    method = plan.method
    if method.optimizer == 'sgd':
        optimizer = dict(type='SGD', lr=plan['lr'], momentum=0.9, weight_decay=method.weight_decay)
        result = dict(wrapper, optimizer=optimizer)
    elif method.optimizer == 'adamw':
        result = dict(wrapper, optimizer=dict(type='AdamW', lr=plan['lr'], weight_decay=method.weight_decay))
    else:
        optimizer = dict(type='lewel_plugins.LARS', lr=plan['lr'], momentum=0.9, weight_decay=method.weight_decay)
        paramwise: dict[str, Any] = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False)
        if 'barlowtwins' in method.name:
            downsample = {'downsample.1': dict(lr_mult=0.024)} if plan['backbone'].startswith('resnet') else {}
            paramwise['custom_keys'] = {**_BARLOW_TWINS_KEYS, **downsample}
        result = dict(wrapper, optimizer=optimizer, paramwise_cfg=paramwise)
    if plan['precision'] == 'float16':
        result.update(dtype='float16', loss_scale='dynamic')
    elif plan['precision'] == 'float32':
        result = {name: value for name, value in result.items() if name not in ('dtype', 'loss_scale')}
        result['type'] = 'OptimWrapper'
    if plan['accumulation'] > 1:
        result['accumulative_counts'] = plan['accumulation']
    return result


def _schedulers(plan: Plan) -> list[dict[str, Any]]:
    epochs, warm_up = plan['epochs'], plan['warm_up']
    schedulers = []
    if warm_up:
        schedulers.append(
            dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=warm_up, convert_to_iter_based=True)
        )
    cosine = dict(
        type='CosineAnnealingLR',
        T_max=epochs - warm_up,
        by_epoch=True,
        begin=warm_up,
        end=epochs,
        convert_to_iter_based=True,
    )
    if 'barlowtwins' in plan.method.name:
        cosine['eta_min_ratio'] = 1e-3
    return [*schedulers, cosine]
