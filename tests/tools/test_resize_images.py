import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers import tool_runs
from helpers.tool_runs import ROOT
from PIL import Image

pytestmark = pytest.mark.core


def run(*arguments: object) -> subprocess.CompletedProcess:
    script = ROOT / 'tools' / 'data' / 'resize_images.py'
    return tool_runs.run(sys.executable, script, *arguments, '--workers', 1, cwd=ROOT, split=True)


def make_image(path: Path, width: int, height: int, **options) -> Image.Image:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    image = Image.fromarray(ramp)
    image.save(path, **options)
    return image


def test_resizes_continues_and_names_broken_files(tmp_path):
    source, target = tmp_path / 'my images', tmp_path / 'small'
    wide = make_image(source / 'train' / 'a' / 'wide.JPEG', 90, 60, quality=95)
    exif = Image.Exif()
    exif[0x112] = 6
    make_image(source / 'train' / 'a' / 'turned.jpg', 90, 60, exif=exif.tobytes())
    make_image(source / 'train' / 'b' / 'high.png', 50, 80)
    make_image(source / 'val' / 'small.jpg', 50, 30)
    (source / 'classes.txt').write_text('a\nb\n')
    arguments = (source, target, '--size', 30)

    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert '5/5' in done.stdout and f'5 files in {target}' in done.stdout
    with Image.open(target / 'train' / 'a' / 'wide.JPEG') as image:
        assert (image.format, image.size) == ('JPEG', (45, 30))
        expected = np.asarray(wide.resize((45, 30), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(np.asarray(image) - expected).mean() < 3
    with Image.open(target / 'train' / 'a' / 'turned.jpg') as image:
        assert image.size == (30, 45) and not image.getexif()
    with Image.open(target / 'train' / 'b' / 'high.png') as image:
        assert (image.format, image.size) == ('PNG', (30, 48))
    for name in ('val/small.jpg', 'classes.txt'):
        assert (target / name).read_bytes() == (source / name).read_bytes()

    # After an interrupted run, files may be missing, but none is incomplete.
    (target / 'val' / 'small.jpg').unlink()
    unchanged = target / 'train' / 'b' / 'high.png'
    modified = unchanged.stat().st_mtime_ns
    (source / 'val' / 'cut.jpg').write_bytes((source / 'val' / 'small.jpg').read_bytes()[:300])
    again = run(*arguments)
    assert again.returncode == 1 and again.stderr.splitlines()[-1].startswith('error: 1 files are broken')
    assert (target / 'broken_images.txt').read_text().startswith(f'{Path("val", "cut.jpg")}: the JPEG is truncated')
    assert (target / 'val' / 'small.jpg').is_file() and not (target / 'val' / 'cut.jpg').exists()
    assert unchanged.stat().st_mtime_ns == modified
    assert not list(target.rglob('*.partial'))

    other = run(source, target, '--size', 20)
    assert other.returncode == 1 and "'size': 30" in other.stderr and 'choose another folder' in other.stderr


def test_refuses_folders_that_would_be_mixed_up(tmp_path):
    make_image(tmp_path / 'images' / 'a.jpg', 9, 9)
    assert 'must lie outside' in run(tmp_path / 'images', tmp_path / 'images' / 'small').stderr
    assert 'is not a folder' in run(tmp_path / 'nothing', tmp_path / 'small').stderr
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'work.txt').touch()
    assert 'is not empty' in run(tmp_path / 'images', tmp_path / 'mine').stderr
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == ['work.txt']


def test_loops_hidden_files_what_was_killed_and_single_files(tmp_path):
    source, target = tmp_path / 'images', tmp_path / 'small'
    make_image(source / 'a' / 'one.jpg', 60, 50)
    (source / 'a' / 'loop').symlink_to(source, target_is_directory=True)
    make_image(source / 'a' / '._one.jpg', 9, 9)
    (source / 'a' / 'dangling.txt').symlink_to(source / 'nothing')
    high = Image.new('L', (40, 70000))  # too high for a JPEG
    high.save(source / 'a' / 'two.png')
    (source / 'a' / 'two.png').rename(source / 'a' / 'two.jpg')
    (target / 'a').mkdir(parents=True)
    settings = dict(source=str(source.resolve()), size=39, quality=92)
    (target / 'resize_images.json').write_text(json.dumps(settings))
    (target / 'a' / '.one.jpg.123.partial').touch()

    done = run(source, target, '--size', 39)
    assert done.returncode == 1 and '3/3' in done.stdout and 'error: 2 files are broken' in done.stderr, done.stderr
    missing, two = (target / 'broken_images.txt').read_text().splitlines()
    assert missing.startswith(f'{Path("a", "dangling.txt")}: ') and two.startswith(f'{Path("a", "two.jpg")}: ')
    assert sorted(path.name for path in (target / 'a').iterdir()) == ['one.jpg']


@contextmanager
def at_work(folder: Path) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """Yield a process that resizes many images, and has begun to, with the ids of its workers."""
    for i in range(400):
        make_image(folder / 'images' / f'{i}.png', 300, 200)
    command = [sys.executable, ROOT / 'tools' / 'data' / 'resize_images.py', folder / 'images', folder / 'small']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    with subprocess.Popen(
        [*map(str, command), '--size', '100', '--workers', '1'], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        while not list((folder / 'small').glob('*.png')):
            assert process.poll() is None
            time.sleep(0.01)
        children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
        yield process, [int(child) for child in children]


def test_a_killed_worker_is_an_error(tmp_path):
    with at_work(tmp_path) as (process, workers):
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and 'a worker was killed' in errors
    assert 'Traceback' not in errors


def test_one_process_at_a_time_and_another_after_a_kill_despite_its_workers(tmp_path):
    arguments = tmp_path / 'images', tmp_path / 'small', '--size', 100
    with at_work(tmp_path) as (process, workers):
        process.send_signal(signal.SIGSTOP)
        second = run(*arguments)
        assert second.returncode == 1 and second.stderr == (
            f'error: another process writes to {tmp_path / "small"}; wait for its end\n'
        )
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        process.kill()
        process.wait()
        try:
            assert run(*arguments).returncode == 0
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize('name', ['large.png', 'archive.tar'])
def test_a_full_disk_is_an_error_and_no_broken_image(tmp_path, name):
    source, target = tmp_path / 'images', tmp_path / 'small'
    source.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(source / name, format='PNG')  # 10 kB, as copied byte by byte
    script = ROOT / 'tools' / 'data' / 'resize_images.py'
    limited = ['bash', '-c', 'ulimit -f 4; exec "$@"', 'bash', sys.executable, script]  # files of at most 4 KiB
    done = tool_runs.run(*limited, source, target, '--workers', 1, cwd=ROOT, split=True)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1] == f"error: [Errno 27] File too large: '{target / name}'"
    assert sorted(path.name for path in target.iterdir()) == ['.lock', 'resize_images.json']
    assert run(source, target).returncode == 0


def test_target_is_a_file(tmp_path):
    make_image(tmp_path / 'images' / 'a.jpg', 9, 9)
    (tmp_path / 'file').touch()
    assert 'is not a folder' in run(tmp_path / 'images', tmp_path / 'file').stderr
