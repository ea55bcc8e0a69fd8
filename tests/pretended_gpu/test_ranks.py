"""Trainings as one of eight ranks with equal tensors, whose collectives demand what NCCL demands of tensors.

It shows neither an order of collectives that differs between ranks nor what DDP and mmengine transfer.
"""

from pathlib import Path

import pytest
from helpers.mutants import MUTANTS, mutated
from helpers.pretended_gpu.training import config, train
from helpers.pretraining import different, write_images
from mmengine.config import Config

from lewel_plugins.dry_run.collectives import CollectiveError

RANKS = 8
COLLECTIVES = dict(
    lewel_m={'all_to_all', 'all_gather', 'all_reduce'},  # ShuffleBN, keys of the queue, statistics of BN
    smog={'all_gather', 'all_reduce'},
    mpcl_barlow_twins={'all_gather', 'all_reduce'},
)


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    write_images(folder)
    return folder


def configure(method: str, images: Path, work_dir: Path) -> Config:
    cfg = config(method, images, work_dir)
    if method == 'lewel_m':
        cfg.model.queue_len = 100  # 32 keys per iteration
    cfg.default_hooks.pop('preemption')  # its ranks agree over gloo
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.monitor.interval = 4
    cfg.default_hooks.logger.interval = 4
    return cfg


@pytest.mark.parametrize('method', COLLECTIVES)
def test_a_rank_trains_and_resumes(method, images, tmp_path):
    expected = train(configure(method, images, tmp_path / 'straight'), ranks=RANKS)
    for iteration in (1, 2, 5):
        step = expected.steps[iteration]
        assert set(step.collectives) == COLLECTIVES[method]
        assert not step.waits and not step.low_precision_losses
    assert 'gather' in expected.steps[4].collectives  # the monitor computes on the first rank
    resumed = configure(method, images, tmp_path / 'resumed')
    actual = train(resumed, resume=tmp_path / 'straight' / 'iter_6.pth', ranks=RANKS)
    assert sorted(actual.steps) == [7, 8] and different(actual.state, expected.state) == []


def test_a_transfer_that_nccl_refuses_is_an_error(images, tmp_path):
    with (
        mutated(MUTANTS['gather_of_a_transposed_tensor']),
        pytest.raises(CollectiveError, match='all_gather of a tensor that is not contiguous'),
    ):
        train(configure('lewel_m', images, tmp_path), ranks=RANKS)


def test_a_shuffle_by_an_order_of_the_cpu_waits(images, tmp_path):
    mutant = MUTANTS['shuffle_order_on_cpu']
    with mutated(mutant) as line:
        steps = train(configure('lewel_m', images, tmp_path), ranks=RANKS).steps
    assert f'{mutant.wait}, {line}' in steps[1].waits
