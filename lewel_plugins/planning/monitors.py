"""What a training is watched by: validations without labels, k-NN and a linear probe with them, retrieval of views."""

from typing import TYPE_CHECKING, Any

from .plan import SMALL_STEM_UP_TO, Plan

if TYPE_CHECKING:
    from .compose import Images

WORKERS = 2  # per data loader
BATCH = 64
NEIGHBORS = 20


def add_monitors(plan: Plan, entries: dict[str, Any], images: 'Images', pipeline: list[dict[str, Any]]) -> None:
    """Add validations, and the hooks that measure in them, to the entries of a config.

    Args:
        plan: The plan.
        entries: Entries of the config, which are changed.
        images: The images of the run.
        pipeline: Pipeline of the training.
    """
    test = _test_pipeline(plan['image_size'])
    queries = images.queries or images.held_out or images.monitored
    assert queries is not None
    evaluator: list[dict[str, Any]] = [dict(type='lewel_plugins.RepresentationMetric')]
    loop: dict[str, Any] = dict(type='lewel_plugins.FeatureValLoop')
    if images.bank is not None:
        evaluator.append(dict(type='lewel_plugins.KNNMetric', k=[NEIGHBORS]))
        loop['bank_dataloader'] = _loader(plan, _watched(images.bank, test))
    entries.update(
        val_dataloader=_loader(plan, _watched(queries, test)),
        val_evaluator=evaluator,
        val_cfg=loop,
    )
    entries['train_cfg']['val_interval'] = plan['monitor_epochs']
    parts = dict(train=images.monitored, held_out=images.held_out)
    views = {name: _views_loader(plan, _watched(part, pipeline)) for name, part in parts.items() if part}
    if images.bank is not None:
        entries['custom_hooks'].append(dict(type='lewel_plugins.PixelBaselineHook'))
    entries['custom_hooks'] += [
        dict(type='lewel_plugins.InitialValidationHook'),
        dict(type='lewel_plugins.ViewRetrievalHook', dataloaders=views),
    ]
    iterations = (plan['images'] - plan['holdout']) // plan['batch_size'] * plan['accumulation']
    for name in ('monitor', 'logger'):  # an epoch may be shorter than the usual 50 iterations
        entries['default_hooks'][name]['interval'] = max(1, min(50, iterations))
    if images.bank is not None:
        # The probe reads the labels from the list: on the way from the workers they would cost time.
        entries['train_dataloader']['dataset']['labels'] = False
        probe = dict(num_classes=images.num_classes, interval=max(1, min(50, iterations)))
        entries['custom_hooks'].append(dict(type='lewel_plugins.OnlineProbeHook', **probe))
    entries['default_hooks'].update(
        progress=dict(type='lewel_plugins.ProgressHook'),
        broken_images=dict(entries['default_hooks']['broken_images'], file='broken_in_training.txt'),
    )


def _test_pipeline(size: int) -> list[dict[str, Any]]:
    edge = size if size <= SMALL_STEM_UP_TO else round(size * 8 / 7)
    return [
        dict(type='lewel_plugins.LoadRGB', may_halve=True),
        dict(type='ResizeEdge', scale=edge, edge='short', backend='cv2'),
        dict(type='CenterCrop', crop_size=size),
        dict(type='PackInputs'),
    ]


def _loader(plan: Plan, dataset: dict[str, Any]) -> dict[str, Any]:
    workers = min(WORKERS, plan['workers'])
    return dict(
        batch_size=BATCH,
        num_workers=workers,
        persistent_workers=False,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset,
    )


def _watched(dataset: dict[str, Any], pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a data set in which a broken image does not end the validation."""
    return dict(type='lewel_plugins.PretrainDataset', dataset=dict(dataset, pipeline=pipeline))


def _views_loader(plan: Plan, dataset: dict[str, Any]) -> dict[str, Any]:
    return dict(_loader(plan, dataset), sampler=dict(type='lewel_plugins.SeededSampler'))
