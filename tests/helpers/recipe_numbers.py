"""The numbers of a fine-tuning recipe, read from its config as a row of a table."""

from typing import Any

from mmengine.config import Config


def numbers(cfg: Config) -> dict[str, Any]:
    """Return length, batch (per process, in total), optimizer, multipliers, schedule, and transforms.

    The parts of the schedule omit what is implied: ``begin=0``, and an ``end`` equal to the length of the training.
    """
    unit = 'epochs' if 'max_epochs' in cfg.train_cfg else 'steps'
    length = cfg.train_cfg['max_epochs' if unit == 'epochs' else 'max_iters']
    schedule = []
    for entry in cfg.param_scheduler:
        part = {name: value for name, value in entry.items() if name not in ('_scope_', 'by_epoch')}
        if part.get('begin') == 0:
            del part['begin']
        if part.get('end') == length:
            del part['end']
        part['unit'] = 'epochs' if entry.get('by_epoch', True) else 'steps'
        schedule.append(part)
    wrapper = cfg.optim_wrapper
    row = dict(
        length=(length, unit),
        batch=(cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size),
        wrapper=wrapper.type,
        optimizer=dict(wrapper.optimizer),
        multipliers=dict(wrapper.get('paramwise_cfg') or {}),
        clip=wrapper.get('clip_grad'),
        schedule=schedule,
        train=transforms(cfg.train_dataloader.dataset),
        test=transforms(cfg.val_dataloader.dataset),
    )
    return plain(row)


def transforms(dataset: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the transforms of a pipeline by their types, without those that load and pack."""
    while 'pipeline' not in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    details = ('type', '_scope_', 'backend', 'direction', 'edge', 'keep_ratio')
    return {
        entry['type']: {name: value for name, value in entry.items() if name not in details}
        for entry in dataset['pipeline']
        if not entry['type'].rsplit('.')[-1].startswith(('Load', 'Pack'))
    }


def plain(value: Any) -> Any:
    """Return a value with lists for tuples and dicts for configs, at all depths."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def drops(*milestones: int, gamma: float = 0.1, unit: str = 'epochs') -> dict[str, Any]:
    """Return the schedule of a rate that is multiplied at milestones."""
    return dict(type='MultiStepLR', milestones=list(milestones), gamma=gamma, unit=unit)


def warm_up(steps: int) -> dict[str, Any]:
    """Return the schedule of a rate that rises from a thousandth."""
    return dict(type='LinearLR', start_factor=0.001, end=steps, unit='steps')
