"""``compile = True`` in a config: the same numbers, nothing compiled after the first iterations, hooks still called."""

import pretraining
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

# The graphs are what is tried, not the code that is generated from them.
BACKEND = dict(backend='eager')
GRAPHS: list[int] = []


@HOOKS.register_module(force=True)
class CountGraphs(Hook):
    """Graphs compiled up to each iteration."""

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
    # What differs in the iterations that are measured, or after a reset of the groups, is one more.
    assert GRAPHS[-1] - GRAPHS[5] <= 1
    scalars = ''.join(path.read_text() for path in (tmp_path / 'compiled').glob('*/vis_data/scalars.json'))
    assert scalars.count('"rank_me"') == pretraining.ITERATIONS - 4  # the last value is logged, from iteration 5 on
