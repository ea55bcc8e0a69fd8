"""GPUs that torch cannot use stop a job, instead of a training on the CPU or an error at the first kernel."""

import pytest
import torch

from lewel_plugins.errors import SetupError
from lewel_plugins.running import devices

pytestmark = pytest.mark.core


@pytest.fixture
def node(monkeypatch, tmp_path):
    """A machine without an accelerator that torch can use, and the folder in which the driver lists its GPUs."""
    monkeypatch.setattr(devices, 'has_accelerator', lambda: False)
    monkeypatch.setattr(devices, '_NVIDIA_GPUS', tmp_path / 'gpus')
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    return tmp_path / 'gpus'


@pytest.mark.parametrize(
    'environment',
    [{}, {'CUDA_VISIBLE_DEVICES': ''}, {'CUDA_VISIBLE_DEVICES': '-1', 'SLURM_JOB_GPUS': '0'}, {'SLURM_JOB_ID': '7'}],
)
def test_a_job_without_gpus_trains_on_the_cpu(node, environment):
    devices.check_gpus(environment)


@pytest.mark.parametrize('environment', [{'CUDA_VISIBLE_DEVICES': '0,1'}, {'SLURM_JOB_GPUS': '3'}])
def test_a_job_with_gpus_that_torch_cannot_use_is_refused(node, environment):
    expected = r'this job has GPUs, but torch \S+ cannot use them: its CUDA 13.0 needs an NVIDIA driver of version 580'
    with pytest.raises(SetupError, match=expected):
        devices.check_gpus(environment)


def test_a_driver_with_gpus_counts_unless_they_are_hidden(node):
    (node / '0000:01:00.0').mkdir(parents=True)
    with pytest.raises(SetupError, match='CUDA_VISIBLE_DEVICES=-1'):
        devices.check_gpus({})
    devices.check_gpus({'CUDA_VISIBLE_DEVICES': '-1'})


def test_a_torch_without_cuda_is_named(node, monkeypatch):
    monkeypatch.setattr(torch.version, 'cuda', None)
    with pytest.raises(SetupError, match='a build without CUDA'):
        devices.check_gpus({'SLURM_JOB_GPUS': '0'})


@pytest.mark.parametrize(
    'capability, works',
    [((7, 0), False), ((7, 5), True), ((8, 6), True), ((8, 9), True), ((9, 0), True), ((12, 1), True), ((13, 0), True)],
)
def test_a_gpu_without_kernels_is_refused(monkeypatch, capability, works):
    monkeypatch.setattr(devices, 'has_accelerator', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.version, 'hip', None)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'Tesla V100')
    kernels = ['sm_75', 'sm_80', 'sm_86', 'sm_90', 'sm_100', 'sm_120', 'compute_120']
    monkeypatch.setattr(torch.cuda, 'get_arch_list', lambda: kernels)
    if works:
        devices.check_gpus({})
    else:
        with pytest.raises(SetupError, match=r'no kernels for this GPU \(Tesla V100, sm_70\)'):
            devices.check_gpus({})


@pytest.mark.parametrize('compiled', ['not available', '13.0'])
def test_ops_for_cpus_do_not_serve_detection_on_a_gpu(monkeypatch, compiled):
    ops = pytest.importorskip('mmcv.ops')
    monkeypatch.setattr(ops, 'get_compiling_cuda_version', lambda: compiled)
    devices.check_ops('mmdet')  # on a CPU
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    devices.check_ops('mmpretrain')
    if compiled == '13.0':
        devices.check_ops('mmseg')
    else:
        with pytest.raises(SetupError, match="mmseg on a GPU needs mmcv's ops for GPUs.*make ops"):
            devices.check_ops('mmseg')


def test_computes_in_this_process_on_the_gpus_that_were_chosen(monkeypatch):
    chosen = []

    class Device:
        def __init__(self, index: int) -> None:
            self.index = index

        def __enter__(self) -> None:
            chosen.append(self.index)

        def __exit__(self, *_: object) -> None:
            chosen.append(None)

    monkeypatch.setattr(torch.cuda, 'device', Device)
    monkeypatch.setattr(devices.utils, 'DEVICE', 'cuda')
    with devices.computing_on([1, 3]):
        assert devices.get_device() == 'cuda' and chosen == [1]
    with pytest.raises(ZeroDivisionError), devices.computing_on([]):
        assert devices.get_device() == 'cpu'
        raise ZeroDivisionError
    assert devices.get_device() == 'cuda' and chosen == [1, None]
