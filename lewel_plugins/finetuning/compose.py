"""A plan of a fine-tuning as a config that the stock Runner trains, composed of the recipes' parts."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.planning.compose import configs_folder
from lewel_plugins.planning.settings import Settings

from .detector import detector_data, detector_model
from .networks import Network, find_network
from .segmenter import segmenter_data, segmenter_model
from .written import WrittenLabels

_HOOKS: dict[str, dict[str, Any]] = dict(
    checkpoint=dict(type='lewel_plugins.AtomicCheckpointHook', max_keep_ckpts=1),
    sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
    non_finite=dict(type='lewel_plugins.NonFiniteHook'),
    preemption=dict(type='lewel_plugins.PreemptionHook'),
    broken_images=dict(type='lewel_plugins.BrokenImageHook', max_share=0.01),
)


def compose(task: str, resolved: Settings, labels: WrittenLabels, start: str | None, seed: int = 0) -> Config:
    """Return the whole config of a fine-tuning, without bases.

    Args:
        task: ``detector`` or ``segmenter``.
        resolved: The plan.
        labels: Where the labels are.
        start: File with the tensors of the backbone; None for random weights.
        seed: Seed of the run.
    """
    benchmarks = configs_folder() / 'benchmarks'
    is_detector = task == 'detector'
    network = find_network(task, resolved['backbone'], resolved['stem'])
    base = benchmarks / ('mmdetection' if is_detector else 'mmsegmentation') / '_base_'
    entries = _read(base / ('detection_runtime.py' if is_detector else 'segmentation_runtime.py'))
    model, data = (detector_model, detector_data) if is_detector else (segmenter_model, segmenter_data)
    entries['model'] = model(_read(base / ('mask-rcnn_r50_fpn_moco.py' if is_detector else 'fcn_r50-d8.py'))['model'],
                             resolved, network, labels.classes)  # fmt: skip
    _set_start(entries, start, network)
    entries.update(data(resolved, labels))
    entries.update(_schedule(task, resolved))
    entries['default_hooks'] = {**entries['default_hooks'], **_HOOKS}
    entries['default_hooks']['checkpoint'] = dict(_HOOKS['checkpoint'], interval=resolved['checkpoint_epochs'])
    entries['default_hooks']['logger'] = dict(type='LoggerHook', interval=10, log_metric_by_epoch=False)
    entries['default_hooks'].pop('visualization')
    entries['log_processor'] = dict(type='LogProcessor', window_size=50, by_epoch=True)
    entries['train_cfg'] = dict(
        type='EpochBasedTrainLoop', max_epochs=resolved['epochs'], val_interval=resolved['checkpoint_epochs']
    )
    entries['auto_scale_lr'] = dict(base_batch_size=resolved['batch_size'])
    entries['randomness'] = dict(seed=seed)
    if resolved['ranks'] > 1:
        entries['sync_bn'] = 'torch'
    return Config(entries)


def _read(file: Path) -> dict[str, Any]:
    return Config.fromfile(file).to_dict()


def _set_start(entries: dict[str, Any], start: str | None, network: Network) -> None:
    """Set what the backbone starts from, as :func:`lewel_plugins.running.transfer.set_checkpoint` does."""
    init = None if start is None else dict(type='Pretrained', checkpoint=start, prefix='backbone.')
    entries['model']['backbone']['init_cfg'] = init
    strict: dict[str, Any] = dict(type='lewel_plugins.StrictPretrainedHook', priority='VERY_HIGH')
    if start is None:
        strict['allow_random'] = True
    if network.new_layers:
        strict['new_layers'] = list(network.new_layers)
    entries['custom_hooks'] = [strict]


def _schedule(task: str, resolved: Settings) -> dict[str, Any]:
    """Return optimizer, schedule and loops of evaluation."""
    epochs, parts = resolved['epochs'], resolved['accumulation']
    wrapper = _optimizer(task, resolved)
    if parts > 1:
        wrapper['accumulative_counts'] = parts
    if task == 'segmenter':
        ratio = 0.01  # the recipe's 1e-4 over 0.01
        poly = dict(type='PolyLR', eta_min=ratio * resolved['lr'], power=0.9, by_epoch=True, begin=0, end=epochs)
        schedule = [dict(poly, convert_to_iter_based=True)]
    else:
        milestones = sorted({max(1, round(epochs * share)) for share in (2 / 3, 8 / 9)})
        warm_up = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=resolved['warm_up'] * parts)
        steps = dict(type='MultiStepLR', by_epoch=True, begin=0, end=epochs, milestones=milestones, gamma=0.1)
        schedule = [warm_up, steps]
    return dict(
        optim_wrapper=wrapper, param_scheduler=schedule, val_cfg=dict(type='ValLoop'), test_cfg=dict(type='TestLoop')
    )


def _optimizer(task: str, resolved: Settings) -> dict[str, Any]:
    """Return the optimizer of the recipe: ours for ResNets, that of mmdet and mmseg for Swin."""
    lr = resolved['lr']
    if resolved['optimizer'] == 'adamw':
        optimizer = dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=0.05 if task == 'detector' else 0.01)
        keys = {name: dict(decay_mult=0.0) for name in ('absolute_pos_embed', 'relative_position_bias_table', 'norm')}
        return dict(type='OptimWrapper', optimizer=optimizer, paramwise_cfg=dict(custom_keys=keys))
    decay = 1e-4 if task == 'detector' else 5e-4
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=decay))
    return dict(wrapper, paramwise_cfg=dict(norm_decay_mult=0.0)) if task == 'detector' else wrapper
