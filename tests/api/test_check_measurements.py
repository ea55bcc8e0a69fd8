"""Measurements on tiny images: what they find of seeded faults, and what a failed one leaves behind."""

import math
import os
import subprocess
import tempfile
import time

import mmengine.config.config
import mmengine.runner.runner
import pytest
from helpers.preparations import gpu, prepared, write_photos
from mmengine.config import Config

from lewel_plugins.api.measurements import apart, timed_loader, timed_steps
from lewel_plugins.api.measurements.apart import Unmeasured
from lewel_plugins.api.measurements.input import InputMeasurement, fewest_workers, input_findings, waiting
from lewel_plugins.api.measurements.memory import fake_memory
from lewel_plugins.api.measurements.room import (
    checkpoint_bytes,
    disk_findings,
    memory_findings,
    shared_bytes,
    shared_findings,
)
from lewel_plugins.api.measurements.step import (
    StepMeasurement,
    decoding_findings,
    device_environment,
    failed_step,
    measure_step,
    measure_steps,
    step_findings,
)
from lewel_plugins.api.measurements.worker import run_task
from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.errors import SetupError
from lewel_plugins.planning import Machine

pytestmark = pytest.mark.core
STEP = dict(
    seconds_per_step=1.0,
    steps=5,
    batch=8,
    wait=0.0,
    finite=True,
    still=(),
    spread=0.9,
    memory=10**9,
    startup=3.0,
    validation=1.0,
)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp('data') / "it's ä" / 'photos')


def config_of(photos, folder, *overrides, **request) -> Config:
    preparation = prepared(photos, overrides=overrides, workers=0, **request)
    apart._write(folder, preparation)
    return apart.read_config(folder)


@pytest.fixture
def take(tmp_path, monkeypatch):
    """Take steps in this process, without what a Runner logs of config and compilers."""
    monkeypatch.setattr(mmengine.config.config, 'FormatCode', lambda text, **_: (text, False), raising=False)
    monkeypatch.setattr(mmengine.runner.runner, 'collect_env', dict)

    def run(config, timed=5):
        config.train_dataloader.persistent_workers = False
        timed_steps.setup.set_dataloader_defaults(config)
        return timed_steps.take_steps(config, str(tmp_path / 'work'), 8, 2, timed, math.inf)

    return run


def test_steps_are_timed_and_every_parameter_moves(photos, tmp_path, monkeypatch, take):
    saved = []
    find_still = timed_steps._StepTimer._find_still

    def save(self, runner):
        find_still(self, runner)
        runner.save_checkpoint(str(tmp_path), 'x.pth', by_epoch=False)
        saved.append(os.path.getsize(tmp_path / 'x.pth'))

    monkeypatch.setattr(timed_steps._StepTimer, '_find_still', save)
    steps = take(config_of(photos, tmp_path))
    assert len(steps.seconds) == 5 and min(steps.seconds) > 0 and steps.finite and steps.still == []
    assert 0.1 < steps.spread < 1.5 and steps.memory > 10**8
    assert checkpoint_bytes(prepared(photos)) == pytest.approx(saved[0], rel=0.03)


def test_a_frozen_network_and_a_rate_that_is_too_high_are_seen(photos, tmp_path, take):
    frozen = take(config_of(photos, tmp_path, 'optim_wrapper.optimizer.lr=0'), timed=1)
    assert 'backbone.conv1.weight' in frozen.still and frozen.finite
    wild = take(config_of(photos, tmp_path, 'optim_wrapper.optimizer.lr=1e30'), timed=2)
    assert not wild.finite


def test_a_failed_measurement_leaves_nothing_behind(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    processes = []
    start = subprocess.Popen
    monkeypatch.setattr(
        subprocess, 'Popen', lambda *args, **more: processes.append(start(*args, **more)) or processes[-1]
    )
    with pytest.raises(Unmeasured, match='ValueError: queue length must be at least 1, got 0') as caught:
        measure_step(prepared(photos, overrides=('model.queue_len=0',)), 600)
    assert caught.value.kind == 'ValueError'
    began = time.monotonic()
    late = measure_steps(prepared(photos), 1, [None, None])
    assert [str(error) for error in late] == ['with its start, it takes more than 1 s'] * 2 and not any(
        error.kind for error in late
    )
    assert time.monotonic() - began < 20
    for process in processes:
        assert process.poll() is not None
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert len(processes) == 3 and not list(tmp_path.iterdir())
    assert [str(error) for error in measure_steps(prepared(photos), -3, [None])] == ['no time is left']


def test_a_process_ends_with_the_one_that_started_it(photos, tmp_path):
    apart._write(tmp_path, prepared(photos))
    process = subprocess.Popen(
        [apart.sys.executable, '-m', apart.PROGRAM, str(tmp_path)], stdin=subprocess.PIPE, start_new_session=True
    )
    process.stdin.close()
    assert process.wait(60) == -9


def test_the_time_of_a_batch_follows_from_parts_of_it():
    assert timed_steps._part_in_time(128, 8, 1.0, 100) == 64  # 7 × 8 s ≤ 0.8 × 100 s < 7 × 16 s
    assert timed_steps._part_in_time(128, 8, 1.0, 10**6) == 128 and timed_steps._part_in_time(128, 8, 1.0, 1) == 8
    assert timed_steps._extend(8, 1.0, 32, 3.4, 128, 1.0) == pytest.approx(13.0)  # 0.2 s + 0.1 s per image
    assert timed_steps._extend(8, 1.0, 8, 1.0, 128, 1.0) == pytest.approx(16.0)
    assert timed_steps._extend(8, 5.0, 8, 5.0, 128, 0.0) == 5.0


def test_the_loader_alone(photos, tmp_path):
    config = config_of(photos, tmp_path)
    arguments = dict(workers=[0, 1], until=time.time() + 60, started=0.0, seconds=0.2)
    rows = run_task('loader', config, tmp_path, **arguments)['rows']
    assert [row['workers'] for row in rows] == [0, 1]
    assert all(row['cold'] > 0 and row['warm'] > 0 for row in rows)
    paths = timed_loader.image_paths(config)
    assert len(paths) == 16 and all(map(os.path.isfile, paths))
    assert timed_loader.time_loader(config, [1], time.time() - 1)['rows'] == []


def test_the_memory_of_a_gpu_grows_in_proportion(photos, tmp_path):
    try:
        check_torch()
    except SetupError as error:
        with pytest.raises(SetupError, match='a dry run needs torch 2.9 or newer'):
            fake_memory(config_of(photos, tmp_path), 1)
        assert 'newer' in str(error)
        return
    from lewel_plugins.dry_run.gpus import needed_memory
    from lewel_plugins.dry_run.step import DryRun

    machine = Machine((gpu(0), gpu(1)), cores=4)
    config = config_of(photos, tmp_path, machine=machine, batch_size=16, image_size=64)
    assert config.optim_wrapper.dtype == 'bfloat16'
    memory = run_task('memory', config, tmp_path, until=math.inf, started=0.0, ranks=2)
    for batch in (4, 16):
        need = needed_memory(DryRun(config, 2).measure(batch))
        assert memory['fixed'] + batch * memory['per_image'] == pytest.approx(need, rel=0.01)
    assert memory['fixed'] > 2 * 2**30


@pytest.mark.parametrize(
    ('visible', 'index', 'expected'), [(None, 1, '1'), ('3,5', 1, '5'), ('GPU-a, GPU-b', 0, 'GPU-a'), ('', 0, '0')]
)
def test_one_gpu_is_visible(monkeypatch, visible, index, expected):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert device_environment(gpu(index)) == dict(CUDA_VISIBLE_DEVICES=expected)
    assert device_environment(None) == dict(CUDA_VISIBLE_DEVICES='-1')


def test_findings_of_steps():
    assert step_findings(StepMeasurement(**STEP), 'GPU 0') == []
    assert StepMeasurement(**STEP).moves and not StepMeasurement(**{**STEP, 'still': ('a',)}).moves
    cases = {
        'the loss is not finite on GPU 0 within the first 5 steps; lower the rate': dict(finite=False),
        'no step changes these parameters on GPU 0: a, b, c and 2 more': dict(still=tuple('abcde')),
        'all embeddings are equal on GPU 0: the spread is 0': dict(spread=0.0),
    }
    for text, values in cases.items():
        (finding,) = step_findings(StepMeasurement(**{**STEP, **values}), 'GPU 0')
        assert str(finding) == f'error: {text}'
    late, crash = Unmeasured('it takes more than 20 s'), Unmeasured('RuntimeError: no kernel image', 'RuntimeError')
    assert str(failed_step(late, 'the CPU')) == 'note: no step was timed on the CPU: it takes more than 20 s'
    assert str(failed_step(crash, 'GPU 1')) == 'error: a step fails on GPU 1: RuntimeError: no kernel image'


def test_smaller_copies_are_offered_for_huge_photographs():
    assert decoding_findings(StepMeasurement(**STEP), 'photos') == []
    assert decoding_findings(StepMeasurement(**STEP, decoding=0.78, speedup=1.2), 'photos') == []
    (finding,) = decoding_findings(StepMeasurement(**STEP, decoding=0.78, speedup=4.2), 'photos')
    assert str(finding) == (
        'warning: decoding takes 78% of loading time; python tools/data/resize_images.py photos photos-512 --size '
        '512 makes loading about 4 times faster'
    )
    (finding,) = decoding_findings(StepMeasurement(**STEP, decoding=0.78, speedup=4.2), 'my photos')
    assert " tools/data/resize_images.py 'my photos' 'my photos-512' --size" in str(finding)


def test_a_wait_for_images_names_the_workers_that_end_it():
    loader = InputMeasurement((1, 2, 4), (400, 700, 1500), (500, 1000, 1900))
    assert loader.supply(2) == 1000 and loader.supply(3) == 1500 and loader.supply(6) == pytest.approx(2850)
    assert waiting(700, 1000) == pytest.approx(0.3) and waiting(2000, 1000) == 0
    assert fewest_workers([500, 1000, 1500], 1200) == 3 and fewest_workers([500], 1200) is None
    (finding,) = input_findings(loader, demand=2714, workers=4, most=15)
    assert str(finding) == 'warning: the GPU would wait 30% of the time: use 8 workers'
    (finding,) = input_findings(loader, demand=2714, workers=4, most=5)
    assert str(finding) == 'warning: the GPU would wait 30% of the time, and more workers than cores gain nothing'
    assert input_findings(loader, demand=1900, workers=4, most=15) == []
    (finding,) = input_findings(loader, demand=790, workers=8, most=15)
    assert str(finding) == (
        'note: the GPU takes 790 views/s, 2 workers of 8 in the plan make 1,000: --workers 2 is enough'
    )
    assert input_findings(loader, demand=790, workers=2, most=15) == []
    (finding,) = input_findings(loader, demand=100, workers=0, most=4)
    assert finding.text == 'the GPU would wait 100% of the time: use 1 worker'


def test_room_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status = dict(f_bavail=1_200_000, f_frsize=1000, f_flag=0)
    monkeypatch.setattr(os, 'statvfs', lambda _: type('Status', (), status))
    assert disk_findings(1_000_000_000, 'runs/a') == []
    (finding,) = disk_findings(3_100_000_000, 'runs/a')
    assert str(finding) == 'error: this run needs 3.1 GB in runs/a, but 1.2 GB are free'
    (finding,) = disk_findings(3_100_000_000, None)
    assert str(finding) == f'error: this run needs 3.1 GB in {tmp_path}, but 1.2 GB are free'
    monkeypatch.setattr(os, 'access', lambda *_: False)
    (finding,) = disk_findings(1, 'runs/a')
    assert str(finding) == 'error: cannot write to runs/a: permission denied'
    status['f_flag'] = os.ST_RDONLY
    (finding,) = disk_findings(1, 'runs/a')
    assert str(finding) == 'error: cannot write to runs/a: read-only file system'


def test_room_in_memory(photos, tmp_path, monkeypatch):
    preparation = prepared(photos, Machine((gpu(0), gpu(1)), cores=8), workers=3, batch_size=16, image_size=64)
    assert shared_bytes(preparation) == 3 * 2 * 16 * 2 * 3 * 64 * 64
    monkeypatch.setattr('shutil.disk_usage', lambda folder: type('Usage', (), dict(free=67_000_000)))
    assert shared_findings(60_000_000, 4, str(tmp_path)) == [] == shared_findings(10**9, 4, '/none')
    (finding,) = shared_findings(200_000_000, 4, '/dev')
    assert str(finding) == (
        'error: 4 workers need 0.2 GB in /dev, but 0.1 GB are free; use --workers 1, or start the container with a '
        'larger --shm-size'
    )
    assert memory_findings(10**9, 0) == [] == memory_findings(10**9, 2 * 10**9)
    (finding,) = memory_findings(3_100_000_000, 2_000_000_000)
    assert str(finding) == 'warning: this run needs about 3.1 GB of main memory, but there are 2.0 GB'
