"""One training step of a config on a fake GPU, and what it needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, DefaultScope
from torch import Tensor

from lewel_plugins.checkpoints import check_settings
from lewel_plugins.errors import SetupError
from lewel_plugins.hooks import MomentumUpdateHook, RegularizerHook, SMoGResetHook
from lewel_plugins.models.batch_norm import use_sync_batch_norm
from lewel_plugins.running.group_scaling import iterations_per_step
from lewel_plugins.running.num_views import check_num_views
from lewel_plugins.seeding import seeded

from .batches import BatchMaker
from .counters import Counters
from .engine import GraphRoot, backward
from .errors import StepError
from .fake_gpu import FakeGPU, move_to_gpu, without_initialization
from .mmcv_ops import mmcv_replacements
from .replacing import replaced
from .transfer_batches import DetectorBatches, SegmenterBatches

_MAKERS: dict[str, Any] = dict(mmdet=DetectorBatches, mmseg=SegmenterBatches)
_VALUES = 'the sizes of tensors in a detector depend on values that a dry run does not have, so this may be its limit'


@dataclass(frozen=True)
class StepRecord:
    """A training step of one rank.

    Attributes:
        world_size: Number of ranks.
        batch: Images per rank.
        views: Side of each view.
        precision: Dtype of mixed precision, or ``float32``.
        trainable: Number of trainable parameters.
        trainable_bytes: Their bytes, which are those of their gradients.
        unused: Names of trainable parameters that got no gradient.
        low_precision_losses: Losses that are not in float32.
        counters: Operations, waits and collectives.
        weights: Bytes of parameters and buffers.
        optimizer_state: Bytes of the optimizer's state.
        activations: Bytes that the forward pass keeps for the backward pass, inputs included.
        peak: Largest number of bytes that are alive at a time.
    """

    world_size: int
    batch: int
    views: list[int]
    precision: str
    trainable: int
    trainable_bytes: int
    unused: list[str]
    low_precision_losses: list[str]
    counters: Counters
    weights: int
    optimizer_state: int
    activations: int
    peak: int


class DryRun:
    """A model and its optimizer on a fake GPU, built from a config as the Runner builds them for training.

    The hooks that act in every step are part of the step: the update of the teacher, SMoG's cache, and regularizers.
    Hooks that act from time to time, such as the monitor, are not; neither is the reading of losses for the log.

    Args:
        cfg: The config, which is copied.
        world_size: Number of ranks.

    Raises:
        SetupError: The config is none that can be trained.
        StepError: Building the model or the batch raises an error. Names the line of code.
    """

    def __init__(self, cfg: Config, world_size: int) -> None:
        check_settings(cfg)
        check_num_views(cfg)
        self.cfg, self.world_size = deepcopy(cfg), world_size
        self._scope = cfg.get('default_scope', 'mmpretrain')
        if self._scope == 'mmdet':  # boxes exist, and so does an anchor in an image
            self._gpu = FakeGPU(world_size, mmcv_replacements(), truth=True)
        else:
            self._gpu = FakeGPU(world_size)
        self._is_warm = False
        self._parts = iterations_per_step(self.cfg)
        self._steps = min(self._parts, 2)  # the steps between the first and the last need no more than the last
        self._unused: list[str] = []
        with self._in_scope():
            self._batches = _MAKERS.get(self._scope, BatchMaker)(self.cfg)
            self._build()

    @contextmanager
    def _in_scope(self) -> Iterator[None]:
        """Build and run in the config's scope, and name the line of the step that raises an error."""
        try:
            with DefaultScope.overwrite_default_scope(self._scope):
                yield
        except (SetupError, StepError):
            raise
        except Exception as error:
            raise StepError(error, _VALUES if self._scope == 'mmdet' else '') from error

    def measure(self, batch: int | None = None) -> StepRecord:
        """Run a step and return what it needs.

        With accumulation, it is the last of the steps whose gradients are summed: the gradients so far are alive, and
        the optimizer steps.

        Args:
            batch: Images per rank; by default as in the config.

        Raises:
            StepError: The step raises an error. Names the line of code.
        """
        batch = batch or self.cfg.train_dataloader.batch_size
        if not self._is_warm:
            self._accumulate(batch)
            self._is_warm = True  # the optimizer has stepped, and allocated its state
        records = self._accumulate(batch)
        # At the start of the first, no gradient is alive.
        return replace(records[-1], weights=records[0].weights, peak=max(record.peak for record in records))

    def _accumulate(self, batch: int) -> list[StepRecord]:
        """Run steps until the optimizer has stepped."""
        records = []
        for _ in range(self._steps):
            # What the host draws is the same in every step, such as the order of the color jitter.
            with self._in_scope(), seeded(0), self._gpu.active():
                records.append(self._step(batch))
        return records

    def reached(self) -> dict[str, int]:
        """Return the bytes of the weights, and the peak of the last step, which an error may have cut short."""
        weights = {x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in self.model.state_dict().values()}
        return dict(weights=sum(weights.values()), peak=self._gpu.memory.peak)

    def _build(self) -> None:
        settings = deepcopy(self.cfg.model)
        if self.cfg.get('data_preprocessor'):
            settings.setdefault('data_preprocessor', self.cfg.data_preprocessor)
        with without_initialization():
            self.model = MODELS.build(settings)
        if self.world_size > 1 and self._scope == 'mmpretrain':
            self.model = use_sync_batch_norm(self.model, convert=self.cfg.get('sync_bn') == 'torch')
        with self._gpu.active():
            move_to_gpu(self.model)
            self.model.train()
            settings = deepcopy(self.cfg.optim_wrapper)
            if self._parts > 1:
                settings['accumulative_counts'] = self._steps
            self.optim_wrapper = build_optim_wrapper(self.model, settings)
            optimizer = self.optim_wrapper.optimizer
            for group in optimizer.param_groups:
                if group.get('foreach', True) is None:  # torch chooses it for CUDA tensors, but not for fake ones
                    group['foreach'] = not group.get('fused')
            self._add_hooks()
            optimizer.register_step_pre_hook(self._note_unused)

    def _add_hooks(self) -> None:
        runner = SimpleNamespace(model=self.model, optim_wrapper=self.optim_wrapper, iter=0, max_iters=2)
        for hook in self._hooks():
            if isinstance(hook, (MomentumUpdateHook, RegularizerHook)):
                hook.before_train(runner)
            elif isinstance(hook, SMoGResetHook):
                self.model.has_resets = True
                if hook.cluster:
                    self.model.cache.start(hook.window * self._parts)

    def _hooks(self) -> list[Any]:
        settings = [*(self.cfg.get('default_hooks') or {}).values(), *(self.cfg.get('custom_hooks') or [])]
        names = {hook.__name__ for hook in (MomentumUpdateHook, RegularizerHook, SMoGResetHook)}
        return [HOOKS.build(hook) for hook in settings if hook and hook['type'].split('.')[-1] in names]

    def _note_unused(self, *_: Any) -> None:
        self._unused = [name for name, p in self.model.named_parameters() if p.requires_grad and p.grad is None]

    def _step(self, batch: int) -> StepRecord:
        memory, counters = self._gpu.memory, self._gpu.counters
        counters.clear()
        memory.reset_peak()
        before = memory.live
        data = self._batches.batch(batch)
        with self.optim_wrapper.optim_context(self.model):
            data = self.model.data_preprocessor(data, True)
            losses = self.model(**data, mode='loss')
            low = [name for name, loss in losses.items() if isinstance(loss, Tensor) and loss.dtype != torch.float32]
            loss = self.model.parse_losses(losses)[0]
        root, leaf = GraphRoot.cut(loss)
        del data, losses, loss
        activations = memory.live - before
        self._update(root, leaf)
        optimizer_state = self._optimizer_state()
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        dtype = getattr(self.optim_wrapper, 'cast_dtype', None) or torch.float32
        return StepRecord(
            world_size=self.world_size,
            batch=batch,
            views=self._batches.views(),
            precision=str(dtype).removeprefix('torch.'),
            trainable=sum(p.numel() for p in trainable),
            trainable_bytes=sum(p.numel() * p.element_size() for p in trainable),
            unused=self._unused,
            low_precision_losses=low,
            counters=deepcopy(counters),
            weights=before - optimizer_state,
            optimizer_state=optimizer_state,
            activations=activations,
            peak=memory.peak,
        )

    def _optimizer_state(self) -> int:
        states = self.optim_wrapper.optimizer.state.values()
        tensors = [x for state in states for x in state.values() if isinstance(x, Tensor) and x.is_cuda]
        return sum(x.untyped_storage().nbytes() for x in tensors)

    def _update(self, root: GraphRoot, leaf: Tensor) -> None:
        """Run the optimizer wrapper on a loss that is cut from its graph."""

        def run(loss: Tensor, **_: Any) -> None:
            backward(loss)
            root.backward(leaf.grad)

        with replaced(Tensor, 'backward', run):
            self.optim_wrapper.update_params(leaf)
