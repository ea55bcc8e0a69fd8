import torch
from mmengine.hooks import Hook

from lewel_plugins.dist import unwrap_model
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class MomentumUpdateHook(Hook):
    """Call the model after every optimizer step, by a hook on the optimizer itself, to update its teacher.

    So the teacher follows the optimizer, not the iterations: with gradient accumulation the optimizer steps once in
    several iterations, and a gradient scaler skips steps that overflow. A fused optimizer is called for such a step as
    well, and skips it by itself. The hook does nothing for models without ``after_optimizer_step``, such as those of
    mmpretrain.
    """

    def before_train(self, runner) -> None:
        """Prepare the model, and register its update with the optimizer."""
        self.after_train(runner)  # an interrupted `train` has not removed it
        model = unwrap_model(runner.model)
        if not hasattr(model, 'after_optimizer_step'):
            return
        model.before_training()

        @torch.compiler.disable  # it would be recompiled in every iteration
        def update(optimizer: torch.optim.Optimizer, *_) -> None:
            overflow = getattr(optimizer, 'found_inf', None)  # a tensor, which the scaler sets for a fused optimizer
            if overflow is not None and overflow.item():
                return
            model.after_optimizer_step((runner.iter + 1) / runner.max_iters)

        self._handle = runner.optim_wrapper.optimizer.register_step_post_hook(update)

    def after_train(self, runner) -> None:
        """Remove the update from the optimizer, so that a second ``train`` does not double it."""
        if hasattr(self, '_handle'):
            self._handle.remove()
