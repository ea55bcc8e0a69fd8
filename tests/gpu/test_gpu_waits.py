"""Between two lines of the log, no iteration of a training waits for the GPU."""

import sys
import warnings
from pathlib import Path

import pytest
import torch
from helpers import pretraining
from helpers.gpus import ON_GPU
from helpers.pretraining import ITERATIONS, Run
from helpers.tool_runs import ROOT
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

sys.path.append(str(ROOT / 'tools'))
from measurements.gpu.waits import Wait, catching, recorded_waits

INTERVAL = 4
CURRENT = [0]
HERE = Path(__file__).name


@HOOKS.register_module(force=True)
class Iterations(Hook):
    """Notes the iteration that runs, and waits for the GPU in one of them."""

    priority = 'VERY_HIGH'

    def __init__(self, wait_in: int | None) -> None:
        self.wait_in = wait_in

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        CURRENT[0] = runner.iter + 1
        if CURRENT[0] == self.wait_in:
            if torch.cuda.is_available():
                torch.ones(1, device='cuda').item()
            else:
                warnings.warn('called a synchronizing CUDA operation', stacklevel=1)


def waits_of_a_run(run: Run, folder: Path, device: str, monkeypatch, wait_in: int | None = None) -> list[Wait]:
    """Train, and return the waits after the first lines of the log and before the end, except at lines of the log."""
    plain = pretraining.config

    def config(*args):
        cfg = plain(*args)
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'mmengine.Journal']  # it reads the losses
        cfg.custom_hooks.append(dict(type='mmengine.Iterations', wait_in=wait_in))
        cfg.default_hooks.logger.interval = cfg.default_hooks.monitor.interval = INTERVAL
        cfg.default_hooks.checkpoint.interval = ITERATIONS
        if device == 'cuda':
            cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
        return cfg

    (folder / 'images').mkdir()
    pretraining.write_images(folder / 'images')
    monkeypatch.setattr(pretraining, 'config', config)
    with recorded_waits(device, lambda: CURRENT[0]) as waits:
        if waits is None:  # on a CPU, only those that a hook pretends
            waits = []
            with catching(waits, lambda: CURRENT[0]):
                pretraining.pretrain(0, run, folder / 'images', folder / 'run')
        else:
            pretraining.pretrain(0, run, folder / 'images', folder / 'run')
    inside = (wait for wait in waits if INTERVAL < wait.iteration < ITERATIONS)
    return [wait for wait in inside if wait.iteration % INTERVAL]


# Nothing waits on a CPU; one method shows that the test runs.
CASES = [('cpu', 'lewel_b')]
CASES += [
    pytest.param('cuda', method, marks=ON_GPU)
    for method in ('lewel_b', 'smog', 'msbreg', 'mpcl_moco', 'mpcl_barlow_twins')
]


@pytest.mark.parametrize(('device', 'method'), CASES)
def test_iterations_that_are_not_logged_do_not_wait(method, device, tmp_path, monkeypatch):
    run = Run(method, views='device', loop='iter', reset=100)
    assert waits_of_a_run(run, tmp_path, device, monkeypatch) == []


def test_a_wait_is_found(device, tmp_path, monkeypatch):
    run = Run('lewel_m', views='device', loop='iter')
    waits = waits_of_a_run(run, tmp_path, device, monkeypatch, wait_in=6)
    assert [wait.iteration for wait in waits] == [6]
    assert f'{HERE}:' in waits[0].source
