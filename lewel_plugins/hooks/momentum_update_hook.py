import torch
from mmengine.hooks import Hook

from lewel_plugins.dist import unwrap_model
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class MomentumUpdateHook(Hook):
    """Call the model once per optimizer step, by a post-step hook on the optimizer itself, to update its teacher.

    With gradient accumulation the optimizer steps once for several iterations, and a gradient scaler skips the
    steps of overflows: the teacher follows the optimizer, not the iterations. It does nothing for models
    without ``after_optimizer_step``, as those of mmpretrain are.
    """

    def before_train(self, runner) -> None:
        """Prepare the model, and register its update with the optimizer."""
        model = unwrap_model(runner.model)
        if not hasattr(model, 'after_optimizer_step'):
            return
        model.before_training()

        @torch.compiler.disable  # it would be compiled anew for every number of an iteration
        def update(*_) -> None:
            model.after_optimizer_step((runner.iter + 1) / runner.max_iters)

        self._handle = runner.optim_wrapper.optimizer.register_step_post_hook(update)

    def after_train(self, runner) -> None:
        """Remove the update from the optimizer, so that a second ``train`` does not double it."""
        if hasattr(self, '_handle'):
            self._handle.remove()
