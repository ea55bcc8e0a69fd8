from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lewel_plugins.datasets import ContinuousLoader, SeededSampler
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class ContinuousLoaderHook(Hook):
    """Has the workers go on with the next epoch at the end of one, see :class:`ContinuousLoader`.

    This is worth it for epochs of few steps. Images, views and their order stay the same. A training with another
    sampler than ``SeededSampler``, or without epochs, keeps its loader.
    """

    priority = 'VERY_HIGH'  # before hooks that iterate over the loader

    def before_train(self, runner: Runner) -> None:
        """Replace the loader of the training loop."""
        loop = runner.train_loop
        sampler = loop.dataloader.sampler
        if isinstance(loop, EpochBasedTrainLoop) and isinstance(sampler, SeededSampler) and not sampler.infinite:
            loop.dataloader = ContinuousLoader(loop.dataloader, loop.max_epochs)
