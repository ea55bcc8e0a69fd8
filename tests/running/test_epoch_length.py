"""A run that goes on with other iterations per epoch is, from there on, a run that had them all along."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.ranks import on_ranks
from helpers.toy_runner import toy_runner
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from lewel_plugins.errors import SetupError
from lewel_plugins.running.epoch_length import warn_of_ended_schedules

pytestmark = pytest.mark.core

EPOCHS = 3
# A warm-up in iterations, a decay in epochs converted to iterations, and one in epochs.
SCHEDULES = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, begin=1, end=EPOCHS, convert_to_iter_based=True),
    dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.5),
]


@HOOKS.register_module(force=True)
class Trace(Hook):
    """Records position, rate and images of each iteration."""

    def before_train(self, runner) -> None:
        self.seen: list[tuple] = []

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        images = [sample.sample_idx for sample in data_batch['data_samples']]
        rate = runner.optim_wrapper.get_lr()['lr'][0]
        self.seen.append((runner.epoch, runner.iter, rate, images))


def train(
    folder: Path, batch_size: int, images: int = 24, resume: Path | None = None, **changes: object
) -> list[tuple]:
    """Train three epochs, and return the trace."""
    loader = dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dict(type='mmengine.ToyImages', size=images, views=2),
        sampler=dict(type='lewel_plugins.SeededSampler'),
        collate_fn=dict(type='default_collate'),
    )
    settings: dict = dict(
        train_dataloader=loader,
        train_cfg=dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=EPOCHS),
        param_scheduler=SCHEDULES,
        custom_hooks=[dict(type='mmengine.Trace')],
        resume=resume is not None,
        load_from=None if resume is None else str(resume),
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
        log_processor=dict(by_epoch=True),
    )
    settings['default_hooks.sampler_seed'] = dict(type='lewel_plugins.ReproducibilityHook')
    settings['default_hooks.checkpoint'] = dict(type='CheckpointHook', interval=1, by_epoch=True)
    runner = toy_runner(folder, **{**settings, **changes})
    runner.train()
    assert runner.iter == runner.max_iters and runner.epoch == EPOCHS
    return next(hook.seen for hook in runner.hooks if isinstance(hook, Trace))


BY_ITERATION = {'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1, by_epoch=False)}


@pytest.mark.sampled(2)
@pytest.mark.parametrize('change', [(4, 24, 8, 24), (8, 24, 4, 24), (8, 24, 8, 40), (7, 24, 12, 24)])
def test_the_next_epoch_is_whole(change, tmp_path):
    batch_before, images_before, batch, images = change
    train(tmp_path / 'before', batch_before, images_before)
    resumed = train(tmp_path / 'after', batch, images, tmp_path / 'before' / 'epoch_1.pth')
    expected = train(tmp_path / 'straight', batch, images)
    assert resumed == [step for step in expected if step[0] >= 1]
    # Another start with this length goes on as usual.
    again = train(tmp_path / 'again', batch, images, tmp_path / 'after' / 'epoch_2.pth')
    assert again == [step for step in expected if step[0] >= 2]


def resume_on_rank(rank: int, folder: Path, checkpoint: str) -> list[tuple]:
    return train(folder / f'after-{checkpoint}-{rank}', 4, resume=folder / 'before' / checkpoint)


@pytest.mark.parametrize(('checkpoint', 'first'), [('iter_6.pth', 3), ('iter_8.pth', 4)])
def test_on_more_ranks(checkpoint, first, tmp_path):
    train(tmp_path / 'before', 4, **BY_ITERATION)
    ranks = on_ranks(2, tmp_path, resume_on_rank, tmp_path, checkpoint)
    expected = train(tmp_path / 'straight', 8)[first:]
    for step, *parts in zip(expected, *ranks):
        assert all(part[:3] == step[:3] for part in parts)
        assert sorted(parts[0][3] + parts[1][3]) == sorted(step[3])
    assert len(ranks[0]) == len(ranks[1]) == len(expected)


@pytest.mark.parametrize('done', [2, 6])
def test_within_an_epoch_the_same_images_have_been_seen(done, tmp_path):
    train(tmp_path / 'before', 4, **BY_ITERATION)
    resumed = train(tmp_path / 'after', 8, resume=tmp_path / 'before' / f'iter_{6 + done}.pth')
    assert resumed == train(tmp_path / 'straight', 8)[3 + done // 2 :]


def test_one_line_for_a_place_that_this_start_does_not_have(tmp_path):
    train(tmp_path / 'before', 4, **BY_ITERATION)
    checkpoint = tmp_path / 'before' / 'iter_9.pth'  # after three of six iterations, 12 images
    message = r'the checkpoint has 6 iterations per epoch, this start has 3: .* after 3 iterations, .* end of an epoch'
    with pytest.raises(SetupError, match=message):
        train(tmp_path / 'after', 8, resume=checkpoint)
    with pytest.raises(SetupError, match='has 6 iterations per epoch, this start has 7'):  # another order of images
        train(tmp_path / 'after', 4, 28, resume=checkpoint)
    accumulate = {'optim_wrapper.accumulative_counts': 4}
    with pytest.raises(SetupError, match='has 6 iterations per epoch, this start has 12'):  # after 6, within a step
        train(tmp_path / 'after', 2, resume=checkpoint, **accumulate)
    state = torch.load(checkpoint, weights_only=False)
    del state['meta']['epoch_size']  # as in checkpoints of earlier versions
    torch.save(state, tmp_path / 'old.pth')
    with pytest.raises(SetupError, match=message):
        train(tmp_path / 'after', 8, resume=tmp_path / 'old.pth')
    train(tmp_path / 'after', 4, resume=tmp_path / 'old.pth')


def test_other_samplers_start_the_epoch_anew(tmp_path):
    sampler = {'train_dataloader.sampler': dict(_delete_=True, type='DefaultSampler', shuffle=True)}
    train(tmp_path / 'before', 4, **BY_ITERATION, **sampler)
    resumed = train(tmp_path / 'after', 8, resume=tmp_path / 'before' / 'iter_9.pth', **sampler)
    assert resumed == train(tmp_path / 'straight', 8, **sampler)[3:]


@pytest.mark.parametrize(
    ('ends', 'length', 'expected'),
    [
        ([(1, True), (3, True)], 5, 'end after epoch 3, and this start goes on to 5: learning rates stay'),
        ([(18, False)], 5, 'end after epoch 3, and'),
        ([(3, True)], 3, ''),
        ([(3, True)], 2, ''),
        ([(1, True), (10**9, True)], 5, ''),  # one goes on
        ([(5, True)], 5, ''),  # this start has planned it
        ([], 5, ''),
    ],
)
def test_a_start_that_goes_on_after_the_end_of_its_schedules_is_warned(ends, length, expected):
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop.dataloader = range(6)
    lines: list[str] = []
    runner = SimpleNamespace(train_loop=loop, max_epochs=length, logger=SimpleNamespace(warning=lines.append))
    states = [dict(end=end, by_epoch=by_epoch) for end, by_epoch in ends]
    hub = dict(runtime_info=dict(max_epochs=3))
    warn_of_ended_schedules(runner, dict(message_hub=hub, param_schedulers=states))
    assert len(lines) == bool(expected) and all(expected in line for line in lines)
