"""With ``deterministic``, a run on the device that is stopped and resumed equals one without a break, bit for bit."""

from pathlib import Path

import pytest
import torch
from helpers import pretraining
from helpers.gpus import ON_GPU
from helpers.pretraining import ITERATIONS, Run, different, journal, pretrain

from lewel_plugins.hooks import StoppedRun

# tests/test_resume.py has all methods on the CPU.
CASES = [('cpu', 'lewel_b')]
CASES += [pytest.param('cuda', method, marks=ON_GPU) for method in ('lewel_b', 'smog', 'msbreg', 'mpcl_moco')]


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    pretraining.write_images(folder)
    return folder


@pytest.fixture
def deterministic(device, monkeypatch) -> None:
    """Make runs deterministic, in bfloat16 on a GPU."""
    plain = pretraining.config

    def config(*args):
        cfg = plain(*args)
        cfg.randomness.deterministic = True
        if device == 'cuda':
            cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
        return cfg

    monkeypatch.setattr(pretraining, 'config', config)


@pytest.mark.parametrize(('device', 'method'), CASES)
def test_resumed_is_the_same_bit_for_bit(method, device, deterministic, images, tmp_path):
    run = Run(method, views='device')
    expected = pretrain(0, run, images, tmp_path / 'straight')
    assert next(iter(expected['state'].values())).device.type == device
    assert torch.are_deterministic_algorithms_enabled()
    with pytest.raises(StoppedRun):
        pretrain(0, run, images, tmp_path / 'stopped', stop_in=7)
    assert max(journal(tmp_path / 'stopped', 0)) == 7
    resumed = pretrain(0, run, images, tmp_path / 'stopped', resume=True)
    assert resumed['iterations'] == ITERATIONS
    assert different(resumed, expected) == []
    assert journal(tmp_path / 'stopped', 0) == journal(tmp_path / 'straight', 0)
