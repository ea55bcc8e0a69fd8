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
    """Make randomness a function of (run seed, iteration, rank), and a resumed epoch start where it was left.

    mmengine restores iteration, optimizer and schedules on a resume, but neither the random number generators nor
    the position inside an epoch. Here neither has to be stored: the generators are seeded anew before every
    iteration, and the sampler, which is a function of (seed, epoch), skips what was consumed. Validation in between
    and the number of data workers change nothing. Takes the place of mmengine's ``DistSamplerSeedHook``.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Drop the state of a loss scaler that was off, as with bfloat16: one that is on, for float16, refuses it."""
        optimizer = checkpoint.get('optimizer', {})
        if optimizer.get('loss_scaler') == {}:
            del optimizer['loss_scaler']

    def before_train(self, runner) -> None:
        """Take Adam's step counts back to the CPU, where torch made them, after a resume that read them to the device.

        On the device every parameter's count would be waited for in every step.
        """
        optimizer = runner.optim_wrapper.optimizer
        if any(group.get('fused') or group.get('capturable') for group in optimizer.param_groups):
            return
        for state in optimizer.state.values():
            if isinstance(state.get('step'), torch.Tensor):
                state['step'] = state['step'].cpu()

    def before_train_epoch(self, runner) -> None:
        """Set the sampler's seed and epoch; after a resume inside an epoch, skip its first part."""
        dataloader = runner.train_dataloader
        sampler = dataloader.sampler
        if not hasattr(sampler, 'skip'):  # not a SeededSampler
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(runner.epoch)
            return
        sampler.seed = runner.seed
        sampler.set_epoch(runner.epoch)
        if isinstance(runner.train_loop, IterBasedTrainLoop):  # it skips by itself, in the classic line by loading
            return
        done = runner.iter - runner.epoch * len(dataloader)
        if done:
            runner.logger.info(f'Epoch {runner.epoch + 1} goes on after its first {done} iterations.')
            sampler.skip(min(done * dataloader.batch_size, len(sampler)))  # an epoch's last batch may be smaller

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed Python's, NumPy's and torch's generators for this iteration and rank, the shared one for all ranks."""
        seed = derive_seed(runner.seed, runner.iter, get_rank())
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        seed_shared_generator(derive_seed(runner.seed, runner.iter))
