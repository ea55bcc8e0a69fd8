"""The signals that PreemptionHook listens for, and from when on; tests/test_resume.py stops whole trainings."""

import os
import signal
import time
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
from torch import distributed

from lewel_plugins import dist
from lewel_plugins.hooks import AtomicCheckpointHook, PreemptionHook, preemption_hook

pytestmark = pytest.mark.core


@pytest.fixture
def runner():
    return SimpleNamespace(hooks=[AtomicCheckpointHook(interval=1)], optim_wrapper=None, iter=0)


@pytest.fixture(autouse=True)
def handlers():
    handlers = {number: signal.getsignal(number) for number in PreemptionHook.signals}
    yield handlers
    preemption_hook._listening.clear()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_listens_from_before_to_after_the_training(runner, handlers):
    hook = PreemptionHook()
    hook.before_train(runner)
    for number in hook.signals:
        os.kill(os.getpid(), number)
        assert hook._reason == signal.Signals(number).name
    hook.after_train(runner)
    assert {number: signal.getsignal(number) for number in hook.signals} == handlers


def test_no_rank_starts_before_all_listen(runner, handlers, monkeypatch):
    """The ranks wait for each other in new_group: a signal to one that did not listen yet would kill the run."""
    listened = []

    def new_group(**options):
        listened.extend(number for number in PreemptionHook.signals if signal.getsignal(number) != handlers[number])

    monkeypatch.setattr(dist, 'world_size', lambda: 2)
    monkeypatch.setattr(distributed, 'new_group', new_group)
    PreemptionHook().before_train(runner)
    assert tuple(listened) == PreemptionHook.signals


@pytest.mark.parametrize('number', PreemptionHook.signals)
def test_a_process_that_the_training_forks_ends_by_the_signal(runner, number):
    hook = PreemptionHook()
    hook.before_train(runner)
    for pause in (0, 0, 0, 0.5):  # also by one that arrives while Python forks
        child = get_context('fork').Process(target=time.sleep, args=(60,))
        child.start()
        time.sleep(pause)
        os.kill(child.pid, number)
        child.join(30)
        ended = child.exitcode
        child.kill()
        assert ended == -number
    os.kill(os.getpid(), number)
    assert hook._reason == signal.Signals(number).name  # the training itself still listens


@pytest.mark.parametrize('minutes', [0, -1])
def test_limits_are_positive(minutes):
    with pytest.raises(ValueError, match=f'max_minutes must be positive, or None for no limit, got {minutes}'):
        PreemptionHook(minutes)


def test_a_time_limit_needs_checkpoints_of_its_kind():
    with pytest.raises(ValueError, match='max_minutes needs lewel_plugins.AtomicCheckpointHook as default_hooks.check'):
        PreemptionHook(1).before_train(SimpleNamespace(hooks=[]))


def test_signals_end_a_run_without_checkpoints_as_usual(handlers):
    hook, runner = PreemptionHook(), SimpleNamespace(hooks=[])
    hook.before_train(runner)
    assert {number: signal.getsignal(number) for number in hook.signals} == handlers
    hook.after_train_iter(runner, 0)
    hook.after_train(runner)
