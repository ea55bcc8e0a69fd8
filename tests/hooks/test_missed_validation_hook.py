"""A training that ends while it validates: the next start validates, and its bits are those of one without a break."""

import json
from pathlib import Path

import pytest
import torch
from helpers.ranks import on_ranks
from helpers.toy_runner import toy_config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import lewel_plugins.evaluation
import lewel_plugins.hooks  # noqa: F401
from lewel_plugins.running import setup
from lewel_plugins.running.work_dir import last_metrics

pytestmark = pytest.mark.core

LOOPS = {
    'epochs': dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=2),  # two iterations each
    'iterations': dict(type='IterBasedTrainLoop', max_iters=5, val_interval=2),
}


class _Killed(Exception):
    pass


class KillInValidation(Hook):
    """Ends the run in its validation after some iterations."""

    def __init__(self, after: int) -> None:
        self.after = after

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter == self.after:
            raise _Killed


def train(
    folder: Path,
    loop: str,
    resume: bool = False,
    kill_after: int = 0,
    log_by_epoch: bool = False,
    launcher: str = 'none',
) -> Runner:
    """Train as ``tools/train.py`` does."""
    cfg = toy_config(folder)
    by_epoch = loop == 'epochs'
    cfg.merge_from_dict(
        {
            'train_cfg': dict(_delete_=True, **LOOPS[loop]),
            'train_dataloader.dataset.size': 16,
            'train_dataloader.batch_size': 8 if launcher == 'none' else 4,
            'train_dataloader.sampler': dict(_delete_=True, type='lewel_plugins.SeededSampler', infinite=not by_epoch),
            'default_hooks.sampler_seed': dict(type='lewel_plugins.ReproducibilityHook'),
            'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1, by_epoch=by_epoch),
            'default_hooks.logger.log_metric_by_epoch': log_by_epoch,
            'log_processor.by_epoch': by_epoch,
        }
    )
    cfg.experiment_name = f'{folder.name}_{id(cfg)}'  # runners of one name share a message hub
    setup.set_resume(cfg, 'auto' if resume else None)
    setup.prepare(cfg, launcher)
    runner = setup.build_runner(cfg)
    runner.register_hook(KillInValidation(kill_after))
    runner.train()
    return runner


def validations(folder: Path) -> list[int]:
    """Return the step of each validation that was logged."""
    records = [
        json.loads(line)
        for file in sorted(folder.glob('*/vis_data/scalars.json'))
        for line in file.read_text().splitlines()
    ]
    return [record['step'] for record in records if 'knn/top1' in record]


@pytest.mark.parametrize(
    ('loop', 'killed', 'log_by_epoch', 'steps'),
    [
        ('epochs', 4, False, [4, 6]),
        ('epochs', 6, False, [4, 6]),  # the last one, after which the loop does nothing
        ('epochs', 6, True, [2, 3]),
        ('iterations', 2, False, [2, 4, 5]),
        ('iterations', 5, False, [2, 4, 5]),
    ],
)
def test_a_lost_validation_is_made_up_for(loop, killed, log_by_epoch, steps, tmp_path):
    straight = train(tmp_path / 'straight', loop, log_by_epoch=log_by_epoch)
    with pytest.raises(_Killed):
        train(tmp_path / 'killed', loop, kill_after=killed, log_by_epoch=log_by_epoch)
    resumed = train(tmp_path / 'killed', loop, resume=True, log_by_epoch=log_by_epoch)
    assert validations(tmp_path / 'killed') == validations(tmp_path / 'straight') == steps
    assert last_metrics(tmp_path / 'killed') == last_metrics(tmp_path / 'straight')
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name
    train(tmp_path / 'killed', loop, resume=True, log_by_epoch=log_by_epoch)
    assert validations(tmp_path / 'killed') == steps  # once


def train_on_rank(rank: int, folder: Path) -> int:
    """Lose the last validation and resume, and return the iterations of the last start."""
    with pytest.raises(_Killed):
        train(folder, 'epochs', kill_after=6, launcher='pytorch')
    return train(folder, 'epochs', resume=True, launcher='pytorch').iter


def test_all_ranks_take_part(tmp_path):
    assert on_ranks(2, tmp_path, train_on_rank, tmp_path / 'run') == [6, 6]
    assert validations(tmp_path / 'run') == [4, 6]


def test_an_epoch_without_a_validation_stays_without_one(tmp_path):
    with pytest.raises(_Killed):
        train(tmp_path, 'epochs', kill_after=4)
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    train(tmp_path, 'epochs', resume=True)
    assert validations(tmp_path) == [4, 6]
