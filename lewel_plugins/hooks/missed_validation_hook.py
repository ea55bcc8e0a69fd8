from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from lewel_plugins.registry import HOOKS
from lewel_plugins.running.work_dir import has_validation


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Validate once at a resume whose checkpoint is followed by a validation that the run has not logged.

    A checkpoint is written before the validation of its epoch or iteration. mmengine goes on after that validation, so
    that a kill during it would lose it, and with the last one the result of the training.

    ``lewel_plugins.running.setup.build_runner`` adds this hook to every run. The training itself stays the same.
    """

    priority = 'LOWEST'  # after all hooks that prepare for what happens in a validation

    def before_train(self, runner: Runner) -> None:
        """Run the validation if it was missed."""
        if not runner.iter or runner.val_loop is None or not _ends_with_validation(runner.train_loop):
            return
        by_epoch = any(hook.log_metric_by_epoch for hook in runner.hooks if isinstance(hook, LoggerHook))
        # The first rank answers for all, because the others may not see its files.
        is_missed = [not has_validation(runner.work_dir, runner.epoch if by_epoch else runner.iter)]
        broadcast_object_list(is_missed)
        if is_missed[0]:
            runner.logger.info('The validation after this checkpoint is missing, and comes first.')
            runner.val_loop.run()


def _ends_with_validation(loop: BaseLoop) -> bool:
    """Return whether mmengine validates after the last iteration that a loop has done."""
    if isinstance(loop, EpochBasedTrainLoop):
        done, last = loop.epoch, loop.max_epochs
        # Samplers that cannot skip repeat a part of an epoch after a stop, so that the count may be higher.
        if done != last and loop.iter != done * len(loop.dataloader):
            return False
    elif isinstance(loop, IterBasedTrainLoop):
        done, last = loop.iter, loop.max_iters
    else:
        return False
    loop._decide_current_val_interval()
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
