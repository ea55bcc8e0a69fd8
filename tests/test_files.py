"""Files are written whole or not at all."""

import errno
import hashlib
import os
import re
import resource
import signal
import stat
import time

import pytest
import torch

from lewel_plugins import files
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core


def test_a_new_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / 'new' / 'file'
    for content in (b'first', b'x'):
        files.write_bytes(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ['file']


def test_text_and_json_are_read_back(tmp_path):
    files.write_text(tmp_path / 'a.txt', 'äß →\n')
    assert (tmp_path / 'a.txt').read_text(encoding='utf-8') == 'äß →\n'
    files.write_json(tmp_path / 'a.json', dict(a=[1, None]))
    assert files.read_json(tmp_path / 'a.json') == dict(a=[1, None])
    (tmp_path / 'bad.json').write_text('{')
    assert files.read_json(tmp_path / 'bad.json') is None and files.read_json(tmp_path / 'none.json') is None


def test_equal_checkpoints_are_equal_files(tmp_path):
    content = dict(meta=dict(seed=1), state_dict=dict(a=torch.arange(3)))
    for name in ('a.pth', 'b.pth'):
        files.write_checkpoint(tmp_path / name, content)
    assert (tmp_path / 'a.pth').read_bytes() == (tmp_path / 'b.pth').read_bytes()
    assert torch.equal(torch.load(tmp_path / 'a.pth', weights_only=True)['state_dict']['a'], torch.arange(3))


@pytest.mark.parametrize('number', [errno.EEXIST, errno.EPERM, errno.EACCES, errno.ENOTSUP])
def test_a_file_system_that_does_not_rename_over_files(tmp_path, monkeypatch, number):
    replace = os.replace

    def refuse(source, target):
        if os.path.exists(target):
            raise OSError(number, os.strerror(number))
        replace(source, target)

    monkeypatch.setattr(os, 'replace', refuse)
    for content in (b'first', b'second'):
        files.write_bytes(tmp_path / 'file', content)
        assert (tmp_path / 'file').read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('number', [errno.EIO, errno.ENOSPC, errno.ESTALE])
def test_a_disk_that_fails_while_a_file_is_replaced_keeps_the_old_one(tmp_path, monkeypatch, number):
    (tmp_path / 'file').write_bytes(b'old')

    def fail(source, target):
        raise OSError(number, os.strerror(number), source)

    monkeypatch.setattr(os, 'replace', fail)
    monkeypatch.setattr(os, 'rename', fail)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        files.write_bytes(tmp_path / 'file', b'new')
    assert (tmp_path / 'file').read_bytes() == b'old' and os.listdir(tmp_path) == ['file']


def test_an_old_file_that_was_set_aside_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    (tmp_path / 'file').write_bytes(b'old')
    rename, calls = os.rename, []

    def refuse(source, target):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))

    def fail_once(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, 'replace', refuse)
    monkeypatch.setattr(os, 'rename', fail_once)
    with pytest.raises(OSError, match='Input/output error'):
        files.write_bytes(tmp_path / 'file', b'new')
    assert len(calls) == 3 and (tmp_path / 'file').read_bytes() == b'old' and os.listdir(tmp_path) == ['file']


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_that_cannot_wait_for_a_folder(tmp_path, monkeypatch, number):
    wait = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == in_folders:
            raise OSError(number, os.strerror(number))
        wait(descriptor)

    monkeypatch.setattr(os, 'fsync', fsync)
    in_folders = True
    files.write_bytes(tmp_path / 'file', b'content')
    assert (tmp_path / 'file').read_bytes() == b'content'
    in_folders = False
    with pytest.raises(OSError, match=os.strerror(number)):  # a file whose bytes may not be on the disk
        files.write_bytes(tmp_path / 'file', b'other')
    assert (tmp_path / 'file').read_bytes() == b'content'


def test_a_symbolic_link_stays(tmp_path):
    (tmp_path / 'disk').mkdir()
    for name in ('file', 'new'):  # the second one leads nowhere yet
        (tmp_path / name).symlink_to(f'disk/{name}')
    (tmp_path / 'disk' / 'file').write_bytes(b'old')
    for name in ('file', 'new'):
        files.write_bytes(tmp_path / name, b'content')
        assert (tmp_path / name).is_symlink() and (tmp_path / 'disk' / name).read_bytes() == b'content'
    assert len(list((tmp_path / 'disk').iterdir())) == 2


def test_pipes_and_open_files_are_written_to(tmp_path):
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_json(pipe, [1])
    assert os.read(reader, 100) == b'[\n 1\n]\n' and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)
    assert files.is_stream(os.devnull) and not files.is_stream(tmp_path)
    with (tmp_path / 'output').open('wb') as output:  # as /dev/stdout of `command > output`
        output.write(b'before ')
        output.flush()
        files.write_bytes(f'/dev/fd/{output.fileno()}', b'content')
    assert (tmp_path / 'output').read_bytes() == b'before content'


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / 'file'
    path.write_text('old')
    with pytest.raises(OSError, match='no space'), files.replacing(path) as partial:
        partial.write_text('half')
        assert path.read_text() == 'old'
        raise OSError('no space left')
    assert path.read_text() == 'old' and [p.name for p in tmp_path.iterdir()] == ['file']


def test_a_full_disk_names_the_file(tmp_path):
    with (
        pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/file'"),
        files.replacing(tmp_path / 'file'),
    ):
        raise OSError(errno.ENOSPC, 'No space left on device')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('count', [250_000, 2_500_000])  # torch raises an OSError, and a RuntimeError
def test_a_checkpoint_on_a_full_disk_names_the_file(tmp_path, count):
    content = {str(i): torch.zeros(count) for i in range(4)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path}/x.pth'"):
            files.write_checkpoint(tmp_path / 'x.pth', content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_writing_keeps_the_old_file_and_leaves_a_leftover(tmp_path):
    path = tmp_path / 'iter_1.pth'
    path.write_text('old')
    child = os.fork()
    if child == 0:
        with files.replacing(path) as partial:
            partial.write_text('half')
            (tmp_path / 'ready').touch()
            time.sleep(60)
        os._exit(1)
    while not (tmp_path / 'ready').exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_text() == 'old'
    assert [p.name for p in files.leftovers(tmp_path, '.pth')] == [f'.iter_1.pth.{child}.partial']
    assert files.leftovers(tmp_path, '.json') == []


def test_digest_of_a_file_longer_than_one_read(tmp_path):
    content = os.urandom((1 << 20) + 5)
    (tmp_path / 'a').write_bytes(content)
    assert files.file_digest(tmp_path / 'a') == hashlib.sha256(content).hexdigest()


def test_a_pipe_or_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(SetupError, match='pipe is a device or a pipe'), files.replacing(tmp_path / 'pipe'):
        raise AssertionError('not reached')
    assert stat.S_ISFIFO(os.stat(tmp_path / 'pipe').st_mode) and os.listdir(tmp_path) == ['pipe']
