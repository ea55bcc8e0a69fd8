import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from lewel_plugins.registry import HOOKS
from lewel_plugins.running.epoch_length import fit_epoch_length, record_epoch_size, warn_of_ended_schedules
from lewel_plugins.seeding import derive_seed, seed_shared_generator


@HOOKS.register_module()
class ReproducibilityHook(Hook):
    """Make randomness a function of (run seed, iteration, rank), and continue a resumed epoch where it stopped.

    On a resume, mmengine restores the iteration, the optimizer and the schedules, but neither the random number
    generators nor the position inside an epoch. With this hook neither has to be stored: it seeds the generators
    before each iteration, and has the sampler, which is a function of (seed, epoch), skip the samples that were
    consumed. Neither validations nor the number of data workers change the result. The hook replaces mmengine's
    ``DistSamplerSeedHook``. A run that goes on with another number of iterations per epoch keeps to whole epochs, see
    :func:`lewel_plugins.running.epoch_length.fit_epoch_length`.

    Before training it also checks that all ranks get batches of the same sizes, see :func:`check_even_batches`.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Drop the empty state of a disabled loss scaler (bfloat16), which an enabled one (float16) would reject.

        In a resume, also fit the position to this start's iterations per epoch.

        Raises:
            SetupError: The checkpoint is within an epoch, at no iteration of this start.
        """
        optimizer = checkpoint.get('optimizer', {})
        if optimizer.get('loss_scaler') == {}:
            del optimizer['loss_scaler']
        if getattr(runner, '_resume', False):
            fit_epoch_length(runner, checkpoint)
            warn_of_ended_schedules(runner, checkpoint)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Record the images of an epoch and of an iteration, for a resume with other ones."""
        record_epoch_size(runner, checkpoint)

    def before_train(self, runner) -> None:
        """Check the batches of the ranks, and move Adam's step counts back to the CPU, where torch creates them.

        A resume has put them on the device, where each step would wait for the device once per parameter.

        Raises:
            ValueError: On every rank, if the ranks get batches of different sizes.
        """
        check_even_batches(runner.train_dataloader)
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


def check_even_batches(dataloader: DataLoader) -> None:
    """Check that all ranks get the same numbers of images in an epoch, from the sizes that their loaders state.

    The losses gather embeddings, and collectives of different sizes wait forever or return nonsense. ``SeededSampler``
    and mmengine's ``DefaultSampler`` repeat images so that all ranks get equally many; other samplers, such as
    ``DefaultSampler(round_up=False)``, may not. One exchange before training replaces one in each step.

    Args:
        dataloader: The training loader of this rank. A sampler without a length is taken to be endless.

    Raises:
        ValueError: On every rank, if the numbers differ.
    """
    if get_world_size() == 1:
        return
    sampler: Any = dataloader.sampler
    images = len(sampler) if hasattr(sampler, '__len__') else 0
    per_batch = dataloader.batch_size or 0  # None with a batch sampler of the user's own
    last = 0 if dataloader.drop_last or not per_batch else images % per_batch
    sizes = all_gather_object((images // per_batch if per_batch else images, per_batch, last))
    if len(set(sizes)) > 1:
        ranks = ', '.join(f'rank {i}: {full} x {size} + {rest}' for i, (full, size, rest) in enumerate(sizes))
        raise ValueError(
            f'all ranks need batches of the same sizes, but the train_dataloader gives, per epoch, {ranks} images: use '
            'lewel_plugins.SeededSampler, or a sampler that repeats images until all ranks have equally many'
        )
