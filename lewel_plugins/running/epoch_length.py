"""Go on from a checkpoint with another number of iterations per epoch, as on other GPUs or with more images."""

import math
import warnings
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from lewel_plugins import dist
from lewel_plugins.errors import SetupError

_SIZE = 'epoch_size'  # key in the checkpoint's meta


def record_epoch_size(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Record the images of the data set, and those per iteration on all ranks, in a checkpoint that is saved."""
    loader: Any = runner.train_dataloader
    if isinstance(runner.train_loop, EpochBasedTrainLoop) and hasattr(loader.sampler, 'skip') and loader.batch_size:
        sizes = dict(images=len(loader.dataset), per_iteration=loader.batch_size * dist.world_size())
        checkpoint['meta'][_SIZE] = sizes


def fit_epoch_length(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Change the position in a checkpoint to the one of a run that had this start's iterations per epoch all along.

    At the end of an epoch, that is the end of the same epoch. Within one, it is the iteration before which the same
    images were seen, if there is one. The schedules of learning rates then have the values of that iteration, with the
    rate and the lengths of this start. With an unchanged number of iterations per epoch, nothing changes.

    Args:
        runner: The Runner, before it has restored anything.
        checkpoint: Training state, which is changed.

    Raises:
        SetupError: The checkpoint is within an epoch, at no iteration of this start.
    """
    loop = runner.train_loop
    known = checkpoint.get('message_hub', {}).get('runtime_info', {})
    if not isinstance(loop, EpochBasedTrainLoop) or not known.get('max_epochs') or not known.get('max_iters'):
        return
    meta = checkpoint['meta']
    before, now = known['max_iters'] // known['max_epochs'], len(loop.dataloader)
    done = meta['iter'] - meta['epoch'] * before
    can_skip = hasattr(loop.dataloader.sampler, 'skip')
    if before == now and (0 <= done <= before or not can_skip):
        return
    if not can_skip or not 0 < done <= before:  # other samplers start the epoch anew, at any number of iterations
        done = 0
    elif done == before:
        done = now
    else:
        done = _converted(runner, meta, done, before)
    iteration = meta['epoch'] * now + done
    runner.logger.info(
        f'The checkpoint has {before} iterations per epoch, this start has {now}: it goes on in epoch '
        f'{meta["epoch"] + 1} with iteration {iteration + 1} instead of {meta["iter"] + 1}.'
    )
    meta['iter'] = iteration
    _replay_schedules(runner, checkpoint, meta['epoch'], now)


def warn_of_ended_schedules(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Warn if this start trains for longer than the run has planned, with schedules that end where it was to end.

    They are restored with their ends, and leave rates at the last value from there on.

    Args:
        runner: The Runner.
        checkpoint: Training state, after :func:`fit_epoch_length`.
    """
    known = checkpoint.get('message_hub', {}).get('runtime_info', {})
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    planned = known.get('max_epochs' if by_epoch else 'max_iters')
    length = runner.max_epochs if by_epoch else runner.max_iters
    states = checkpoint.get('param_schedulers')
    if not planned or not length or length <= planned or not isinstance(states, list) or not states:
        return
    per_epoch = len(runner.train_loop.dataloader) if by_epoch else 1
    ends = [state.get('end', math.inf) / (1 if state.get('by_epoch', True) else per_epoch) for state in states]
    if max(ends) <= planned:
        name = 'epoch' if by_epoch else 'iteration'
        runner.logger.warning(
            f'The schedules of the checkpoint end after {name} {max(ends):g}, and this start goes on to {length}: '
            'learning rates stay at their last values; for a schedule of this length, start anew.'
        )


def _converted(runner: Runner, meta: dict[str, Any], done: int, before: int) -> int:
    """Return the iterations of this start that have seen the images of ``done`` iterations of the checkpoint."""
    loader: Any = runner.train_dataloader
    size = meta.get(_SIZE, {})
    images, per_iteration = done * size.get('per_iteration', 0), loader.batch_size * dist.world_size()
    converted, rest = divmod(images, per_iteration)
    accumulated = converted % getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    if not images or size['images'] != len(loader.dataset) or rest or accumulated:
        raise SetupError(
            f'the checkpoint has {before} iterations per epoch, this start has {len(loader)}: the checkpoint is within '
            f'an epoch, after {done} iterations, which are no whole number of steps of this start on the same images; '
            'start with as many images and images per step as before, or resume from a checkpoint at the end of an '
            'epoch'
        )
    return converted


def _replay_schedules(runner: Runner, checkpoint: dict[str, Any], epochs: int, length: int) -> None:
    """Replace the states of schedules by those of this start's own, stepped to the checkpoint's new position.

    mmengine restores a schedule with the end that it had in iterations, which another length of epochs would not reach,
    or would pass.
    """
    schedulers: Any = runner.param_schedulers
    # A schedule that follows the metrics of validations keeps its state.
    if not isinstance(schedulers, list) or any(getattr(schedule, 'need_val_args', False) for schedule in schedulers):
        return

    def step(by_epoch: bool) -> None:
        for schedule in schedulers:
            if schedule.by_epoch == by_epoch:
                schedule.step()

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about steps of schedules before one of the optimizer
        for iteration in range(1, checkpoint['meta']['iter'] + 1):
            step(by_epoch=False)
            if iteration % length == 0 and iteration <= epochs * length:
                step(by_epoch=True)
    checkpoint['param_schedulers'] = [schedule.state_dict() for schedule in schedulers]
    _copy_values(runner, checkpoint['optimizer'], schedulers)


def _copy_values(runner: Runner, optimizer: dict[str, Any], schedulers: list[_ParamScheduler]) -> None:
    """Set the scheduled values in the state of an optimizer to those that its groups have now."""
    saved = optimizer['param_groups']
    if 'base_param_settings' in optimizer:  # the group whose rate mmengine logs, if there are several
        saved = [*saved, optimizer['base_param_settings']]
    for schedule in schedulers:
        for name in (schedule.param_name, f'initial_{schedule.param_name}'):
            for group, current in zip(saved, runner.optim_wrapper.param_groups):
                group[name] = current[name]
