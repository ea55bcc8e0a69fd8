from collections.abc import Iterator
from math import isfinite

import torch
from mmengine.hooks import Hook
from torch import Tensor

from lewel_plugins.registry import HOOKS
from lewel_plugins.running.work_dir import find_last_checkpoint

from .deferred_runtime_info_hook import DeferredRuntimeInfoHook


def _tensors(state: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        if state.is_floating_point() and state.numel():
            yield name, state
    elif isinstance(state, (dict, list, tuple)):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        for key, value in items:
            yield from _tensors(value, f'{name}.{key}')


def non_finite_names(state: dict) -> list[str]:
    """Return the dotted names of the floating-point tensors in nested dicts and lists that hold a NaN or infinity."""
    tensors = list(_tensors(state, ''))
    if not tensors:
        return []
    # The largest magnitude is NaN or infinite exactly if an entry is; unlike a sum, it cannot overflow.
    norms = torch._foreach_norm([tensor.detach() for _, tensor in tensors], ord=float('inf'))
    bad = ~torch.stack([norm.float() for norm in norms]).isfinite()
    if not bad.any():
        return []
    return [name.lstrip('.') for (name, _), is_bad in zip(tensors, bad.tolist()) if is_bad]


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop at a NaN or infinite loss, and never write a checkpoint that holds a NaN or infinity.

    The hook checks the losses in the message hub, so that it adds no synchronization; with a
    :class:`DeferredRuntimeInfoHook` and a GPU, this is some iterations late, but before a checkpoint. The rank with a
    bad loss raises before anything is saved, after which the launcher stops the other ranks; the first rank logs its
    loss before. The rank that writes a checkpoint checks it without collectives, and writes it only if all
    floating-point parameters, buffers and optimizer states are finite.

    Raises:
        FloatingPointError: Names the iteration, the losses or tensors, the learning rate and the last good checkpoint.
    """

    priority = 'HIGH'  # after RuntimeInfoHook, which fills the message hub, and before monitors and checkpoints

    def before_train(self, runner) -> None:
        """Find the hook that reads the losses."""
        self._unchecked = 0  # iterations
        self._readers = [hook for hook in runner.hooks if isinstance(hook, DeferredRuntimeInfoHook)]

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Check the losses that the message hub has of the iterations since the last check."""
        self._unchecked += 1
        if not all(reader.is_up_to_date for reader in self._readers):
            return
        iterations, self._unchecked = self._unchecked, 0
        losses = {name: self._last(runner, name, iterations) for name in outputs or {} if 'loss' in name}
        for step, terms in enumerate(zip(*losses.values()), runner.iter + 2 - iterations):
            if not all(map(isfinite, terms)):
                shown = ', '.join(f'{name} = {value:.6g}' for name, value in zip(losses, terms))
                # The logger comes too late, and a report judges by what was logged.
                runner.visualizer.add_scalars(dict(zip(losses, terms), iter=step), step=step)
                self._stop(runner, f'the loss is not finite at iteration {step}: {shown}')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the checkpoint before it is written; the Runner calls this on the writing rank only."""
        parts = {name: checkpoint[name] for name in ('state_dict', 'optimizer') if name in checkpoint}
        names = non_finite_names(parts)
        if names:
            shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
            self._stop(
                runner,
                f'no checkpoint is written at iteration {runner.iter + 1}: NaN or infinite entries in {shown}',
            )

    @staticmethod
    def _last(runner, name: str, iterations: int) -> list[float]:
        return runner.message_hub.get_scalar(f'train/{name}').data[0][-iterations:].tolist()

    def _stop(self, runner, what: str) -> None:
        rates = ', '.join(f'{name} = {value[0]:.6g}' for name, value in runner.optim_wrapper.get_lr().items())
        good = find_last_checkpoint(runner.work_dir)
        rescue = f'The last good checkpoint is {good}.' if good else 'No checkpoint has been written yet.'
        raise FloatingPointError(
            f'{what} (rank {runner.rank}; {rates}). {rescue} Try a lower learning rate, a longer warm-up or gradient '
            'clipping, and bfloat16 instead of fp16.'
        )
