import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class MomentumUpdateHook(Hook):
    """Update the teacher once per optimizer step, by a post-step hook on the optimizer itself.

    With gradient accumulation the optimizer steps once for several iterations, and a gradient scaler skips the
    steps of overflows: the teacher follows the optimizer, not the iterations. Models without ``momentum_update``
    (mmpretrain's own) are left alone.
    """

    def before_train(self, runner) -> None:
        """Have the model prepare, and hook its update onto the optimizer."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'momentum_update'):
            return
        model.start_training()

        @torch.compiler.disable  # it would be compiled anew for every number of an iteration
        def update(*_) -> None:
            model.momentum_update((runner.iter + 1) / runner.max_iters)

        self._handle = runner.optim_wrapper.optimizer.register_step_post_hook(update)

    def after_train(self, runner) -> None:
        """Take the update off the optimizer, so that a second ``train`` does not double it."""
        if hasattr(self, '_handle'):
            self._handle.remove()
