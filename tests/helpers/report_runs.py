"""Folders of trainings for tests of the report, written without a training."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from lewel_plugins.checkpoints import model_config

BATCH = 8


def write_photos(folder: Path, count: int, size: tuple[int, int] = (40, 48), names: tuple[str, ...] = ()) -> list[Path]:
    """Write images of random colors and shapes, in two folders, the first under the names given."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        name = names[i] if i < len(names) else f'p{i:05d}.jpg'
        path = folder / ('a' if i % 2 else 'b') / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*size, 3), rng.integers(0, 256, 3), np.uint8)
        top, left = rng.integers(0, size[0] // 2), rng.integers(0, size[1] // 2)
        pixels[top : top + 15, left : left + 15] = rng.integers(0, 256, 3)
        Image.fromarray(pixels).save(path, 'JPEG')
        paths.append(path)
    return paths


def lewel_config(images: Path, epochs: int = 4, seed: int = 0) -> Config:
    """Return the config of a LEWEL_M training on a folder, with a small network."""
    views = [dict(size=32, crop_scale=(0.2, 1.0))] * 2
    return Config(
        dict(
            default_scope='mmpretrain',
            randomness=dict(seed=seed),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.03)),
            data_preprocessor=dict(type='lewel_plugins.BatchViews', mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
            model=dict(
                type='lewel_plugins.LEWELM',
                backbone=dict(type='lewel_plugins.ResNet10'),
                neck=dict(
                    type='lewel_plugins.LEWELNeck', in_channels=128, hid_channels=32, out_channels=16, num_groups=4
                ),
                head=dict(type='lewel_plugins.LEWELContrastHead'),
                queue_len=64,
            ),
            train_dataloader=dict(
                batch_size=BATCH,
                num_workers=2,
                collate_fn=dict(type='default_collate'),
                sampler=dict(type='lewel_plugins.SeededSampler'),
                dataset=dict(
                    type='lewel_plugins.PretrainDataset',
                    dataset=dict(
                        type='lewel_plugins.ImageTree',
                        data_root=str(images),
                        pipeline=[dict(type='lewel_plugins.LoadViews', views=views), dict(type='PackInputs')],
                    ),
                ),
            ),
        )
    )


def write_run(
    run: Path,
    images: Path | None = None,
    *,
    steps: int = 1000,
    seed: int = 0,
    shift: float = 0.0,
    finished: bool = True,
    **extra: float,
) -> Path:
    """Write the folder of a healthy training as mmengine leaves it; with ``images``, also a checkpoint.

    Args:
        run: The folder.
        images: Folder of its images.
        steps: Its length.
        seed: Its seed.
        shift: Added to the losses.
        finished: Whether the last checkpoint is that of the end.
        **extra: Constant scalars that are logged, too; two underscores stand for a slash.
    """
    cfg = lewel_config(images or Path('photos'), seed=seed)
    logs = run / '20260131_120000' / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'config.py').write_text(cfg.pretty_text, encoding='utf-8')
    records = [json.dumps(_record(step, steps, shift, extra)) for step in range(steps // 40, steps + 1, steps // 40)]
    validated = {'knn/top1_k20': 50.0, 'representation/rank_me': 40.0, 'representation/std': 0.5, 'step': steps}
    (logs / 'scalars.json').write_text(
        '\n'.join([*records, json.dumps(validated), '{"loss": 1.0, "st']), encoding='utf-8'
    )
    sessions = [
        dict(commit='abc1234', machine='Some Processor, 2 cores', start='2026-01-31 12:00:00 UTC', seconds=60.0)
    ]
    (run / 'sessions.json').write_text(json.dumps(sessions), encoding='utf-8')
    if images is not None:
        _write_checkpoint(run, cfg, 4 if finished else 3)
    return run


def _record(step: int, steps: int, shift: float, extra: dict[str, float]) -> dict[str, Any]:
    done = 1 - math.exp(-4 * step / steps)
    values = dict(
        lr=0.03, loss=6 - 3 * done + shift, std=0.7 + 0.25 * done, rank_me=4 + 8 * done, time=0.1, data_time=0.002
    )
    values |= dict(
        uniformity=-1 - done, spectrum_0=10.0, spectrum_75=0.01, epoch=1 + 4 * (step - 1) // steps, iter=step
    )
    return {**values, **{name.replace('__', '/'): value for name, value in extra.items()}, 'step': step}


def _write_checkpoint(run: Path, cfg: Config, epoch: int) -> None:
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(model_config(cfg))
    path = run / f'epoch_{epoch}.pth'
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, epoch=epoch), state_dict=model.state_dict()), path)
    (run / 'last_checkpoint').write_text(str(path), encoding='utf-8')
