"""A linear evaluation on the toy images: a checkpoint of a tiny backbone, and a config."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from helpers.tiny import backbone_config, randomize
from helpers.toy_runner import ToyImages  # noqa: F401

CLASSES = 4


def write_checkpoint(path: Path, seed: int = 0) -> str:
    """Write a checkpoint of a tiny backbone and a neck, with the config in its meta; return its path."""
    backbone = randomize(MODELS.build(backbone_config()), seed)
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    meta = dict(cfg=f'model = dict(type="LEWELB", backbone={backbone_config()!r})')
    torch.save(dict(meta=meta, state_dict={**state, 'neck.weight': torch.ones(1)}), path)
    return str(path)


def loader(size: int, batch_size: int, first: int = 0, **train: object) -> dict:
    dataset = dict(type='mmengine.ToyImages', size=size, views=0, first=first)
    return dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dict(type='lewel_plugins.PretrainDataset', dataset=dataset) if train else dataset,
        sampler=dict(type='lewel_plugins.SeededSampler') if train else dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        **{name: value for name, value in train.items() if name != 'train'},
    )


def linear_config(work_dir: Path, checkpoint: str | None, **changes: object) -> Config:
    """Return the config of a linear evaluation on 22 images, in batches of 8, for 4 epochs."""
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            model=dict(
                type='lewel_plugins.PretrainedClassifier',
                checkpoint=checkpoint,
                head=dict(
                    type='LinearClsHead',
                    num_classes=CLASSES,
                    topk=(1,),
                    loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
                    init_cfg=dict(type='Normal', layer='Linear', std=0.01),
                ),
            ),
            train_dataloader=loader(22, 8, train=True),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=4),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
            param_scheduler=[dict(type='MultiStepLR', by_epoch=True, milestones=[2, 3], gamma=0.1)],
            val_dataloader=loader(30, 7, first=100),
            val_evaluator=dict(type='Accuracy', topk=(1, 4)),
            val_cfg=dict(),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=100),
                logger=dict(type='LoggerHook', interval=1),
                sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
            ),
            randomness=dict(seed=3),
        )
    )
    cfg.merge_from_dict(changes)
    cfg.experiment_name = f'{Path(work_dir).name}_{id(cfg)}'
    return cfg
