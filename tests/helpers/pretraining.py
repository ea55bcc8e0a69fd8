"""A small pretraining run with the default hooks, data classes and Runner set-up, which can kill itself."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import mmengine.config.config
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmpretrain.utils import register_all_modules
from PIL import Image

import lewel_plugins.datasets
import lewel_plugins.evaluation
import lewel_plugins.hooks  # noqa: F401
from helpers import tiny, tiny_mpcl
from helpers.toy_runner import ToyImages  # noqa: F401
from lewel_plugins.checkpoints import read_tensors
from lewel_plugins.hooks import STOPPED_STATUS, StoppedRun
from lewel_plugins.running import setup
from lewel_plugins.running.work_dir import STOPPED

CONFIGS = Path(__file__).parents[2] / 'configs'
GLOBAL_BATCH, ITERATIONS = 4, 12
TYPES = dict(
    byol_multi_crop='lewel_plugins.BYOLMultiCrop',
    lewel_b='lewel_plugins.LEWELB',
    lewel_m='lewel_plugins.LEWELM',
    msbreg='lewel_plugins.MSBReg',
    smog='lewel_plugins.SMoG',
    **tiny_mpcl.TYPES,
)
REGULARIZERS = [dict(type='lewel_plugins.SingularValueLoss'), dict(type='lewel_plugins.BrownianLoss')]
VIEW = [
    dict(type='RandomResizedCrop', scale=16, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1),
]


@dataclass(frozen=True)
class Run:
    """Settings of a run. A multiple of 4 ``images`` fills all batches; 16 images are epochs of 4 iterations."""

    method: str
    ranks: int = 1
    loop: str = 'epoch'
    images: int = 16
    workers: int = 0
    views: str = 'loader'  # 'device' makes the views by BatchViews
    alignment: str = 'learned'
    regularized: bool = False
    accumulate: int = 1
    step: int | None = None  # images per optimizer step, of which an epoch has a whole number
    save: int = 6  # iterations between checkpoints
    reset: int = 3  # interval of SMoGResetHook
    window: int | None = None
    validate: bool = False
    seed: int = 0
    continuous: bool = False  # workers go on at the end of an epoch


@HOOKS.register_module(force=True)
class Journal(Hook):
    """Writes the exact losses of every iteration to one file per rank.

    Kills the process after iteration ``kill_after``, and sends SIGUSR1 to the last rank in iteration ``stop_in``.
    """

    priority = 'VERY_LOW'  # after the default hooks of this priority, which save, and before the one that stops

    def __init__(self, path: str, kill_after: int | None = None, stop_in: int | None = None) -> None:
        self.path, self.kill_after, self.stop_in = path, kill_after, stop_in

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter + 1 == self.stop_in and runner.rank + 1 == runner.world_size:
            os.kill(os.getpid(), signal.SIGUSR1)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        losses = {name: float(value).hex() for name, value in outputs.items()}
        with open(self.path, 'a') as file:
            file.write(json.dumps([runner.iter + 1, losses]) + '\n')
        if runner.iter + 1 == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)


def write_images(folder: Path) -> None:
    """Write one folder for every number of images that a ``Run`` of the tests has."""
    for number in (16, 22, 24):
        (folder / f'{number}').mkdir()
        rng = np.random.default_rng(0)
        for i in range(number):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f'{number}' / f'{i:03}.png')


def config(run: Run, images: Path, work_dir: Path, kill_after: int | None, stop_in: int | None = None) -> Config:
    cfg = Config.fromfile(CONFIGS / '_base_' / 'default_runtime.py')
    pipeline = [dict(type='lewel_plugins.LoadRGB')]
    preprocessor = dict(
        type='SelfSupDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    )
    more = 1 if run.method == 'msbreg' else 0  # MSBReg has K = 3
    if run.views == 'device':
        view = dict(size=16, crop_scale=(0.2, 1.0))
        views = [view] * more + [view, dict(view, solarize=0.2)]
        if run.method == 'byol_multi_crop':
            views += [dict(view, size=8)] * 2
        preprocessor.update(type='lewel_plugins.BatchViews', views=views)
    else:
        pipeline.append(dict(type='MultiView', num_views=[1 + more, 1], transforms=[VIEW, VIEW]))
    necks = dict(
        msbreg=tiny.projection_config(), byol_multi_crop=tiny.projection_config(), smog=tiny.smog_neck_config()
    )
    model = dict(
        type=TYPES[run.method],
        data_preprocessor=preprocessor,
        backbone=tiny.backbone_config(),
        neck=necks.get(run.method) or tiny.neck_config(alignment=run.alignment),
    )
    journal_file = str(work_dir / f'journal-{rank()}.txt')
    custom_hooks = [dict(type='mmengine.Journal', path=journal_file, kill_after=kill_after, stop_in=stop_in)]
    settings: dict = {}
    if run.continuous:
        custom_hooks.append(dict(type='lewel_plugins.ContinuousLoaderHook'))
    if run.method == 'smog':
        settings.update(num_groups=6, end_beta=0.5)
        custom_hooks.insert(0, dict(type='lewel_plugins.SMoGResetHook', interval=run.reset, window=run.window))
    if run.method in tiny_mpcl.METHODS:
        model.update(**tiny_mpcl.config(run.method, neck=dict(dropout=0.3)))
        # Epochs of 4 iterations, so that one is half done at iteration 6, from which runs are resumed.
        interval = None if run.loop == 'epoch' else 4
        custom_hooks.append(dict(type='lewel_plugins.MPCLReweightHook', interval=interval))
        optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
    elif run.method != 'lewel_m':
        settings.update(hid_channels=tiny.HIDDEN)
        optimizer = dict(type='lewel_plugins.LARS', lr=1.0, momentum=0.9, weight_decay=1e-6)
    else:
        settings.update(queue_len=11)
        optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
    if run.method not in tiny_mpcl.METHODS:
        model.update(tiny.arguments(TYPES[run.method].split('.')[1], **settings))
    epochs = run.loop == 'epoch'
    length = -(-(run.images // run.step * run.step if run.step else run.images) // GLOBAL_BATCH)
    cfg.pop('optim_wrapper')  # bfloat16, which a CPU does not train in
    cfg.update(
        model=model,
        work_dir=str(work_dir),
        # By default, two runs of a process within a second share a Visualizer, and so the folder of the first.
        experiment_name=f'{work_dir}-{stop_in}'.replace(os.sep, '_'),
        randomness=dict(seed=run.seed),
        train_dataloader=dict(
            batch_size=GLOBAL_BATCH // run.ranks,
            num_workers=run.workers,
            sampler=dict(type='lewel_plugins.SeededSampler', infinite=not epochs, step=run.step),
            dataset=dict(
                type='lewel_plugins.PretrainDataset',
                dataset=dict(
                    type='lewel_plugins.ImageTree',
                    data_root=str(images / f'{run.images}'),
                    pipeline=[*pipeline, dict(type='PackInputs')],
                ),
            ),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=ITERATIONS // length)
        if epochs
        else dict(type='IterBasedTrainLoop', max_iters=ITERATIONS),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=optimizer,
            constructor='lewel_plugins.TypedOptimWrapperConstructor',
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
            accumulative_counts=run.accumulate,
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=4, end=ITERATIONS),
        ],
        log_processor=dict(window_size=1, by_epoch=epochs),
        custom_hooks=custom_hooks,
    )
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.monitor.interval = 1
    cfg.default_hooks.checkpoint.update(interval=run.save, by_epoch=False)
    if run.regularized:
        cfg.custom_hooks.append(dict(type='lewel_plugins.RegularizerHook', module='head.q', regularizers=REGULARIZERS))
    if run.validate:
        add_validation(cfg)
    return cfg


def add_validation(cfg: Config) -> None:
    """Add k-NN after every epoch or iteration."""
    dataset = dict(type='mmengine.ToyImages', size=10, views=0)
    loader = dict(
        batch_size=4,
        num_workers=0,
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
    )
    cfg.update(
        val_dataloader=loader,
        val_cfg=dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=loader),
        val_evaluator=[dict(type='lewel_plugins.KNNMetric', k=3), dict(type='lewel_plugins.RepresentationMetric')],
    )
    cfg.train_cfg.val_interval = 1


def rank() -> int:
    return int(os.environ.get('RANK', 0))


def pretrain(
    _: int,
    run: Run,
    images: Path,
    work_dir: Path,
    resume: bool = False,
    kill_after: int | None = None,
    stop_in: int | None = None,
) -> dict:
    """Train as ``tools/train.py`` does, and return the final state of this rank."""
    register_all_modules(init_default_scope=False)
    cfg = config(run, images, work_dir, kill_after, stop_in)
    work_dir.mkdir(parents=True, exist_ok=True)
    setup.set_dataloader_defaults(cfg)
    checkpoint = setup.set_resume(cfg, 'auto' if resume else None)
    assert bool(checkpoint) == resume
    setup.prepare(cfg, 'pytorch' if run.ranks > 1 else 'none')
    # Configs are written as they are, because yapf takes longer than the training.
    with mock.patch.object(mmengine.config.config, 'FormatCode', lambda text, **_: (text, False), create=True):
        runner = setup.build_runner(cfg)
        runner.train()
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return dict(
        state=model.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        scheduler=[scheduler.state_dict() for scheduler in runner.param_schedulers],
        iterations=runner.iter,
    )


def pretrain_in_pieces(_: int, run: Run, images: Path, work_dir: Path) -> dict:
    """Train like :func:`pretrain`, but stop in every iteration, or in every second one on several ranks, and resume."""
    stops = []
    while True:
        done = stops[-1] if stops else 0
        try:
            result = pretrain(_, run, images, work_dir, bool(stops), stop_in=done + 1)
        except StoppedRun as error:
            assert error.code == STOPPED_STATUS
            stops.append(read_tensors(work_dir / STOPPED)['meta']['iter'])
        else:
            return dict(result, stops=stops)


def journal(work_dir: Path, rank: int) -> dict[int, dict[str, str]]:
    """Return the losses of every iteration; the later ones of an iteration that ran twice."""
    lines = (work_dir / f'journal-{rank}.txt').read_text().splitlines()
    return dict(json.loads(line) for line in lines)


def logged(work_dir: Path) -> dict[int, dict[str, float]]:
    """Return every logged training loss, by iteration, over all starts of a run."""
    actual: dict[int, dict[str, float]] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                actual[entry['iter' if 'iter' in entry else 'step']] = {k: v for k, v in entry.items() if 'loss' in k}
    return actual


def flatten(value: object, path: str = '') -> dict[str, object]:
    """Return the tensors and numbers of a nested state by path."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        return {path: value}
    return {k: v for key, part in parts for k, v in flatten(part, f'{path}/{key}').items()}


def different(first: object, second: object) -> list[str]:
    """Return the paths at which two states are not equal bit for bit."""
    ours, theirs = flatten(first), flatten(second)
    paths = sorted(ours.keys() ^ theirs.keys())
    for path in ours.keys() & theirs.keys():
        a, b = ours[path], theirs[path]
        equal = torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
        if not equal:
            paths.append(path)
    return paths
