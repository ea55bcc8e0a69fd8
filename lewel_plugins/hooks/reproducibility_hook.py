import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from lewel_plugins.registry import HOOKS
from lewel_plugins.seeding import derive_seed, seed_shared_generator


@HOOKS.register_module()
class ReproducibilityHook(Hook):
    """Make randomness a function of (run seed, iteration, rank), and continue a resumed epoch where it stopped.

    On a resume, mmengine restores the iteration, the optimizer and the schedules, but neither the random number
    generators nor the position inside an epoch. With this hook neither has to be stored: it seeds the generators
    before each iteration, and has the sampler, which is a function of (seed, epoch), skip the samples that were
    consumed. Neither validations nor the number of data workers change the result. The hook replaces mmengine's
    ``DistSamplerSeedHook``.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Drop the empty state of a disabled loss scaler (bfloat16), which an enabled one (float16) would reject."""
        optimizer = checkpoint.get('optimizer', {})
        if optimizer.get('loss_scaler') == {}:
            del optimizer['loss_scaler']

    def before_train(self, runner) -> None:
        """Move Adam's step counts back to the CPU, where torch creates them, after a resume has put them on the device.

        With counts on the device, each step would wait for the device once per parameter.
        """
        optimizer = runner.optim_wrapper.optimizer
        if any(group.get('fused') or group.get('capturable') for group in optimizer.param_groups):
            return
        for state in optimizer.state.values():
            if isinstance(state.get('step'), torch.Tensor):
                state['step'] = state['step'].cpu()

    def before_train_epoch(self, runner) -> None:
        """Set the seed and the epoch of the sampler; after a resume inside an epoch, skip its first part."""
        dataloader = runner.train_dataloader
        sampler = dataloader.sampler
        if not hasattr(sampler, 'skip'):  # not a SeededSampler
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(runner.epoch)
            return
        sampler.seed = runner.seed
        sampler.set_epoch(runner.epoch)
        # This loop skips the samples by itself; in the classic packages it loads them for that.
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        done = runner.iter - runner.epoch * len(dataloader)
        if done:
            runner.logger.info(f'Epoch {runner.epoch + 1} goes on after its first {done} iterations.')
            sampler.skip(min(done * dataloader.batch_size, len(sampler)))  # an epoch's last batch may be smaller

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed the generators of Python, NumPy and torch per iteration and rank, and the shared one per iteration."""
        seed = derive_seed(runner.seed, runner.iter, get_rank())
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        seed_shared_generator(derive_seed(runner.seed, runner.iter))
