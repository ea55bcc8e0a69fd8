from mmengine.hooks import Hook
from mmengine.runner import Runner

from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class InitialValidationHook(Hook):
    """Validate once before the first iteration, so that the curves of a run show where it started.

    The training itself stays the same. A resumed run has been validated.
    """

    priority = 'HIGH'  # before IterTimerHook, which measures from the start of the epoch

    def before_train_epoch(self, runner: Runner) -> None:
        """Run the validation if nothing has been trained yet."""
        if runner.iter == 0 and runner.val_loop is not None:
            runner.val_loop.run()
