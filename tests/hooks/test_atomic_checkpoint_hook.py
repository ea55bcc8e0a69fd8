import logging
import os
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from helpers.ranks import on_ranks
from helpers.toy_runner import toy_runner
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from lewel_plugins.hooks import AtomicCheckpointHook, atomic_checkpoint_hook

pytestmark = pytest.mark.core


def _hook(**arguments) -> dict:
    return dict(type='lewel_plugins.AtomicCheckpointHook', by_epoch=False, **arguments)


def _pointed_to(folder: Path) -> Path:
    return Path((folder / 'last_checkpoint').read_text())


def _load(path: Path) -> dict:
    return torch.load(path, map_location='cpu', weights_only=False)


def test_keeps_the_latest(tmp_path):
    runner = toy_runner(tmp_path, **{'default_hooks.checkpoint': _hook(interval=1, max_keep_ckpts=2)})
    runner.train()
    assert sorted(p.name for p in tmp_path.glob('*.pth*')) == ['iter_3.pth', 'iter_4.pth']
    assert _pointed_to(tmp_path) == tmp_path / 'iter_4.pth'
    assert runner.message_hub.get_info('keep_ckpt_ids') == [3, 4]
    saved = _load(tmp_path / 'iter_4.pth')
    assert saved['meta']['iter'] == 4
    for name, value in runner.model.state_dict().items():
        assert torch.equal(saved['state_dict'][name], value)


def test_keeps_the_best(tmp_path):
    hook = _hook(interval=1, max_keep_ckpts=1, save_best='knn/top1', rule='greater')
    runner = toy_runner(tmp_path, val_interval=1, **{'default_hooks.checkpoint': hook})
    runner.train()
    best = list(tmp_path.glob('best*.pth'))
    assert best == [Path(runner.message_hub.get_info('best_ckpt'))]
    history = runner.message_hub.get_scalar('val/knn/top1').data[0]
    assert runner.message_hub.get_info('best_score') == max(history)
    assert best[0].name == f'best_knn_top1_iter_{list(history).index(max(history)) + 1}.pth'
    assert [p.name for p in tmp_path.glob('iter*.pth')] == ['iter_4.pth']


def test_resumes_and_cleans_up_after_a_kill(tmp_path):
    hook = {'default_hooks.checkpoint': _hook(interval=2, max_keep_ckpts=1)}
    toy_runner(tmp_path, max_iters=4, **hook).train()
    # The state after a kill between the write of iter_4 and the deletion of iter_2, and one during the write of iter_6.
    (tmp_path / 'iter_2.pth').write_bytes(b'outdated')
    (tmp_path / 'iter_6.pth.partial').write_bytes(b'torn')
    runner = toy_runner(tmp_path, max_iters=6, resume=True, **hook)
    runner.train()
    assert runner.iter == 6
    assert sorted(p.name for p in tmp_path.glob('*.pth*')) == ['iter_6.pth']


def _save_forever(runner, hook) -> None:
    while True:
        runner.train_loop._iter += 1
        hook.after_train_iter(runner, 0)


def _survives_kills(tmp_path: Path, hook: CheckpointHook, kills: int) -> bool:
    """Kill a process that writes checkpoint after checkpoint; return whether ``last_checkpoint`` was always good."""
    runner = toy_runner(tmp_path, max_iters=2, default_hooks=dict(checkpoint=None))
    runner.train()
    runner.model.register_buffer('ballast', torch.zeros(4_000_000))  # makes a write slow
    runner.logger.setLevel('ERROR')
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)  # saves iter_3, because the loop is at iteration 2
    delays = random.Random(0)
    last = 3
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            try:
                _save_forever(runner, hook)
            finally:
                os._exit(1)
        time.sleep(delays.uniform(0.1, 0.7))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            saved = _load(_pointed_to(tmp_path))
        except Exception:
            return False
        step = saved['meta']['iter']
        if _pointed_to(tmp_path).name != f'iter_{step}.pth' or step < last:
            return False
        # The next one resumes from it, and saves the following step first, as a resumed run does: a checkpoint that was
        # written but not yet pointed to is written again.
        last = step
        runner.train_loop._iter = step - 1
        runner.message_hub.update_info('keep_ckpt_ids', saved['message_hub']['runtime_info']['keep_ckpt_ids'])
        hook.out_dir = str(tmp_path)
        hook.before_train(runner)
        assert not list(tmp_path.glob('*.partial'))
        assert len(list(tmp_path.glob('iter_*.pth'))) <= 2
    return last > 3


def test_last_checkpoint_is_whole_after_kills(tmp_path):
    hook = AtomicCheckpointHook(interval=1, by_epoch=False, max_keep_ckpts=1)
    assert _survives_kills(tmp_path, hook, kills=12)


def test_old_checkpoint_outlives_a_failed_write(tmp_path, monkeypatch):
    runner = toy_runner(tmp_path, max_iters=2, **{'default_hooks.checkpoint': _hook(interval=1, max_keep_ckpts=1)})

    def full_disk(source, target):
        if Path(target).name == 'iter_2.pth':
            raise OSError('no space left')
        return replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, 'replace', full_disk)
    with pytest.raises(OSError, match='no space left'):
        runner.train()
    assert _pointed_to(tmp_path).name == 'iter_1.pth'
    assert _load(tmp_path / 'iter_1.pth')['meta']['iter'] == 1


class _Clock:
    """Stands in for the module ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ('minutes_per_epoch', 'interval', 'epochs'),
    [(4, 1, [3, 6]), (11, 1, [1, 2, 3, 4, 5, 6]), (1, 1, [6]), (4, 2, [4, 6])],
)
def test_saves_the_first_epoch_that_ends_late_enough(monkeypatch, minutes_per_epoch, interval, epochs):
    clock, saved = _Clock(), []
    monkeypatch.setattr(atomic_checkpoint_hook, 'time', clock)
    hook = AtomicCheckpointHook(interval=interval, minutes=10)
    hook.atomic = True
    monkeypatch.setattr(hook, '_save_atomically', lambda runner, step, meta: saved.append(step))
    runner = SimpleNamespace(max_epochs=6, iter=0, model=torch.nn.Identity(), logger=logging.getLogger('test'))
    for runner.epoch in range(6):
        clock.now += 60 * minutes_per_epoch
        hook.after_train_epoch(runner)
    assert saved == epochs


def test_when_it_saves_does_not_change_the_training(tmp_path, monkeypatch):
    states = []
    for name, minutes, count in (('rare', 1e6, 1), ('often', 1e-9, 2)):
        hook = dict(_hook(interval=1, minutes=minutes), by_epoch=True)
        loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2)
        changes = {'train_dataloader.batch_size': 16, 'train_cfg': loop, 'default_hooks.checkpoint': hook}
        runner = toy_runner(tmp_path / name, **changes)
        runner.train()
        assert len(list((tmp_path / name).glob('*.pth'))) == count
        states.append(runner.model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _is_time(rank: int, clocks: tuple[float, ...]) -> bool:
    hook = AtomicCheckpointHook(interval=1, minutes=10)
    hook._last_time = 0.0
    with patch.object(atomic_checkpoint_hook, 'time', SimpleNamespace(monotonic=lambda: clocks[rank])):
        return hook._is_time()


@pytest.mark.parametrize(('clocks', 'expected'), [((601.0, 599.0), True), ((599.0, 601.0), False)])
def test_ranks_go_by_the_clock_of_the_first_one(tmp_path, clocks, expected):
    assert on_ranks(2, tmp_path, _is_time, clocks) == [expected, expected]


def test_minutes_that_cannot_be_right():
    with pytest.raises(ValueError, match='minutes must be positive, or None to save by interval alone, got 0'):
        AtomicCheckpointHook(interval=1, minutes=0)
    with pytest.raises(ValueError, match='minutes needs by_epoch=True'):
        AtomicCheckpointHook(interval=1, by_epoch=False, minutes=10)


def test_other_backends_are_left_to_mmengine(tmp_path):
    calls = []

    class Remote:
        join_path = staticmethod(os.path.join)

        def put(self, obj, filepath):
            calls.append(filepath)

        def isfile(self, filepath):
            return False

        def isdir(self, filepath):
            return False

    register_backend('toy_remote', type('ToyRemote', (Remote, LocalBackend.__bases__[0]), _abstract()), force=True)
    hook = _hook(interval=2, max_keep_ckpts=1, out_dir='toy', backend_args=dict(backend='toy_remote'))
    toy_runner(tmp_path / 'run', **{'default_hooks.checkpoint': hook}).train()
    assert calls == ['toy/run/iter_2.pth', 'toy/run/iter_4.pth']


def _abstract() -> dict:
    return dict(get=lambda self, filepath: b'', get_text=lambda self, filepath: '')
