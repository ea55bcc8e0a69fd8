from mmengine.hooks import Hook
from mmengine.runner import Runner

from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class FrozenBackboneHook(Hook):
    """Keep the weights of a trained backbone while the heads, which start from random ones, learn to use them.

    In the first steps the backbone's rate is 0. Its batch norms gather statistics of the images meanwhile. The
    optimizer needs groups of the backbone's own, which ``backbone_lr_mult`` of ``TypedOptimWrapperConstructor`` makes.
    The phase is a function of the iteration, so a resumed run goes on exactly.

    Args:
        iters: Iterations in which the backbone is kept.

    Raises:
        ValueError: ``iters`` is negative, or the optimizer has no group of the backbone.
    """

    priority = 'BELOW_NORMAL'  # after RuntimeInfoHook logs the rate, before ParamSchedulerHook sets the next one

    def __init__(self, iters: int) -> None:
        if iters < 0:
            raise ValueError(f'iters must not be negative, got {iters}')
        self.iters = iters
        self._rates: list[float] = []

    def before_train(self, runner: Runner) -> None:
        """Find the groups of the backbone."""
        self._groups = [group for group in runner.optim_wrapper.param_groups if group.get('backbone')]
        if not self._groups:
            raise ValueError(
                'FrozenBackboneHook needs groups of the backbone: set optim_wrapper.paramwise_cfg.backbone_lr_mult'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Set the rate of the backbone to 0 for this iteration."""
        if runner.iter < self.iters:
            self._rates = [group['lr'] for group in self._groups]
            for group in self._groups:
                group['lr'] = 0.0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Restore the rate, from which the schedule computes the next one."""
        for group, rate in zip(self._groups, self._rates):
            group['lr'] = rate
        self._rates = []
