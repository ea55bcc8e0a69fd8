import pytest
import torch

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import GPU, Machine, machine
from lewel_plugins.planning.machine import machine_facts
from lewel_plugins.running import devices

pytestmark = pytest.mark.core


@pytest.fixture
def computer(monkeypatch):
    monkeypatch.setattr(machine, 'cores', lambda: 6)
    monkeypatch.setattr(machine, 'memory', lambda: 2**34)


def test_a_machine_without_gpus(computer, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    assert machine_facts() == Machine((), 6, 2**34)


def test_each_gpu_with_its_free_memory(computer, monkeypatch):
    monkeypatch.setattr(devices, 'check_gpus', lambda: None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda i: (10 + i, 20 + i))
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda i: f'model {i}')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda i: (8, i))
    expected = GPU(0, 'model 0', 20, 10, (8, 0)), GPU(1, 'model 1', 21, 11, (8, 1))
    assert machine_facts().gpus == expected


def test_gpus_that_torch_cannot_use_are_refused(computer, monkeypatch):
    monkeypatch.setattr(devices, 'has_accelerator', lambda: False)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    with pytest.raises(SetupError, match='this job has GPUs, but torch .* cannot use them'):
        machine_facts()
