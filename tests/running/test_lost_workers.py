"""A worker that dies or hangs ends a command with one line, which names the file that the worker was loading."""

import copy
import multiprocessing
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import pin_memory, signal_handling

from lewel_plugins.datasets import PretrainDataset
from lewel_plugins.running import entry_point, lost_workers, watched_loader
from lewel_plugins.running.loading_record import LoadingRecord, loading_of
from lewel_plugins.running.lost_workers import LOADER_TIMEOUT, lost_worker, with_timeout
from lewel_plugins.running.setup import PretrainRunner
from lewel_plugins.running.watched_loader import watched

pytestmark = pytest.mark.core


class Files(Dataset):
    """Eight files; in a worker, one of them ends or stops it."""

    def __init__(self, fatal: int = 5, what: str = '') -> None:
        self.fatal, self.what = fatal, what

    def __len__(self) -> int:
        return 8

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=f'photos/{index}.jpg')

    def __getitem__(self, index: int) -> dict:
        if index == self.fatal and self.what == 'hang':
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as of one that waits for a dead network disk
            time.sleep(100)
        elif index == self.fatal and self.what == 'exit':
            os._exit(3)
        elif index == self.fatal and self.what:
            os.kill(os.getpid(), getattr(signal, self.what))
        return dict(inputs=torch.ones(2), data_samples={})


def fatal_collate(samples: list) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def ending(monkeypatch):
    """Return a function that reads a loader in a command, and returns the command's exit status."""
    monkeypatch.setattr(entry_point, 'confine_torch_load', lambda: None)
    before = signal.getsignal(signal.SIGCHLD)
    signal_handling._SIGCHLD_handler_set = False
    signal_handling._set_SIGCHLD_handler()  # as the first loader with workers does, once in a process
    handler = signal.getsignal(signal.SIGCHLD)

    def end(dataset: Dataset, collate=default_collate, batch: int = 2, **options) -> object:
        loader = watched(DataLoader(dataset, batch, num_workers=2, collate_fn=collate, **options))
        signal.signal(signal.SIGCHLD, handler)
        try:
            entry_point.run_main(lambda: list(loader))
        except SystemExit as stop:
            return stop.code
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # it would raise torch's error anywhere
        raise AssertionError('the loader came to its end')

    yield end
    signal.signal(signal.SIGCHLD, before)
    signal_handling._SIGCHLD_handler_set = False


@pytest.mark.parametrize(
    ('what', 'words'),
    [
        ('SIGKILL', 'was killed by SIGKILL while it was loading photos/5.jpg, as the system does when main memory is'),
        ('SIGBUS', 'was killed by SIGBUS while it was loading photos/5.jpg, as when shared memory (/dev/shm) is full'),
        (
            'exit',
            'has ended with status 3 while it was loading photos/5.jpg; if it is the same image again, replace its',
        ),
    ],
)
def test_a_dead_worker_is_one_line_with_its_file(ending, what, words):
    status = ending(PretrainDataset(Files(what=what)))
    assert status.startswith(f'error: worker 0 of a data loader {words}') and '\n' not in status


def test_a_worker_may_die_with_its_images_loaded_or_without_a_record(ending):
    status = ending(PretrainDataset(Files()), fatal_collate)
    assert any(f'worker {i} of a data loader was killed by SIGKILL after it had loaded photos/{2 * i + 1}.jpg' in status
               for i in (0, 1))  # fmt: skip
    assert 'which image it was loading is unknown' in ending(Files(what='SIGKILL'))


@pytest.mark.parametrize('later', [False, True])
def test_a_worker_is_found_where_its_connection_broke_and_torchs_error_was_lost(ending, later):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    dataset = PretrainDataset(Files())
    batches = iter(DataLoader(dataset, 2, num_workers=2))
    killed = batches._workers[1]
    _ = next(batches), next(batches)  # one of each worker
    if later:  # a worker takes some time to end
        threading.Timer(0.5, os.kill, (killed.pid, signal.SIGKILL)).start()
    else:
        os.kill(killed.pid, signal.SIGKILL)
        killed.join()

    def read(self):
        raise ConnectionResetError(104, 'Connection reset by peer')

    with pytest.raises(ConnectionResetError) as caught:
        read(batches)
    assert 'worker 1 of a data loader was killed by SIGKILL' in str(lost_worker(caught.value))
    assert lost_worker(ConnectionResetError('of something else')) is None


def test_an_error_of_a_network_waits_once_for_a_worker_to_end(ending, monkeypatch):
    waits = []
    monkeypatch.setattr(lost_workers, 'wait', lambda sentinels, timeout: waits.append(len(sentinels)) or [])

    class Remote(Files):
        def __getitem__(self, index: int) -> dict:
            raise ConnectionResetError('the store has closed the connection')

    with pytest.raises(ConnectionResetError) as caught:
        list(DataLoader(Remote(), 2, num_workers=2))
    assert lost_worker(caught.value) is None
    assert waits == [2]


def test_a_hanging_worker_is_named_and_does_not_keep_the_command_from_ending(ending):
    dataset = PretrainDataset(Files(what='hang'))
    status = ending(dataset, timeout=1)
    line = 'error: no batch has come from a data loader for 1 s: worker 0 has been loading photos/5.jpg for 1 s; '
    assert status == line + 'see whether its disk responds, or replace the file; an empty one is left out'
    hanging = dataset._record.read()[0].process
    for process in multiprocessing.active_children():
        if process.pid == hanging:
            process.join(20)
    assert hanging not in [process.pid for process in multiprocessing.active_children()]


def test_slow_images_are_told_from_one_that_hangs(ending):
    class Slow(Files):
        def __getitem__(self, index: int) -> dict:
            time.sleep(0.15)
            return super().__getitem__(index)

    status = ending(PretrainDataset(Slow()), batch=8, timeout=0.7)
    assert 'no batch has come from a data loader for 0.7 s, though images load: worker ' in status


def test_other_errors_stay():
    assert lost_worker(RuntimeError('mat1 and mat2 shapes cannot be multiplied')) is None
    assert lost_worker(ValueError('DataLoader timed out after 3 seconds')) is None
    try:
        try:
            raise KeyboardInterrupt  # ends the workers as well
        finally:
            raise RuntimeError('DataLoader worker (pid 1) exited unexpectedly with exit code 1')
    except RuntimeError as error:
        assert lost_worker(error) is None


def test_a_copy_has_a_record_of_its_own(monkeypatch):
    dataset = PretrainDataset(Files())
    other = copy.deepcopy(dataset)
    monkeypatch.setattr('lewel_plugins.running.loading_record.get_worker_info', lambda: SimpleNamespace(id=3))
    other[7]
    assert dataset._record.read() == [] and LoadingRecord(dataset).read() == []
    note = loading_of(os.getpid())
    assert (note.process, note.worker, note.image, note.is_over) == (os.getpid(), 3, 'photos/7.jpg', True)


def test_loaders_with_workers_have_a_timeout():
    assert with_timeout(dict(num_workers=2)) == dict(num_workers=2, timeout=LOADER_TIMEOUT)
    assert with_timeout(dict(num_workers=2, timeout=0))['timeout'] == 0  # the user wants none
    assert with_timeout(dict(timeout=9))['timeout'] == 0  # torch refuses one without workers
    sampler = dict(type='DefaultSampler', shuffle=False)
    for workers, timeout in ((2, LOADER_TIMEOUT), (0, 0)):
        config = dict(dataset=Files(), sampler=sampler, batch_size=1, num_workers=workers)
        assert PretrainRunner.build_dataloader(config).timeout == timeout


def broken_pinning(*_: object) -> None:
    raise ConnectionResetError('as of a tensor that cannot be received')


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.parametrize('timeout', [LOADER_TIMEOUT, 0])
def test_a_dead_thread_for_pinned_memory_is_one_line_at_once(ending, monkeypatch, timeout):
    if hasattr(torch, 'accelerator'):
        monkeypatch.setattr(torch.accelerator, 'is_available', lambda: True)
        monkeypatch.setattr(torch.accelerator, 'current_accelerator', lambda *_: torch.device('cuda'))
        monkeypatch.setattr(torch.accelerator, 'current_device_index', lambda: 0)
    else:
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
        monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    monkeypatch.setattr(pin_memory, '_pin_memory_loop', broken_pinning)
    monkeypatch.setattr(watched_loader, 'MP_STATUS_CHECK_INTERVAL', 0.1)
    start = time.monotonic()
    status = ending(Files(), pin_memory=True, timeout=timeout)
    assert status.startswith('error: the thread of a data loader that copies batches into pinned memory has ended')
    assert '/dev/shm' in status and 'ulimit -n' in status and '\n' not in status
    assert time.monotonic() - start < LOADER_TIMEOUT / 2


def test_a_watched_loader_reads_and_times_out_like_torchs(ending):
    assert [batch['inputs'].shape for batch in watched(DataLoader(Files(), 4, num_workers=1, timeout=60))] == [
        (4, 2)
    ] * 2
    assert [batch['inputs'].shape for batch in watched(DataLoader(Files(), 4))] == [(4, 2)] * 2
    sampler = dict(type='DefaultSampler', shuffle=False)
    config = dict(dataset=Files(), sampler=sampler, batch_size=1, num_workers=1)
    assert isinstance(PretrainRunner.build_dataloader(config), watched_loader._WatchedLoader)
