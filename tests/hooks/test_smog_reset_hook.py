import json
import warnings
from pathlib import Path

import pytest
import torch
from helpers import tiny
from helpers.toy_runner import toy_runner
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader

from lewel_plugins.hooks import SMoGResetHook, smog_reset_hook
from lewel_plugins.models import SMoG
from lewel_plugins.running import watched_loader

pytestmark = pytest.mark.core


@HOOKS.register_module(force=True)
class Watch(Hook):
    """Records the groups before and after the hooks of every iteration, and whether the teacher is then a copy."""

    priority = 'VERY_LOW'

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.states = getattr(self, 'states', [])
        self.states.append(dict(started=runner.model.head.groups.rows.clone(), filled=runner.model.cache.filled))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        model = runner.model
        online, copied = model.backbone.state_dict(), model.teacher.module.backbone.state_dict()
        self.states[-1].update(
            groups=model.head.groups.rows.clone(),
            room=len(model.cache.rows),
            is_copy=all(torch.equal(online[name], copied[name]) for name in online),
        )


def train(
    work_dir: Path,
    max_iters: int = 5,
    num_groups: int = 6,
    beta: float = 0.9,
    resume: bool = False,
    load_from: Path | None = None,
    accumulate: int = 1,
    **hook: object,
):
    """Train with groups that move so slowly that a reset shows."""
    model = dict(
        type='lewel_plugins.SMoG',
        data_preprocessor=dict(type='SelfSupDataPreprocessor'),
        backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
        neck=tiny.smog_neck_config(in_channels=64),
        **tiny.arguments('SMoG', hid_channels=tiny.HIDDEN, num_groups=num_groups, beta=beta, end_beta=None),
        _delete_=True,
    )
    runner = toy_runner(
        work_dir,
        max_iters,
        model=model,
        resume=resume,
        load_from=load_from and str(load_from),
        optim_wrapper=dict(accumulative_counts=accumulate),
        default_hooks=dict(
            momentum_update=dict(type='lewel_plugins.MomentumUpdateHook'),
            checkpoint=dict(type='lewel_plugins.AtomicCheckpointHook', interval=3, by_epoch=False),
        ),
        custom_hooks=[dict(type='lewel_plugins.SMoGResetHook', **hook), dict(type='mmengine.Watch')],
    )
    runner.train()
    watch = next(h for h in runner.hooks if isinstance(h, Watch))
    return runner, watch.states


def moved(states: list[dict], iteration: int) -> float:
    """Return the largest move of a group from the start of an iteration to its end."""
    return float((states[iteration]['groups'] - states[iteration]['started']).norm(dim=1).max())


@pytest.mark.parametrize('cluster', [True, False])
@pytest.mark.parametrize('teacher', [True, False])
def test_each_half_resets_every_interval_and_not_after_the_last(cluster, teacher, tmp_path):
    _, states = train(tmp_path, 6, interval=2, cluster=cluster, teacher=teacher)
    assert [state['is_copy'] for state in states] == [False, teacher, False, teacher, False, False]
    far = [moved(states, i) > 0.4 for i in range(6)]
    assert far == [False, cluster, False, cluster, False, False]
    filled = [state['filled'] for state in states]
    assert filled == ([0, 8, 0, 8, 0, 8] if cluster else [0] * 6)


def test_a_window_keeps_only_the_last_iterations_before_a_reset(tmp_path):
    runner, states = train(tmp_path, 6, interval=3, window=1)
    assert [state['filled'] for state in states] == [0, 0, 0, 0, 0, 0]
    assert len(runner.model.cache.rows) == runner.model.cache.filled == 8  # memory for one iteration
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('Groups reset: 8 features in 6 groups') == 1
    runner, states = train(tmp_path / 'two', 6, interval=3, window=2)
    assert [state['filled'] for state in states] == [0, 0, 8, 0, 0, 8]
    # A window of the whole interval is the default.
    _, whole = train(tmp_path / 'whole', 4, interval=2, window=2)
    _, default = train(tmp_path / 'default', 4, interval=2)
    assert all(torch.equal(one['groups'], other['groups']) for one, other in zip(whole, default, strict=True))


@pytest.mark.parametrize('window', [1, 2])
def test_interval_and_window_are_optimizer_steps(window, tmp_path):
    """With two iterations per step, the interval of two steps has four iterations."""
    runner, states = train(tmp_path, 10, interval=2, window=window, accumulate=2)
    assert [state['is_copy'] for state in states] == [i in (3, 7) for i in range(10)]
    assert [moved(states, i) > 0.4 for i in range(10)] == [i in (3, 7) for i in range(10)]
    filled = [0, 8, 16, 24] if window == 2 else [0, 0, 0, 8]
    assert [state['filled'] for state in states] == [*filled, *filled, *filled[:2]]
    assert runner.model.head.groups.steps == 5
    assert {state['room'] for state in states} - {0} == {window * 2 * 8}  # allocated once
    # The groups move in every iteration.
    assert all(moved(states, i) > 0 for i in range(10))
    # Twice the images per step are enough for the groups.
    with pytest.raises(ValueError, match='window of 1 of interval = 1 steps of 16 images .* num_groups = 20'):
        train(tmp_path / 'few', interval=1, num_groups=20, accumulate=2)


def test_a_step_that_the_optimizer_skips_does_not_count(tmp_path, monkeypatch):
    """A gradient scaler skips steps that overflow; here the optimizer skips the one of iteration 3, after a reset."""
    count = iter(range(100))
    monkeypatch.setattr(OptimWrapper, 'step', lambda self: self.optimizer.step() if next(count) != 2 else None)
    _, states = train(tmp_path, 6, interval=2)
    assert [state['is_copy'] for state in states] == [False, True, False, False, True, False]


def test_a_training_without_the_hook_warns(tmp_path):
    def run(folder: str, hooks: list[dict]) -> None:
        model = dict(
            type='lewel_plugins.SMoG',
            data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
            backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
            neck=tiny.smog_neck_config(in_channels=64),
            **tiny.arguments('SMoG', hid_channels=tiny.HIDDEN, num_groups=6),
            _delete_=True,
        )
        update = dict(momentum_update=dict(type='lewel_plugins.MomentumUpdateHook'))
        toy_runner(tmp_path / folder, 2, model=model, default_hooks=update, custom_hooks=hooks).train()

    with pytest.warns(UserWarning, match='SMoG trains without SMoGResetHook') as record:
        run('without', [])
    assert sum('SMoGResetHook' in str(warning.message) for warning in record) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings('error', 'SMoG trains')
        run('neither', [dict(type='lewel_plugins.SMoGResetHook', cluster=False, teacher=False)])


@pytest.mark.parametrize('start', ['kmeans', 'random'])
def test_start_of_the_groups(start, tmp_path):
    runner, states = train(tmp_path, 1, interval=300, start=start)
    torch.manual_seed(0)
    fresh = SMoG(
        tiny.backbone_config(), tiny.smog_neck_config(), **tiny.arguments('SMoG', num_groups=6)
    ).head.groups.rows
    assert torch.equal(states[0]['started'], fresh) == (start == 'random')
    torch.testing.assert_close(states[0]['started'].norm(dim=1), torch.ones(6))
    assert (runner.model.head.groups.members.sum() >= 32) == (start == 'kmeans')  # the clusters of one epoch count


def test_a_start_from_kmeans_is_of_the_first_batches_and_leaves_the_run_alone(tmp_path):
    _, first = train(tmp_path / 'a', 2, interval=300)
    _, again = train(tmp_path / 'b', 2, interval=300)
    assert torch.equal(first[1]['groups'], again[1]['groups'])
    random, _ = train(tmp_path / 'c', 1, interval=300, start='random', beta=1.0)
    kmeans, _ = train(tmp_path / 'd', 1, interval=300, beta=1.0)
    # The same views and running statistics, other groups.
    for name, value in random.model.backbone.state_dict().items():
        if 'running' in name:
            torch.testing.assert_close(kmeans.model.backbone.state_dict()[name], value)


def test_the_first_batches_are_loaded_into_pinned_memory_like_those_of_the_run(monkeypatch):
    pinned = []

    def load(*_, pin_memory, **__) -> list:
        pinned.append(pin_memory)
        return []

    monkeypatch.setattr(smog_reset_hook, 'DataLoader', load)
    loader = DataLoader([0], pin_memory=True)
    assert list(smog_reset_hook._first_batches(loader, 1)) == [] and pinned == [True]


def test_the_loader_of_the_first_batches_is_watched_like_that_of_the_run(monkeypatch):
    monkeypatch.setattr(smog_reset_hook, 'islice', lambda loader, count: loader)
    assert isinstance(smog_reset_hook._first_batches(DataLoader([0]), 1), watched_loader._WatchedLoader)


def test_a_resumed_run_does_not_start_its_groups_anew(tmp_path):
    train(tmp_path, 3, interval=300)
    saved = torch.load(tmp_path / 'iter_3.pth', weights_only=False)
    assert [len(state['rows']) for state in saved['rank_state']] == [24]
    assert saved['rank_state'][0]['rows'].untyped_storage().nbytes() == 24 * tiny.EMBEDDING * 2
    runner, states = train(tmp_path, 5, interval=300, resume=True)
    assert torch.equal(states[0]['started'], saved['state_dict']['head.groups.rows'])
    assert states[0]['filled'] == 24 and runner.model.cache.filled == 40


@pytest.mark.parametrize('start', ['kmeans', 'random'])
def test_a_run_from_the_weights_of_another_starts_its_groups_anew(start, tmp_path):
    train(tmp_path / 'other', 6, interval=4)
    saved = torch.load(tmp_path / 'other/iter_6.pth', weights_only=False)
    assert saved['state_dict']['head.groups.steps'] == 6 and len(saved['rank_state'][0]['rows']) == 16
    runner, states = train(tmp_path / 'new', 2, interval=4, start=start, load_from=tmp_path / 'other/iter_6.pth')
    assert states[0]['filled'] == 0 and runner.model.cache.filled == 16
    assert runner.model.head.groups.count_steps() == 2
    fresh = train(tmp_path / 'fresh', 1, interval=4, start=start)[1][0]['started']
    assert not torch.equal(states[0]['started'], saved['state_dict']['head.groups.rows'])
    assert torch.equal(states[0]['started'], fresh) == (start == 'random')  # other weights have other clusters
    log = next((tmp_path / 'new').glob('*/*.log')).read_text()
    assert log.count('Groups reset: 32 features in 6 groups') == (start == 'kmeans')


def test_logs_the_measures_of_the_groups_and_the_resets(tmp_path):
    runner, _ = train(tmp_path, 5, interval=2)
    shares = list(runner.message_hub.get_scalar('train/groups_used').data[0])
    assert len(shares) == 2 and all(0 < share <= 1 for share in shares)
    scalars = next(tmp_path.glob('*/vis_data/scalars.json')).read_text()
    last = [json.loads(line) for line in scalars.splitlines() if 'groups_used' in line][-1]
    ranges = dict(quarter_information=(0, 1.3863), quarter_information_shuffled=(0, 1.3863), participation_ratio=(1, 8))
    for name, (least, most) in dict(ranges, agreement=(0, 1)).items():
        values = list(runner.message_hub.get_scalar(f'train/groups_{name}').data[0])
        assert len(values) == 2 and all(least <= value <= most for value in values)
        # The log has the values themselves, and not means over a window, as of names with `time` or `loss`.
        assert last[f'groups_{name}'] == pytest.approx(values[-1], abs=1e-4)
    assert 'groups_used' in scalars and 'groups_quarter_information_shuffled' in scalars
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('of 1.39 nats') == 2
    assert log.count('Groups reset: 32 features in 6 groups') == 1  # the start
    assert log.count('Groups reset: 16 features in 6 groups') == 2


def test_a_checkpoint_without_the_features_is_reported(tmp_path):
    train(tmp_path, 3, interval=2)
    path = tmp_path / 'iter_3.pth'
    saved = torch.load(path, weights_only=False)
    del saved['rank_state']
    torch.save(saved, path)
    train(tmp_path, 5, interval=2, resume=True)
    log = ''.join(file.read_text() for file in tmp_path.glob('*/*.log'))
    assert 'no cached features' in log


@pytest.mark.parametrize(
    ('arguments', 'numbers'),
    [
        (dict(interval=0), ['interval', '0']),
        (dict(start='zeros'), ['zeros', 'kmeans', 'random']),
        (dict(interval=10, window=0), ['window', '0', 'interval = 10']),
        (dict(interval=10, window=11), ['window', '11', 'interval = 10']),
    ],
    ids=str,
)
def test_constructor_errors(arguments, numbers):
    with pytest.raises(ValueError) as error:
        SMoGResetHook(**arguments)
    assert all(number in str(error.value) for number in numbers)


def test_too_few_features_for_the_groups(tmp_path):
    with pytest.raises(ValueError, match='window of 2 of interval = 2 steps of 8 images .* num_groups = 20'):
        train(tmp_path / 'interval', interval=2, num_groups=20)
    with pytest.raises(ValueError, match='window of 1 of interval = 4 steps of 8 images .* num_groups = 20'):
        train(tmp_path / 'window', interval=4, window=1, num_groups=20)
    with pytest.raises(ValueError, match='40 clusters need .* got 32'):
        train(tmp_path / 'start', interval=300, num_groups=40)


def test_another_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match='SMoGResetHook is for SMoG, but the model is a BYOL'):
        toy_runner(tmp_path, custom_hooks=[dict(type='lewel_plugins.SMoGResetHook')]).train()
