"""The hook gives short epochs a loader that goes on, and leaves other loaders alone."""

from types import SimpleNamespace

import pytest
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from lewel_plugins.datasets import ContinuousLoader, PretrainDataset, SeededSampler
from lewel_plugins.hooks import ContinuousLoaderHook

pytestmark = pytest.mark.core
IMAGES = PretrainDataset([{}] * 8)


def loader_after(kind: type, loader: DataLoader) -> object:
    loop = object.__new__(kind)
    loop.dataloader, loop._max_epochs = loader, 5
    ContinuousLoaderHook().before_train(SimpleNamespace(train_loop=loop))
    return loop.dataloader


def test_a_loader_of_epochs_goes_on_and_others_stay():
    loader = DataLoader(IMAGES, 2, sampler=SeededSampler(IMAGES, seed=0))
    result = loader_after(EpochBasedTrainLoop, loader)
    assert isinstance(result, ContinuousLoader) and result.loader is loader
    others = (
        (IterBasedTrainLoop, loader),
        (EpochBasedTrainLoop, DataLoader(IMAGES, 2)),
        (EpochBasedTrainLoop, DataLoader(IMAGES, 2, sampler=SeededSampler(IMAGES, seed=0, infinite=True))),
    )
    for kind, other in others:
        assert loader_after(kind, other) is other
