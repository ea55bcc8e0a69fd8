"""Trainings of every method by the Runner on the pretended GPU, in bfloat16, on a ResNet-10 of two narrow stages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import apply_to
from mmpretrain.utils import register_all_modules
from torch import Tensor, nn
from yapf.yapflib import yapf_api

from helpers import pretraining, tiny
from helpers.pretended_gpu.gpu import PretendedGPU
from helpers.pretended_gpu.ranks import equal_ranks
from helpers.pretended_gpu.tensor import PretendedTensor
from lewel_plugins.checkpoints import check_weights
from lewel_plugins.dry_run.replacing import replaced
from lewel_plugins.running import setup

METHODS = ('lewel_m', 'lewel_b', 'smog', *pretraining.tiny_mpcl.METHODS, 'msbreg', 'byol', 'byol_multi_crop')
BACKBONE = dict(type='lewel_plugins.ResNet10', base_channels=tiny.WIDTH // 2, strides=(1, 2))


def config(method: str, images: Path, work_dir: Path, number: int = 16, **changes: object) -> Config:
    """Return the config of a training of 12 iterations of 4 images, with a checkpoint after 6.

    Args:
        method: One of METHODS.
        images: Folder of ``pretraining.write_images``.
        work_dir: Folder of the run.
        number: Number of images; 16 are epochs of 4 iterations.
        changes: Entries to change, as in ``Config.merge_from_dict``.
    """
    base = 'lewel_b' if method == 'byol' else method
    cfg = pretraining.config(pretraining.Run(base, views='device', images=number), images, work_dir, None)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'mmengine.Journal']  # reads every loss
    cfg.model.backbone = BACKBONE
    if method == 'byol':
        cfg.model = dict(_byol(), data_preprocessor=cfg.model.data_preprocessor)
    cfg.log_level = 'WARNING'
    cfg.merge_from_dict(changes)
    return cfg


def short_config(method: str, images: Path, work_dir: Path) -> Config:
    """Return the config of a training of two iterations, whose losses nothing reads before the end."""
    cfg = config(method, images, work_dir, number=24)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    cfg.train_dataloader.sampler.infinite = True
    cfg.log_processor.by_epoch = False
    cfg.default_hooks.pop('monitor')
    cfg.default_hooks.checkpoint.update(interval=100, save_last=False)
    cfg.default_hooks.logger.interval = 100
    for hook in cfg.custom_hooks:
        if hook['type'] == 'lewel_plugins.MPCLReweightHook':
            hook.update(interval=100)  # there are no epochs
    return cfg


def _byol() -> dict:
    """Return mmpretrain's BYOL."""

    def mlp(in_channels: int, with_avg_pool: bool) -> dict:
        sizes = dict(in_channels=in_channels, hid_channels=tiny.HIDDEN, out_channels=tiny.EMBEDDING)
        return dict(type='NonLinearNeck', **sizes, with_last_bn=False, with_avg_pool=with_avg_pool)

    head = dict(type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'), predictor=mlp(tiny.EMBEDDING, False))
    return dict(type='BYOL', backbone=BACKBONE, neck=mlp(tiny.WIDTH, True), head=head)


@dataclass
class StepRecord:
    """What happened from one iteration to the next.

    Attributes:
        waits: Waits, as ``kind, file:line``, with their number.
        features: Dtypes of what the online backbone returned.
        low_precision_losses: Losses that are not in float32.
        collectives: Kinds of the transfers, in order.
    """

    waits: dict[str, int] = field(default_factory=dict)
    features: set[torch.dtype] = field(default_factory=set)
    low_precision_losses: list[str] = field(default_factory=list)
    collectives: list[str] = field(default_factory=list)


class StepObserver(Hook):
    """Records each iteration.

    Args:
        gpu: The GPU.
    """

    priority = 'HIGHEST'

    def __init__(self, gpu: PretendedGPU) -> None:
        self.gpu, self.steps = gpu, dict[int, StepRecord]()
        self._step = StepRecord()

    def before_train(self, runner: Runner) -> None:
        self.gpu.counters.clear()
        backbone = getattr(runner.model, 'backbone', None)
        if backbone is not None:
            backbone.register_forward_hook(self._note_features)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self._finish()
        self._step = self.steps[runner.iter + 1] = StepRecord()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        names = [name for name, loss in outputs.items() if isinstance(loss, Tensor) and loss.dtype != torch.float32]
        self._step.low_precision_losses = names

    def after_train(self, runner: Runner) -> None:
        self._finish()

    def _note_features(self, backbone: nn.Module, images: tuple, maps: tuple[Tensor, ...]) -> None:
        if backbone.training:
            self._step.features.update(x.dtype for x in maps)

    def _finish(self) -> None:
        self._step.waits = {f'{kind}, {source}': n for (kind, source), n in self.gpu.counters.waits.items()}
        self._step.collectives = [transfer.kind for transfer in self.gpu.counters.collectives]
        self.gpu.counters.clear()


@dataclass
class Result:
    """A finished training.

    Attributes:
        steps: Record of each iteration, counted from 1.
        state: Everything that a checkpoint would hold, and the losses, on the CPU.
        on_cpu: Names of the parameters and buffers that are not on the GPU.
        logs: All logged numbers, by name.
        wrapper: Type of the optimizer wrapper.
    """

    steps: dict[int, StepRecord]
    state: dict
    on_cpu: list[str]
    logs: dict[str, list[float]]
    wrapper: str


def train(cfg: Config, resume: Path | None = None, hooks: Sequence[Hook] = (), ranks: int = 1) -> Result:
    """Train as ``tools/train.py --amp`` does on a machine with a GPU.

    Args:
        cfg: The config, which is changed.
        resume: Checkpoint to resume from.
        hooks: Further hooks.
        ranks: Number of ranks that the package sees.
    """
    register_all_modules(init_default_scope=False)
    gpu = PretendedGPU()
    observer = StepObserver(gpu)
    with ExitStack() as stack:
        # yapf takes longer than a step
        stack.enter_context(replaced(yapf_api, 'FormatCode', lambda text, **_: (text, False)))
        stack.enter_context(gpu.active())
        if ranks > 1:
            stack.enter_context(equal_ranks(gpu.counters, ranks))
        setup.set_dataloader_defaults(cfg)
        setup.enable_amp(cfg)
        checkpoint = setup.set_resume(cfg, None if resume is None else str(resume))
        setup.prepare(cfg, 'none')
        runner = setup.build_runner(cfg)
        if checkpoint is not None:
            check_weights(runner.model, checkpoint)
        for hook in (observer, *hooks):
            runner.register_hook(hook)
        runner.train()
        return _result(runner, observer)


def _result(runner: Runner, observer: StepObserver) -> Result:
    model = runner.model
    tensors = [*model.named_parameters(), *model.named_buffers()]
    state = dict(
        model=model.state_dict(),
        ranks=model.rank_state() if hasattr(model, 'rank_state') else {},
        optimizer=runner.optim_wrapper.state_dict(),
        schedulers=[scheduler.state_dict() for scheduler in runner.param_schedulers],
        iterations=runner.iter,
    )
    return Result(
        steps=observer.steps,
        state=apply_to(state, lambda x: isinstance(x, Tensor), lambda x: x.cpu()),
        on_cpu=[name for name, tensor in tensors if not isinstance(tensor, PretendedTensor)],
        logs={name: values.data[0].tolist() for name, values in runner.message_hub.log_scalars.items()},
        wrapper=type(runner.optim_wrapper).__name__,
    )
