import json
from pathlib import Path

import pytest
import torch
from helpers import references_mpcl as naive_mpcl
from helpers import tiny_mpcl
from helpers.toy_runner import toy_runner
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

import lewel_plugins.models  # noqa: F401
from lewel_plugins.hooks import MPCLReweightHook

pytestmark = pytest.mark.core

ITERATIONS, EPOCH = 8, 4


@HOOKS.register_module(force=True)
class Accuracies(Hook):
    """Records what every iteration adds to the sums, and the weights that it uses."""

    priority = 'VERY_HIGH'  # runs before the sums are cleared

    def __init__(self) -> None:
        self.iterations: list[tuple[list[float], list[float]]] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.before = runner.model.head.balance.correct.clone()
        self.weights = runner.model.head.balance.weights.tolist()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.iterations.append(((runner.model.head.balance.correct - self.before).tolist(), self.weights))


def run(folder: Path, loop: str, load_from: Path | None = None, **arguments: object):
    loops = dict(
        epoch=dict(type='EpochBasedTrainLoop', max_epochs=ITERATIONS // EPOCH),
        iteration=dict(type='IterBasedTrainLoop', max_iters=ITERATIONS),
    )
    config = tiny_mpcl.config('mpcl_moco', queue_len=16)
    runner = toy_runner(
        folder,
        model=dict(_delete_=True, type='lewel_plugins.MPCLMoCo', **config),
        train_cfg=dict(_delete_=True, **loops[loop]),
        load_from=load_from and str(load_from),
        custom_hooks=[
            dict(type='mmengine.Accuracies'),
            dict(type='lewel_plugins.MomentumUpdateHook'),
            dict(type='lewel_plugins.MPCLReweightHook', **arguments),
        ],
        **{'default_hooks.monitor': dict(type='lewel_plugins.RepresentationMonitorHook', interval=2)},
    )
    runner.train()
    return runner


def scalars(folder: Path) -> list[dict]:
    (file,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize('loop', ['epoch', 'iteration'])
def test_weights_follow_the_epochs_accuracies(tmp_path, loop):
    runner = run(tmp_path, loop, **(dict(interval=EPOCH) if loop == 'iteration' else {}))
    journal = next(hook for hook in runner.hooks if isinstance(hook, Accuracies)).iterations
    assert len(journal) == ITERATIONS
    expected = [1 / 3] * 3
    logged = [line for line in scalars(tmp_path) if 'projector/cosine' in line]
    assert [line['step'] for line in logged] == [4, 8]
    for epoch, line in enumerate(logged):
        part = journal[epoch * EPOCH : (epoch + 1) * EPOCH]
        assert all(weights == pytest.approx(expected) for _, weights in part)
        accuracies = [sum(correct[m] for correct, _ in part) / (8 * EPOCH) for m in range(3)]  # batches of 8
        expected = naive_mpcl.weights_after(accuracies)
        for m in range(3):
            assert line[f'projector/accuracy_{m + 1}'] == pytest.approx(accuracies[m], abs=1e-6)
            assert line[f'projector/weight_{m + 1}'] == pytest.approx(expected[m], abs=1e-6)
        for name in ('cosine', 'cka'):
            pairs = [line[f'projector/{name}_{pair}'] for pair in ('1_2', '1_3', '2_3')]
            assert line[f'projector/{name}'] == pytest.approx(sum(pairs) / 3) and len(set(pairs)) == 3
        assert len(set(accuracies)) > 1
    assert runner.model.head.balance.weights.tolist() == pytest.approx(expected, abs=1e-6)
    assert runner.model.head.balance.images.item() == 0
    assert any('std' in line for line in scalars(tmp_path))  # the monitor accepts M projectors


def test_the_checkpoint_of_an_epochs_end_has_its_weights(tmp_path):
    runner = run(tmp_path, 'epoch')
    state = torch.load(tmp_path / 'iter_8.pth', weights_only=False)['state_dict']
    assert state['head.balance.weights'].tolist() == runner.model.head.balance.weights.tolist() != [1 / 3] * 3


def test_a_run_from_the_weights_of_another_starts_with_equal_weights(tmp_path):
    run(tmp_path / 'other', 'epoch')
    runner = run(tmp_path / 'new', 'epoch', load_from=tmp_path / 'other/iter_8.pth')
    journal = next(hook for hook in runner.hooks if isinstance(hook, Accuracies)).iterations
    assert journal[0][1] == pytest.approx([1 / 3] * 3)


def test_percent(tmp_path):
    runner = run(tmp_path, 'epoch', percent=True)
    last = [line for line in scalars(tmp_path) if 'projector/cosine' in line][-1]
    accuracies = [100 * last[f'projector/accuracy_{m + 1}'] for m in range(3)]
    expected = naive_mpcl.weights_after(accuracies)  # a constant instead of 1 changes nothing
    assert runner.model.head.balance.weights.tolist() == pytest.approx(expected, rel=1e-4)


def test_without_epsilon_it_only_logs(tmp_path):
    runner = run(tmp_path, 'epoch', epsilon=None)
    assert runner.model.head.balance.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert sum('projector/accuracy_1' in line for line in scalars(tmp_path)) == 2


def test_an_undefined_cka_is_not_logged(tmp_path):
    """All images are the same to a projector whose weights are zero."""
    runner = run(tmp_path, 'epoch')
    balance = runner.model.head.balance
    balance.images.fill_(8)
    balance.hsic.copy_(torch.tensor([[1.0, 0, 0.5], [0, 0, 0], [0.5, 0, 1]]))
    next(hook for hook in runner.hooks if isinstance(hook, MPCLReweightHook))._reweight(runner, 9)
    last = scalars(tmp_path)[-1]
    assert last['step'] == 9 and 'projector/cosine_1_2' in last and not any('cka' in name for name in last)


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='epsilon must be positive.* got 0'):
        MPCLReweightHook(epsilon=0)
    with pytest.raises(ValueError, match='interval .* at least 1, got 0'):
        MPCLReweightHook(interval=0)
    with pytest.raises(ValueError, match='needs interval'):
        run(tmp_path / 'a', 'iteration')
    with pytest.raises(ValueError, match='BYOL has no head.balance'):
        toy_runner(tmp_path / 'b', custom_hooks=[dict(type='lewel_plugins.MPCLReweightHook')]).train()
