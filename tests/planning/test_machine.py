import pytest
import torch

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import GPU, Machine, machine
from lewel_plugins.planning.devices import choose_gpus
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
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: None)
    expected = GPU(0, 'model 0', 20, 10, (8, 0)), GPU(1, 'model 1', 21, 11, (8, 1))
    assert machine_facts().gpus == expected


@pytest.fixture
def three_gpus(computer, monkeypatch):
    """Two of which a process keeps memory, and one that is broken."""
    free = [30, 60, 0]

    def mem_get_info(index: int) -> tuple[int, int]:
        if index == 2:
            raise RuntimeError('CUDA error: all CUDA-capable devices are busy or unavailable\nFor debugging …')
        return free[index], 100

    monkeypatch.setattr(devices, 'check_gpus', lambda: None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 3)
    monkeypatch.setattr(torch.cuda, 'mem_get_info', mem_get_info)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: free.__setitem__(0, 95))
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda i: 'model')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda i: (9, 0))


def test_memory_that_this_process_keeps_without_use_is_free(three_gpus):
    assert [gpu.free for gpu in machine_facts().gpus[:2]] == [95, 60]


def test_a_gpu_that_does_not_answer_is_left_out_with_the_reason(three_gpus):
    setting = choose_gpus(machine_facts().gpus, None)
    problem = 'GPU 2 cannot be used: CUDA error: all CUDA-capable devices are busy or unavailable'
    assert [gpu.index for gpu in setting.value] == [0] and setting.reason == f'1 × model; GPU 1 is in use; {problem}'
    with pytest.raises(SetupError, match='--gpus is 3, but only 2 × model can be used$'):
        choose_gpus(machine_facts().gpus, 3)
    with pytest.raises(SetupError, match=f'^no GPU can be used: {problem}; use --gpus 0 for the CPU$'):
        choose_gpus(machine_facts().gpus[2:], None)


def test_gpus_in_use_are_taken_if_their_number_is_given(three_gpus):
    gpus = machine_facts().gpus
    free, both = choose_gpus(gpus, 1), choose_gpus(gpus, 2)
    assert free.value == gpus[:1] and not free.warning
    assert both.value == gpus[:2]
    assert both.warning == 'in use, but taken because --gpus is 2: GPU 1 with 0.0 of 0.0 GB free'
    with pytest.raises(SetupError, match='no GPU is free: .* wait, take the freest anyway with --gpus N, or'):
        choose_gpus(gpus[1:], None)
    lines = []
    assert machine.gpus_of_this_start(2, lines.append) == gpus[:2] and lines == [f'warning: {both.warning}']


def test_the_freest_of_the_gpus_in_use_are_taken_and_free_models_first():
    used = [GPU(i, 'large', 100, free, (9, 0)) for i, free in enumerate((20, 70, 50))]
    assert choose_gpus(tuple(used), 2).value == tuple(used[1:])
    small = [GPU(i, 'small', 40, 40, (7, 0)) for i in (3, 4)]
    assert choose_gpus((*used, *small), 2).value == tuple(small)
    assert choose_gpus((*used, *small), 3).value == tuple(used)


def test_a_run_goes_on_on_the_gpus_that_are_free_now(monkeypatch):
    gpus = tuple(GPU(i, 'model', 100, free, (9, 0)) for i, free in enumerate((10, 95, 20, 95)))
    monkeypatch.setattr(machine, 'machine_facts', lambda: Machine(gpus))
    assert machine.gpus_of_this_start(None) == gpus[1::2] and machine.gpus_of_this_start(1) == gpus[1:2]
    assert machine.gpus_of_this_start(0) == ()
    assert machine.gpus_of_this_start(3) == gpus[1:]
    with pytest.raises(SetupError, match='--gpus is 5, but only 4 × model can be used'):
        machine.gpus_of_this_start(5)


def test_gpus_that_torch_cannot_use_are_refused(computer, monkeypatch):
    monkeypatch.setattr(devices, 'has_accelerator', lambda: False)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    with pytest.raises(SetupError, match='this job has GPUs, but torch .* cannot use them'):
        machine_facts()
    assert machine_facts(0) == Machine((), 6, 2**34)
    assert choose_gpus((), 0).reason == 'as requested'
