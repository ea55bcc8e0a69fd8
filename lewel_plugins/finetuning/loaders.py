"""Data loaders that detectors and segmenters share."""

from typing import Any

from lewel_plugins.planning.settings import Settings


def loaders(resolved: Settings, train: dict[str, Any], val: dict[str, Any], val_batch: int) -> dict[str, Any]:
    """Return the loaders of a config.

    The order of the images and what becomes of them are a function of seed and epoch, as in a pretraining, so that a
    resumed run goes on with the same batches.

    Args:
        resolved: The plan.
        train: Config of the dataset to train on.
        val: Config of the dataset to measure on.
        val_batch: Images per batch of the measurement.
    """
    common = dict(
        num_workers=resolved['workers'],
        persistent_workers=resolved['workers'] > 0,
        collate_fn=dict(type='pseudo_collate'),
    )
    sampler: dict[str, Any] = dict(type='lewel_plugins.SeededSampler')
    if resolved['accumulation'] > 1:  # a checkpoint holds no gradients of an unfinished step
        sampler['step'] = resolved['batch_size']
    train_loader = dict(
        common,
        batch_size=resolved['batch_size'] // resolved['ranks'] // resolved['accumulation'],
        sampler=sampler,
        dataset=dict(type='lewel_plugins.PretrainDataset', dataset=train),
    )
    val_loader = dict(common, batch_size=val_batch, sampler=dict(type='DefaultSampler', shuffle=False), dataset=val)
    return dict(train_dataloader=train_loader, val_dataloader=val_loader, test_dataloader=val_loader)
