"""mmpretrain's BYOL on made-up images, small enough for tests of hooks, loops and tools."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules

from helpers.ranks import on_ranks

register_all_modules(init_default_scope=False)


@DATASETS.register_module(force=True)
class ToyImages(BaseDataset):
    """Noisy images of 4 colors, which are the labels: a list of ``views`` images, or one image if that is 0."""

    def __init__(self, size: int = 32, views: int = 2, first: int = 0) -> None:
        self.size, self.views, self.first = size, views, first
        super().__init__(lazy_init=True, metainfo=dict(classes=list('abcd')), serialize_data=False)
        self._fully_initialized = True

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        index = int(index)
        rng = np.random.default_rng(self.first + index)
        label = index % 4
        base = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=np.float32)[label][:, None, None]
        images = [
            torch.from_numpy((base + rng.normal(size=(3, 16, 16))).astype(np.float32)) for _ in range(self.views or 1)
        ]
        sample = DataSample(metainfo=dict(sample_idx=index)).set_gt_label(label)
        return dict(inputs=images if self.views else images[0], data_samples=sample)


def _loader(views: int, size: int, batch_size: int, shuffle: bool = False, first: int = 0) -> dict:
    return dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dict(type='mmengine.ToyImages', size=size, views=views, first=first),
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
        collate_fn=dict(type='default_collate'),
    )


def toy_config(work_dir: Path | str, max_iters: int = 4, val_interval: int = 1000) -> Config:
    """Configure BYOL with a narrow ResNet_CIFAR and two views of 16 px, and k-NN every ``val_interval`` steps."""
    width = 8
    return Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            model=dict(
                type='BYOL',
                data_preprocessor=dict(type='SelfSupDataPreprocessor'),
                backbone=dict(
                    type='ResNet_CIFAR', depth=18, stem_channels=width, base_channels=width, norm_cfg=dict(type='BN')
                ),
                neck=dict(
                    type='NonLinearNeck',
                    in_channels=8 * width,
                    hid_channels=32,
                    out_channels=16,
                    with_bias=True,
                    with_last_bn=False,
                    with_avg_pool=True,
                    norm_cfg=dict(type='BN1d'),
                ),
                head=dict(
                    type='LatentPredictHead',
                    loss=dict(type='CosineSimilarityLoss'),
                    predictor=dict(
                        type='NonLinearNeck',
                        in_channels=16,
                        hid_channels=32,
                        out_channels=16,
                        with_bias=True,
                        with_last_bn=False,
                        with_avg_pool=False,
                        norm_cfg=dict(type='BN1d'),
                    ),
                ),
            ),
            train_dataloader=_loader(2, 32, 8, shuffle=True),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=val_interval),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
            val_dataloader=_loader(0, 10, 4, first=100),
            val_evaluator=[
                dict(type='lewel_plugins.KNNMetric', k=3),
                dict(type='lewel_plugins.RepresentationMetric'),
            ],
            val_cfg=dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=_loader(0, 22, 4)),
            test_dataloader=_loader(0, 10, 4, first=100),
            test_evaluator=[dict(type='lewel_plugins.KNNMetric', k=3)],
            test_cfg=dict(type='lewel_plugins.FeatureTestLoop', bank_dataloader=_loader(0, 22, 4)),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False),
                logger=dict(type='LoggerHook', interval=1),
            ),
            log_processor=dict(by_epoch=False),
            randomness=dict(seed=0),
        ),
        format_python_code=False,  # yapf would take longer than the training
    )


def toy_runner(work_dir: Path | str, max_iters: int = 4, val_interval: int = 1000, **changes: object) -> Runner:
    """Return a new Runner of :func:`toy_config` with entries replaced or added."""
    config = toy_config(work_dir, max_iters, val_interval)
    config.merge_from_dict(changes)
    config.experiment_name = f'{Path(work_dir).name}_{id(config)}'  # because runners of one name share a message hub
    return Runner.from_cfg(config)


def run_on_ranks(world_size: int, function, *args: object) -> None:
    """Run ``function(rank, *args)`` in gloo processes; an exception in one of them fails the test."""
    with TemporaryDirectory() as folder:
        on_ranks(world_size, Path(folder), function, *args)
