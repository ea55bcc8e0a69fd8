"""The measured times do not count what happens once per training, such as reading a list of images."""

import gc
import time
import weakref
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import nn
from torch.utils.data import Dataset

from lewel_plugins.payoff import timing
from lewel_plugins.payoff.timing import measure_seconds, timed_batch

pytestmark = pytest.mark.core
START = 0.5  # seconds


class SlowStart(Dataset):
    """A dataset that opens slowly, and whose first image takes as long."""

    def __init__(self):
        time.sleep(START)
        self.is_new = True

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if self.is_new:
            time.sleep(START)
        self.is_new = False
        time.sleep(0.01)
        return index


def test_the_start_of_a_loader_is_not_part_of_its_time():
    loader = dict(
        batch_size=4,
        num_workers=0,
        dataset=dict(type='SlowStart'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    DATASETS.register_module(module=SlowStart)
    try:
        batch, seconds = timed_batch(loader)
    finally:
        DATASETS.module_dict.pop('SlowStart')
    assert batch.tolist() == [0, 1, 2, 3] and 0.04 <= seconds < START


def test_the_memory_of_the_measured_networks_is_free_for_the_trainings(monkeypatch):
    networks, left = [], []

    def network(*_, **__) -> nn.Module:
        networks.append(weakref.ref(model := nn.Linear(1, 1)))
        return model

    def empty_cache() -> None:
        gc.collect()
        left.append([one() for one in networks])

    for name in ('build_random_model', 'build_classifier'):
        monkeypatch.setattr(timing, name, network)
    for name in ('_training_step', '_features', '_linear_step'):
        monkeypatch.setattr(timing, name, lambda *_: 1.0)
    monkeypatch.setattr(timing, 'classifier_config', lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, 'empty_cache', empty_cache)
    material = SimpleNamespace(train=[0], workers=0, classes=['a'], training_loader=lambda *_: {})
    measure_seconds(Config(dict(train_dataloader=dict(num_workers=0))), 'network.pth', material)
    assert left == [[None, None]]
