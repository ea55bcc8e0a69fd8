"""Small runs of the version before heads, and what they computed.

``python older_runs.py write`` writes a checkpoint per run beside this file, and ``records.json``. It needs d72400e:

    git worktree add /tmp/older d72400e
    PYTHONPATH=/tmp/older python tests/checkpoints/data/older_runs.py write

``python older_runs.py resume FILE CHECKPOINT...`` is for the test: it resumes checkpoints with the package that it
imports, by the config that each holds, and writes what they computed to FILE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, MODELS, init_default_scope
from mmengine.runner import Runner

from lewel_plugins.seeding import seed_shared_generator

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / 'bit_identity'))

import record  # noqa: E402
from train_cases import canary, digest  # noqa: E402

RECORDS = HERE / 'records.json'
SAVED, ITERATIONS = 3, 5
ADDED = ('head.balance.hsic',)  # tensors that the version before heads did not have
HIDDEN, EMBEDDING = 8, 8
BACKBONE = dict(type='lewel_plugins.ResNet10', base_channels=4, strides=(1, 2))  # ends in 8 channels
NECK = dict(in_channels=8, hid_channels=HIDDEN, out_channels=EMBEDDING)

# As configs were at d72400e.
MODELS_BEFORE = dict(
    lewel_b=dict(
        type='lewel_plugins.LEWELB',
        neck=dict(type='lewel_plugins.LEWELNeck', **NECK),
        hid_channels=HIDDEN,
        beta=0.3,
        pretrained=None,
    ),
    smog=dict(
        type='lewel_plugins.SMoG',
        neck=dict(type='lewel_plugins.ProjectionNeck', out_norm=True, **NECK),
        hid_channels=HIDDEN,
        num_groups=6,
        beta=0.9,
        end_beta=0.5,
        update='average',
    ),
    mpcl_moco_v3=dict(
        type='lewel_plugins.MPCLMoCoV3',
        neck=dict(type='lewel_plugins.MultiProjectorNeck', num_projectors=3, with_last_bn=True, dropout=0.2, **NECK),
        predictor=dict(hid_channels=HIDDEN),
        pcr_weight=0.5,
        squared_pcr=True,
    ),
    msbreg=dict(
        type='lewel_plugins.MSBReg',
        neck=dict(type='lewel_plugins.ProjectionNeck', norm='LN', **NECK),
        hid_channels=HIDDEN,
        lambda_b=0.25,
        exclude_self=True,
    ),
)
HOOKS_BEFORE = dict(
    lewel_b=[
        dict(type='lewel_plugins.RegularizerHook', module='q', regularizers=[dict(type='lewel_plugins.BrownianLoss')])
    ],
    # One reset follows the checkpoint, from the saved features.
    smog=[dict(type='lewel_plugins.SMoGResetHook', interval=2)],
    mpcl_moco_v3=[dict(type='lewel_plugins.MPCLReweightHook', interval=4)],  # uses the sums of the saved iterations
    msbreg=[],
)
TYPED = dict(
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
SGD = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-2)
OPTIMIZERS = dict(
    lewel_b=dict(optimizer=SGD, paramwise_cfg=dict(norm_decay_mult=0.0)),  # mmengine makes one group per parameter
    smog=dict(optimizer=dict(type='lewel_plugins.LARS', lr=1.0, weight_decay=1e-3), **TYPED),
    mpcl_moco_v3=dict(optimizer=SGD, **TYPED),
    msbreg=dict(optimizer=dict(type='Adam', lr=1e-2)),  # mmengine makes one group, with the teacher, too
)


@DATASETS.register_module(force=True)
class FixedNoise(torch.utils.data.Dataset):
    """16 noise images of 8 px in two views, which have half of their noise in common."""

    def __init__(self) -> None:
        from mmpretrain.structures import DataSample

        pixels = np.random.RandomState(0).randint(0, 128, (16, 3, 3, 8, 8)).astype(np.float32)
        self.views = torch.from_numpy(pixels[:, :1] + pixels[:, 1:])
        self.sample = DataSample()

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=list(self.views[index]), data_samples=self.sample)


@HOOKS.register_module(force=True)
class RecordHook(Hook):
    """Appends the losses of every iteration to a list."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.losses: list[dict[str, str]] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.losses.append({name: float(value).hex() for name, value in sorted(outputs.items())})


def config(name: str) -> Config:
    """Return the config of a run at d72400e."""
    preprocessor = dict(type='SelfSupDataPreprocessor', mean=[128.0] * 3, std=[50.0] * 3)
    return Config(
        dict(
            default_scope='mmpretrain',
            work_dir='run',
            experiment_name=name,
            model=dict(MODELS_BEFORE[name], backbone=BACKBONE, data_preprocessor=preprocessor),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=dict(type='mmengine.FixedNoise'),
                sampler=dict(type='lewel_plugins.SeededSampler', seed=0, infinite=True),
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=ITERATIONS),
            optim_wrapper=dict(type='OptimWrapper', **OPTIMIZERS[name]),
            param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=ITERATIONS)],
            default_hooks=dict(
                checkpoint=dict(type='lewel_plugins.AtomicCheckpointHook', interval=SAVED, by_epoch=False),
                sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
                momentum_update=dict(type='lewel_plugins.MomentumUpdateHook'),
            ),
            custom_hooks=HOOKS_BEFORE[name],
            log_processor=dict(by_epoch=False, window_size=1),
            randomness=dict(seed=0),
        )
    )


def train(cfg: Config) -> dict:
    """Train, and return the losses of each iteration and digests of the final state."""
    hook = RecordHook()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(hook)
    runner.train()
    of_rank = runner.model.rank_state() if hasattr(runner.model, 'rank_state') else {}
    cached = [of_rank[name] for name in ('rows', 'positions') if of_rank]  # features of SMoG
    states = runner.model.state_dict().items()
    optimizer = runner.optim_wrapper.state_dict()['state']
    history = runner.message_hub.log_scalars['train/loss'].data
    return dict(
        losses=hook.losses,
        state=digest([*(value for name, value in states if name not in ADDED), *cached]),
        optimizer=digest(x for values in optimizer.values() for x in values.values() if isinstance(x, torch.Tensor)),
        rates=sorted({float(rate).hex() for rate in runner.optim_wrapper.get_lr()['lr']}),
        history=[float(value).hex() for values in history for value in values],
    )


def resume(checkpoint: Path) -> dict:
    """Resume a checkpoint by the config in it; return the loss of the loaded model and the result of :func:`train`."""
    torch.set_num_threads(1)
    saved = torch.load(checkpoint, map_location='cpu', weights_only=False)
    cfg = Config.fromstring(saved['meta']['cfg'], '.py')
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.load_state_dict(saved['state_dict'])
    torch.manual_seed(0)
    seed_shared_generator(0)
    losses = model([view[:4] for view in FixedNoise().views.sub(128).div(50).unbind(1)], mode='loss')
    with TemporaryDirectory() as folder:
        cfg.merge_from_dict(dict(work_dir=folder, load_from=str(checkpoint.resolve()), resume=True))
        return dict(loss={name: float(value).hex() for name, value in losses.items()}, **train(cfg))


def write() -> None:
    """Write the checkpoints and their records, both with the arithmetic of ``record.ENVIRONMENT``."""
    records: dict = dict(canary=canary())
    for name in MODELS_BEFORE:
        with TemporaryDirectory() as folder:
            os.chdir(folder)
            uninterrupted = train(config(name))
            saved = HERE / f'{name}.pth'
            saved.write_bytes(Path('run', f'iter_{SAVED}.pth').read_bytes())
            records[name] = resume(saved)
            os.chdir(HERE)
        assert records[name]['losses'] == uninterrupted['losses'][SAVED:], name
        assert all(records[name][key] == uninterrupted[key] for key in ('state', 'optimizer', 'rates')), name
    RECORDS.write_text(json.dumps(records, indent=1) + '\n')


def main() -> None:
    command, *arguments = sys.argv[1:]
    if os.environ.get('ATEN_CPU_CAPABILITY') != record.ENVIRONMENT['ATEN_CPU_CAPABILITY']:  # torch reads it at import
        environment = {**os.environ, **record.ENVIRONMENT}
        raise SystemExit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
    if command == 'write':
        write()
    else:
        file, *checkpoints = map(Path, arguments)
        file.write_text(json.dumps({checkpoint.stem: resume(checkpoint) for checkpoint in checkpoints}))


if __name__ == '__main__':
    main()
