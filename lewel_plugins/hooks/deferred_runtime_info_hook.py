import torch
from mmengine.hooks import CheckpointHook, LoggerHook, RuntimeInfoHook
from torch import Tensor

from lewel_plugins.registry import HOOKS


def _are_on_gpu(losses: dict[str, Tensor | float]) -> bool:
    return any(isinstance(value, Tensor) and value.device.type != 'cpu' for value in losses.values())


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook``, which reads the losses from a GPU only when they are needed.

    mmengine reads every loss in every iteration, and each read waits until the GPU has finished the step, so that the
    CPU cannot prepare the next one in the meantime. This hook keeps the losses on the GPU and moves them to the message
    hub all at once: in the iterations in which a ``LoggerHook`` prints or a ``CheckpointHook`` saves, and at the end of
    an epoch. The histories in the message hub stay the same.

    Losses on a CPU are read immediately.
    """

    def before_train(self, runner) -> None:
        """Find the intervals at which losses are needed."""
        super().before_train(runner)
        self._losses: list[dict[str, Tensor | float]] = []
        self._log_intervals = {hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)}
        self._save_intervals = {
            hook.interval for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch
        }

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Keep the losses of this iteration, and read those that are kept if they are needed now."""
        if outputs:
            losses = {k: value.detach() if isinstance(value, Tensor) else value for k, value in outputs.items()}
            self._losses.append(losses)
            if not _are_on_gpu(losses) or self._are_needed(runner, batch_idx):
                self.read(runner)

    @property
    def is_up_to_date(self) -> bool:
        """Whether the message hub has the losses of all iterations."""
        return not self._losses

    def _are_needed(self, runner, batch_idx: int) -> bool:
        return (
            any(self.every_n_inner_iters(batch_idx, interval) for interval in self._log_intervals)
            or any(self.every_n_train_iters(runner, interval) for interval in self._save_intervals)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
            # After a resume within an epoch, batch_idx counts from there.
            or self.every_n_train_iters(runner, len(runner.train_dataloader))
            or self.is_last_train_iter(runner)
        )

    def read(self, runner) -> None:
        """Move the losses that are kept to the message hub."""
        losses, self._losses = self._losses, []
        tensors = [value.reshape(1) for step in losses for value in step.values() if isinstance(value, Tensor)]
        values = iter(torch.cat(tensors).tolist() if tensors else ())  # waits for the device once
        for step in losses:
            for name, value in step.items():
                runner.message_hub.update_scalar(f'train/{name}', next(values) if isinstance(value, Tensor) else value)
