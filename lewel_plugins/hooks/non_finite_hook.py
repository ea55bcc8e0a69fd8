from collections.abc import Iterator
from math import isfinite

import torch
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint
from torch import Tensor

from lewel_plugins.registry import HOOKS


def _tensors(state: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        if state.is_floating_point() and state.numel():
            yield name, state
    elif isinstance(state, (dict, list, tuple)):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        for key, value in items:
            yield from _tensors(value, f'{name}.{key}')


def non_finite_names(state: dict) -> list[str]:
    """Dotted names of the floating tensors in nested dicts and lists that hold a NaN or an infinity."""
    found = list(_tensors(state, ''))
    if not found:
        return []
    # The largest magnitude: NaN or infinite exactly where an entry is, and it cannot overflow as a sum can.
    norms = torch._foreach_norm([tensor.detach() for _, tensor in found], ord=float('inf'))
    bad = ~torch.stack([norm.float() for norm in norms]).isfinite()
    if not bad.any():
        return []
    return [name.lstrip('.') for (name, _), is_bad in zip(found, bad.tolist()) if is_bad]


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop at a NaN or infinite loss, and never write a checkpoint that holds one.

    After every iteration it reads the losses that mmengine has already brought to the host: no synchronisation of
    its own. The rank that sees a bad loss raises before anything is saved, which has the launcher stop the others.
    A checkpoint is checked by the rank that writes it, without collectives, and is written only if all floating
    parameters, buffers and optimizer state are finite.

    Raises:
        FloatingPointError: With the iteration, losses or tensors, the learning rate and the last good checkpoint.
    """

    priority = 'HIGH'  # after RuntimeInfoHook has filled the message hub, before monitors and checkpoints

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Check this iteration's losses."""
        losses = {name: self._last(runner, name) for name in outputs or {} if 'loss' in name}
        if all(isfinite(value) for value in losses.values()):
            return
        terms = ', '.join(f'{name} = {value:.6g}' for name, value in losses.items())
        self._stop(runner, f'the loss is not finite at iteration {runner.iter + 1}: {terms}')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check what is about to be written; called on the writing rank only."""
        parts = {name: checkpoint[name] for name in ('state_dict', 'optimizer') if name in checkpoint}
        names = non_finite_names(parts)
        if names:
            shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
            self._stop(
                runner, f'no checkpoint is written at iteration {runner.iter + 1}: NaN or infinite entries in {shown}'
            )

    @staticmethod
    def _last(runner, name: str) -> float:
        return float(runner.message_hub.get_scalar(f'train/{name}').current())

    def _stop(self, runner, what: str) -> None:
        rates = ', '.join(f'{name} = {value[0]:.6g}' for name, value in runner.optim_wrapper.get_lr().items())
        good = find_latest_checkpoint(runner.work_dir)
        kept = f'The last good checkpoint is {good}.' if good else 'No checkpoint has been written yet.'
        raise FloatingPointError(
            f'{what} (rank {runner.rank}; {rates}). {kept} Try a lower learning rate, a longer warm-up or gradient '
            'clipping; with fp16, bfloat16.'
        )
