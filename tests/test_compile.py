"""``compile = True`` gives the same numbers, compiles only in the first iterations, and still calls hooks."""

from functools import partial

import pytest
import torch
from helpers import pretraining
from helpers.ranks import on_ranks
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from lewel_plugins import dist

# The test is about the graphs, not about the code that is generated from them.
BACKEND = dict(backend='eager')
GRAPHS: list[int] = []


@HOOKS.register_module(force=True)
class CountGraphs(Hook):
    """Records the number of compiled graphs up to each iteration."""

    def before_train(self, runner) -> None:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        GRAPHS.clear()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        GRAPHS.append(torch._dynamo.utils.counters['stats']['unique_graphs'])


@pytest.mark.parametrize(
    'run',
    [pretraining.Run('lewel_m', views='device'), pretraining.Run('smog'), pretraining.Run('msbreg')],
    ids=lambda run: run.method,
)
def test_compiled_steps_are_the_same_and_compiled_once(run, tmp_path, monkeypatch):
    (tmp_path / 'images').mkdir()
    pretraining.write_images(tmp_path / 'images')
    plain_config, logged = pretraining.config, {}

    def compiled_config(*args):
        cfg = plain_config(*args)
        cfg.compile = BACKEND
        cfg.default_hooks.monitor.interval = 5
        cfg.custom_hooks.append(dict(type='mmengine.CountGraphs'))
        return cfg

    for name, config in dict(plain=plain_config, compiled=compiled_config).items():
        monkeypatch.setattr(pretraining, 'config', config)
        pretraining.pretrain(0, run, tmp_path / 'images', tmp_path / name)
        journal = pretraining.journal(tmp_path / name, 0)
        logged[name] = [[float.fromhex(value) for value in losses.values()] for losses in journal.values()]
    torch.testing.assert_close(logged['compiled'], logged['plain'], rtol=1e-4, atol=1e-5)
    assert len(GRAPHS) == pretraining.ITERATIONS and 0 < GRAPHS[5] < 20
    # One more graph is allowed if measured iterations, or those after a reset of the groups, differ.
    assert GRAPHS[-1] - GRAPHS[5] <= 1
    scalars = ''.join(path.read_text() for path in (tmp_path / 'compiled').glob('*/vis_data/scalars.json'))
    assert scalars.count('"rank_me"') == pretraining.ITERATIONS - 4  # the last value is logged, from iteration 5 on


def compiled_collectives(rank: int) -> dict[str, list]:
    """Return value and gradient of each collective in a function, without and with compilation."""

    def shuffled(x: Tensor) -> Tensor:
        y, order = dist.start_batch_shuffle(x.detach())()
        return x * dist.batch_unshuffle(2 * y, order)

    def averaged(x: Tensor) -> Tensor:
        mean = x.detach().clone()
        dist.average_([mean])
        return x * mean

    collectives = dict(
        sum=dist.all_reduce_sum,
        sum_of_one_loss=partial(dist.all_reduce_sum, same_loss=True),
        gather=dist.all_gather,
        gather_in_order=lambda x: dist.in_batch_order(dist.all_gather(x)),
        shuffle=shuffled,
        average=averaged,
    )
    actual: dict[str, list] = {}
    for name, collective in collectives.items():
        function = lambda x, collective=collective: (3 * collective(2 * x)).pow(3).sum()  # noqa: E731
        for step in (function, torch.compile(function, **BACKEND)):
            torch.manual_seed(rank)
            x = torch.randn(4, 3, requires_grad=True)
            value = step(x)
            value.backward()
            actual.setdefault(name, []).append([value.detach(), x.grad])
    return actual


def test_collectives_keep_their_gradient(tmp_path):
    for actual in on_ranks(2, tmp_path, compiled_collectives):
        for name, (plain, compiled) in actual.items():
            assert plain[1].abs().min() > 0, name
            torch.testing.assert_close(compiled, plain, rtol=1e-6, atol=0, msg=name)
