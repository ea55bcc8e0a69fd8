"""The numbers of a fine-tuning recipe, read from its config, in the form of a table's row."""

from typing import Any

from mmengine.config import Config


def numbers(cfg: Config) -> dict[str, Any]:
    """Length, batch (a process, all), optimizer, multipliers, schedule, and the transforms of training and test.

    Of the schedule's parts what says nothing is left out: ``begin=0``, and an ``end`` that is the training's.
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
    found = dict(
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
    return plain(found)


def transforms(dataset: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a pipeline's transforms by their types, without those that load and pack."""
    while 'pipeline' not in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    left_out = ('type', '_scope_', 'backend', 'direction', 'edge', 'keep_ratio')
    return {
        entry['type']: {name: value for name, value in entry.items() if name not in left_out}
        for entry in dataset['pipeline']
        if not entry['type'].rsplit('.')[-1].startswith(('Load', 'Pack'))
    }


def plain(value: Any) -> Any:
    """Tuples as lists, and configs as dicts, all the way down."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def drops(*milestones: int, gamma: float = 0.1, unit: str = 'epochs') -> dict[str, Any]:
    """A rate that is multiplied at milestones."""
    return dict(type='MultiStepLR', milestones=list(milestones), gamma=gamma, unit=unit)


def warm_up(steps: int) -> dict[str, Any]:
    """A rate that rises from a thousandth."""
    return dict(type='LinearLR', start_factor=0.001, end=steps, unit='steps')
