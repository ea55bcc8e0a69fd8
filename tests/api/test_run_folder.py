"""A folder of a run: what it refuses, names with any character, images that come and go, failures in words."""

import gzip
import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from helpers.preparations import prepared, write_photos
from helpers.shards import pack
from mmengine.config import Config

from lewel_plugins.api import training
from lewel_plugins.api.pretrain import _complete, _write
from lewel_plugins.api.run_folder import CONFIG, LOCK, LOG, SMALL, RunFolder, check_data_root
from lewel_plugins.api.snapshot import check_snapshot
from lewel_plugins.api.training import Run, TrainingError, attempt, train
from lewel_plugins.datasets.image_list import ImageList
from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_json, write_text
from lewel_plugins.planning.arguments import same_place
from lewel_plugins.reporting.run_data import read_runs

pytestmark = pytest.mark.core


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_photos(tmp_path / 'photos', 12)


def write_run(photos, out='run', **request) -> RunFolder:
    folder = RunFolder(out)
    preparation = prepared(photos, **request)
    _write(folder, preparation)
    return folder


@pytest.mark.parametrize('name', ['a b', "it's", 'an "x"', 'a"b\'', "x'''", 'ä ö', 'a\nb', '{{x}}', '%s', '#'])
def test_paths_may_hold_any_character(photos, name):
    photos = photos.rename(photos.parent / f'{name} photos')
    strange = os.fsdecode(b'\xff\n\t.png')
    os.rename(photos / '000.png', photos / strange)
    folder = write_run(photos, f'runs/{name}')
    config = Config.fromfile(folder / CONFIG)
    dataset = config.train_dataloader.dataset.dataset
    images = ImageList(dataset.list_file, dataset.data_root)
    paths = [images.get_data_info(i)['img_path'] for i in range(len(images))]
    assert len(paths) == 12 and all(map(os.path.isfile, paths)) and paths[-1].endswith(strange)
    os.makedirs('moved')
    os.rename('runs', 'moved/runs')
    os.rename(photos, f'moved/{photos.name}')
    dataset = Config.fromfile(f'moved/runs/{name}/{CONFIG}').train_dataloader.dataset.dataset
    images = ImageList(dataset.list_file, dataset.data_root)
    assert all(os.path.isfile(images.get_data_info(i)['img_path']) for i in range(12))


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('a\\b', 'a backslash'),
        ('a\\', 'a backslash'),
        ('a\rb', 'a carriage return'),
        (os.fsdecode(b'\xff'), 'bytes that are no text'),
        ('{{$HOME:x}}', 'a variable of mmengine'),
        ('{{ fileDirname }}', 'a variable of mmengine'),
        ('\'\'\'a"""', 'quotation marks of both kinds'),
    ],
)
def test_a_folder_that_no_config_can_name_is_refused(tmp_path, name, kind):
    for folder in (tmp_path / name, tmp_path / name / 'run'):
        with pytest.raises(SetupError) as caught:
            RunFolder(folder).check({})
        line = str(caught.value)
        assert line.endswith(f' holds {kind}, which no config can name; choose another --out') and '\n' not in line
        line.encode()
    assert os.listdir(tmp_path) == []


def test_a_folder_of_images_that_mmengine_would_replace(tmp_path):
    check_data_root(str(tmp_path / '{{x}}'))
    with pytest.raises(SetupError, match='holds a variable of mmengine, which no config can name; rename the folder$'):
        check_data_root(str(tmp_path / '{{ $HOME:x }}'))


def test_images_of_the_current_folder_and_of_others_have_a_root(photos, tmp_path):
    preparation = prepared(photos)
    assert preparation.root == str(photos)
    os.chdir(photos)
    assert prepared('.').root == str(photos)
    scan = preparation.scan
    mixed = type(scan)(**{**vars(scan), 'images': ['000.png', str(photos / '001.png')]})
    assert type(preparation)(**{**vars(preparation), 'scan': mixed}).root == str(photos)
    os.chdir(tmp_path)


def test_small_images_are_listed(photos):
    folder = write_run(photos, image_size=96)
    assert len((folder / SMALL).read_text().splitlines()) == 12


def test_a_run_has_its_plan_and_no_backbone_before_its_end(photos):
    folder = write_run(photos, epochs=7)
    run = Run(folder.path, 'stopped')
    assert run.plan['epochs'] == 7 and run.plan.settings['epochs'].reason == 'as requested: 7 steps'
    assert run.plan.as_dict() == folder.record()['plan']
    with pytest.raises(SetupError, match=r'^run/backbone\.safetensors does not exist: a pretraining writes it when it'):
        run.backbone()
    with pytest.raises(SetupError, match=r'plan\.json cannot be read'):
        Run(photos, 'planned').plan  # noqa: B018


def test_a_folder_of_something_else_is_refused(photos):
    folder = write_run(photos)
    request = folder.record()['request']
    folder.check(request)
    with pytest.raises(SetupError) as caught:
        folder.check({**request, 'method': 'lewel-b'})
    assert str(caught.value) == (
        'run holds another run (method lewel-m, not lewel-b); choose another --out or delete the folder'
    )
    (folder / 'plan.json').unlink()
    with pytest.raises(SetupError, match='run is not empty and holds no run; choose another --out'):
        folder.check(request)
    with pytest.raises(SetupError, match=r'photos/000\.png is a file; choose another --out'):
        RunFolder('photos/000.png').check(request)


def test_another_spelling_of_a_path_is_the_same_run(photos, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    folder = write_run('photos')
    request = dict(folder.record()['request'], **{'from': None})
    os.symlink('photos', 'link')
    for name in ('photos/', './photos', str(photos), '~/photos', 'link', 'photos/../photos'):
        folder.check({**request, 'images': [name]})
    assert folder.record()['request']['images'] == ['photos']
    for others in (['other'], ['photos', 'photos'], ['photos/000.png']):
        with pytest.raises(SetupError, match='holds another run .images '):
            folder.check({**request, 'images': others})
    with pytest.raises(SetupError, match='holds another run .overrides '):  # these are no paths
        folder.check({**request, 'overrides': ['./a.b=1']})


def test_a_path_is_that_of_the_working_folder_of_the_first_start(photos, tmp_path, monkeypatch):
    preparation = prepared('photos')
    request = preparation.options.shaping()
    os.makedirs('elsewhere/photos')
    os.makedirs('disk/a/b')
    os.symlink('disk/a/b', 'runs')
    folder = RunFolder('runs/run')
    with pytest.raises(KeyboardInterrupt), folder.first_written(request, ()):
        raise KeyboardInterrupt

    def check(folder: str, images: str, run: str) -> None:
        monkeypatch.chdir(tmp_path / folder)
        RunFolder(run).check({**request, 'images': [images]})

    for is_begun in (True, False):
        if not is_begun:
            monkeypatch.chdir(tmp_path)
            _write(folder, preparation)
        for arguments in (
            ('.', 'photos', 'runs/run'),
            ('disk', '../photos', 'a/b/run'),
            ('disk/a', '../../photos', '../../runs/run'),
            ('elsewhere', str(photos), '../runs/run'),
        ):
            check(*arguments)
        expected = f"holds another run .images ..{photos}'., not ..photos'."
        with pytest.raises(SetupError, match=expected):
            check('elsewhere', 'photos', '../runs/run')
    monkeypatch.chdir(tmp_path)
    os.makedirs('all')
    for name in ('photos', 'disk', 'runs'):
        os.rename(name, f'all/{name}')  # together
    check('all', 'photos', 'runs/run')
    check('.', 'all/photos', 'all/disk/a/b/run')
    os.rename(tmp_path / 'all' / 'disk' / 'a' / 'b' / 'run', tmp_path / 'run')  # alone
    check('all', 'photos', '../run')  # the snapshot refuses it, with the reason


def test_a_path_of_an_earlier_version_counts_as_it_was_typed(photos, tmp_path, monkeypatch):
    folder = write_run('photos')
    record = folder.record()
    request = dict(record['request'])
    assert record.pop('places') == dict(images=['../photos'], labels=None, **{'from': None})
    write_json(folder / 'plan.json', record)
    folder.check(request)
    folder.check({**request, 'images': ['./photos']})
    with pytest.raises(SetupError, match='holds another run .images '):
        folder.check({**request, 'images': ['other']})


@pytest.mark.parametrize(
    ('first', 'second', 'same'),
    [
        ('a.pth', './a.pth', True),
        ('random', './random', False),
        ('torchvision:resnet18.DEFAULT', './torchvision:resnet18.DEFAULT', False),
        ('https://host/a.pth', 'https://host//a.pth', False),
        (None, 'a', False),
        (None, None, True),
    ],
)
def test_what_is_no_path_is_a_text(first, second, same):
    assert same_place(first, second) is same


def test_the_process_that_has_a_run_is_named(photos):
    folder = write_run(photos)
    code = (
        'import time; from lewel_plugins.api.run_folder import RunFolder\n'
        "with RunFolder('run').locked(): print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, '-c', code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == 'locked\n'
            with pytest.raises(SetupError, match=f'^run is being trained by process {process.pid}$'), folder.locked():
                pass
            (folder / LOCK).write_text('')  # as of an earlier version
            with pytest.raises(SetupError, match='^run is being trained by another process$'), folder.locked():
                pass
        finally:
            process.kill()
    with folder.locked():
        assert (folder / LOCK).read_text() == f'{os.getpid()}\n'


@pytest.mark.parametrize('holdout', [0, 5])
def test_as_many_images_are_watched_as_are_held_out(photos, holdout):
    folder = write_run('photos', holdout=holdout)
    (folder.path / '20260131_120000' / 'vis_data').mkdir(parents=True)
    run = read_runs([folder.path])[0]
    watched = holdout or 12  # all of them
    assert run.count_lines('monitored.txt') == watched
    assert run.count_lines('holdout.txt') == (holdout or None)
    assert run.validated == run.rank_limit() == watched


def test_images_that_come_later_are_not_used_and_missing_ones_are_named(photos):
    for name in ('x.png', 'y.png'):
        (photos / name).write_bytes((photos / '000.png').read_bytes())
    folder = write_run('photos', holdout=2)
    assert check_snapshot(folder, ['photos']) == [] == check_snapshot(folder, [str(photos)])
    os.symlink('photos', 'link')
    assert check_snapshot(folder, ['link']) == []
    write_photos(photos / 'new', 12)
    (finding,) = check_snapshot(folder, ['photos'])
    assert str(finding) == 'note: photos has 12 images that this run does not know; it continues with its own 12'
    (photos / '003.png').unlink()
    with pytest.raises(SetupError) as caught:
        check_snapshot(folder, ['photos'])
    expected = f'{photos / "003.png"} is missing, which this run needs; put it back, or choose another --out'
    assert str(caught.value) == expected
    (photos / '004.png').unlink()
    with pytest.raises(SetupError, match='^2 of the 12 images that this run needs are missing, the first is '):
        check_snapshot(folder, ['photos'])


def test_a_run_behind_a_symbolic_link_finds_its_images(photos):
    os.makedirs('disk/scratch/runs')
    os.symlink('disk/scratch/runs', 'runs')
    folder = write_run('photos', 'runs/a', holdout=2)
    dataset = Config.fromfile(folder / CONFIG).train_dataloader.dataset.dataset
    images = ImageList(dataset.list_file, dataset.data_root)
    assert all(os.path.isfile(images.get_data_info(i)['img_path']) for i in range(len(images)))
    for name in ('runs/a', 'disk/scratch/runs/a'):
        assert check_snapshot(RunFolder(name), ['photos']) == []
    (photos / '003.png').unlink()
    with pytest.raises(SetupError, match=f'^{photos / "003.png"} is missing, which this run needs'):
        check_snapshot(folder, ['photos'])


def test_a_run_that_was_moved_alone_names_its_list(photos):
    write_run('photos', 'runs/a')
    os.makedirs('elsewhere/deep')
    os.rename('runs/a', 'elsewhere/deep/a')
    with pytest.raises(SetupError) as caught:
        check_snapshot(RunFolder('elsewhere/deep/a'), ['photos'])
    assert str(caught.value) == (
        'none of the 12 images in elsewhere/deep/a/images.txt.gz is where the list expects it, the first at '
        f'{photos.parent / "elsewhere" / "photos" / "000.png"}; move the images along with elsewhere/deep/a, or choose '
        'a new --out'
    )
    os.rename('photos', 'elsewhere/photos')
    assert check_snapshot(RunFolder('elsewhere/deep/a'), ['elsewhere/photos']) == []


@pytest.mark.parametrize('place', ['before', 'within'])
def test_a_start_that_was_killed_at_its_first_writes_begins_anew(photos, monkeypatch, place):
    """A kill leaves what was written; here an exception does, and a partial file as of a kill within a write."""
    preparation = prepared(photos, image_size=96, holdout=2)
    request = preparation.options.shaping()
    whole = RunFolder('whole')
    _write(whole, preparation)
    for number in (1, 2, 5, 8):
        folder = RunFolder(f'run{number}')
        with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
            kill_write(patch, place, number)
            _write(folder, preparation)
        (folder / LOCK).touch()
        assert folder.is_new and ((folder / CONFIG).is_file() == (number == 8))
        folder.check(request)
        if (folder / 'begun.json').is_file():
            with pytest.raises(SetupError, match=r'run\d holds another run \(seed 0, not 5\)'):
                folder.check({**request, 'seed': 5})
            (folder / 'duplicates.csv').write_text('of images that have gone since')
        _write(folder, preparation)
        (folder / LOCK).unlink()
        assert contents(folder.path) == contents(whole.path)


def kill_write(monkeypatch, place: str, number: int) -> None:
    count = [0]
    replace = os.replace

    def rename(source, target) -> None:
        count[0] += 1
        if count[0] != number:
            return replace(source, target)
        if place == 'within':
            os.link(source, f'{source}.copy')  # because the original is removed with the exception
            os.rename(f'{source}.copy', str(source).replace(f'.{os.getpid()}.', '.1.'))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', rename)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_files_of_the_user_are_kept_and_refused(photos, monkeypatch):
    folder = RunFolder('run')
    folder.path.mkdir()
    (folder / 'config.py').write_text('mine')
    preparation = prepared(photos)
    for name in (None, LOCK):
        if name:
            (folder / name).touch()
        with pytest.raises(SetupError, match='run is not empty and holds no run; choose another --out'):
            folder.check(preparation.options.shaping())
        with pytest.raises(SetupError, match='run is not empty and holds no run; choose another --out'):
            _write(folder, preparation)
    assert (folder / 'config.py').read_text() == 'mine'


def test_a_report_that_fails_is_a_warning(photos, monkeypatch):
    folder = write_run(photos)
    lines = []
    monkeypatch.setattr(training, '_run', lambda *_: (0, False))

    def fail() -> None:
        raise ZeroDivisionError('no\nstep')

    with folder.locked() as lock:
        complete = lambda: attempt(fail, 'no report', 'lewel report run', folder, lines.append)  # noqa: E731
        assert train(folder, lock, lines.append, complete).status == 'finished'
    assert folder.is_finished
    expected = 'warning: no report: ZeroDivisionError: no; log: run/train.log; lewel report run writes it again'
    assert expected in lines
    assert 'Traceback' in (folder / LOG).read_text() and 'in fail' in (folder / LOG).read_text()


@pytest.mark.parametrize(('module', 'lost'), [('export', 'backbone'), ('report', 'report')])
def test_what_comes_after_the_training_may_fail(photos, monkeypatch, module, lost):
    folder = write_run(photos)
    lines = []

    def fail(*_, **__) -> None:
        raise OSError(28, 'No space left on device')

    for name in ('export', 'report'):
        monkeypatch.setattr(
            f'lewel_plugins.api.{name}.{name}', fail if name == module else lambda path, *_, **__: 'there'
        )
    _complete(folder, lines.append)
    assert len(lines) == 2
    (warning,) = (line for line in lines if line.startswith('warning: '))
    assert warning.startswith(
        f'warning: no {lost}: OSError: [Errno 28] No space left on device; log: run/train.log; lewel'
    )


def test_commands_that_write_the_rest_again_can_be_copied(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr('lewel_plugins.api.pretrain.attempt', lambda *arguments: commands.append(arguments[2]))
    _complete(RunFolder(tmp_path / 'my runs'), print)
    run = str(tmp_path / 'my runs')
    export = ['lewel', 'export', run, '--to', 'safetensors', '--out', f'{run}/backbone.safetensors']
    assert [shlex.split(command) for command in commands] == [export, ['lewel', 'report', run]]


def test_images_that_have_changed_in_place_are_named(photos):
    folder = write_run('photos')

    def edit(name: str, content: bytes, later: float = 5.0) -> None:
        before = os.stat(photos / name)
        (photos / name).write_bytes(content)
        os.utime(photos / name, (before.st_atime, before.st_mtime + later))

    edit('000.png', (photos / '000.png').read_bytes())  # touched only
    assert check_snapshot(folder, ['photos']) == []
    content = (photos / '004.png').read_bytes()
    edit('004.png', content[:-1] + bytes([content[-1] ^ 1]))  # the size stays
    edit('002.png', content + b'more')
    (finding,) = check_snapshot(folder, ['photos'])
    assert str(finding) == (
        f'warning: 2 of 12 images have changed since this run started; the first is {photos / "002.png"}'
    )
    assert finding.files == (str(photos / '002.png'), str(photos / '004.png'))


def test_without_a_digest_the_time_counts_unless_all_images_are_copies(photos):
    preparation = prepared('photos')
    folder = RunFolder('run')
    _write(folder, replace(preparation, scan=replace(preparation.scan, digests={})))
    os.utime(photos / '003.png', (1, 1))
    (finding,) = check_snapshot(folder, ['photos'])
    assert str(finding).startswith('warning: 1 of 12 images has changed since this run started; the first is ')
    for path in photos.iterdir():
        os.utime(path, (2, 2))
    assert check_snapshot(folder, ['photos']) == []
    (photos / '005.png').write_bytes(b'')
    assert [finding.files for finding in check_snapshot(folder, ['photos'])] == [(str(photos / '005.png'),)]


def test_a_run_on_shards_is_one_on_their_files(photos):
    shards = pack(photos, photos.parent / 'shards')
    assert len(list(shards.glob('*.tar'))) > 1

    def images(folder: RunFolder, name: str) -> list[list[str]]:
        content = (folder / name).read_bytes()
        lines = (gzip.decompress(content) if name.endswith('.gz') else content).decode().splitlines()
        rows = [line.split('\t') for line in lines]  # path, and for training size, digest and time
        return [[row[0].rpartition('/')[2], *row[1:-1]] for row in rows]

    folders = [write_run(source, f'run-{source.name}', holdout=2) for source in (photos, shards)]
    for name in ('images.txt.gz', 'holdout.txt', 'monitored.txt'):
        files, packed = (images(folder, name) for folder in folders)
        assert files == packed and len(files) in (2, 10)
    folder = folders[1]
    dataset = Config.fromfile(folder / CONFIG).train_dataloader.dataset.dataset
    assert ImageList(dataset.list_file, dataset.data_root).get_data_info(0)['img_path'].count('.tar/') == 1
    assert check_snapshot(folder, ['shards']) == []
    os.truncate(shards / 'images-000000.tar', 700)
    with pytest.raises(SetupError, match='^shards/images-000000.tar has 700 bytes, but .* it is truncated or another'):
        check_snapshot(folder, ['shards'])
    (shards / 'images-000000.tar').unlink()
    with pytest.raises(SetupError, match=f'first is {shards}/images-000000.tar/.*; put them back, or choose another'):
        check_snapshot(folder, ['shards'])


@pytest.mark.parametrize(('has_checkpoint', 'batch', 'smaller'), [(True, 128, 96), (True, 12, 8), (False, 8, 6)])
def test_too_little_memory_while_running(photos, monkeypatch, has_checkpoint, batch, smaller):
    folder = RunFolder('run')
    (folder.path).mkdir()
    (folder / LOG).write_text('torch.OutOfMemoryError: CUDA out of memory, in an earlier start\n')
    write_json(folder / 'plan.json', dict(request={}, plan=dict(ranks=dict(value=1), batch_size=dict(value=batch))))
    write_json(folder / 'progress.json', dict(stage='training', time=0.0, epoch=2, epochs=9, step=312, steps=999))
    if has_checkpoint:
        torch.save(dict(meta=dict(iter=300), state_dict={}), folder / 'epoch_1.pth')
        write_text(folder / 'last_checkpoint', str(folder / 'epoch_1.pth'))
    text = 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB'

    def fail(command, log, *_):
        log.write(f'{text}\nChildFailedError: rank 0\n'.encode())
        return 1, False

    monkeypatch.setattr(training, '_run', fail)
    with pytest.raises(TrainingError) as caught, (folder / LOG).open() as lock:
        train(folder, lock.fileno(), lambda line: None)
    last = 'the last checkpoint is at step 300' if has_checkpoint else 'there is no checkpoint yet'
    assert str(caught.value) == (
        f'out of memory at step 312; {last}. Free the GPU and repeat the command, or start anew with --batch-size '
        f'{smaller} and another --out'
    )
    text = 'RuntimeError: broken'
    with pytest.raises(TrainingError, match='the training failed: ChildFailedError: rank 0; log: run'):
        train(folder, 0, lambda line: None)


def test_a_damaged_file_of_a_run_is_one_line_that_names_it(photos):
    folder, gzipped = write_run(photos), gzip.compress(b'photos/000.png\t12\n')
    for name, content, reason in (
        ('images.txt.gz', b'no gzip', 'Not a gzipped file'),
        ('images.txt.gz', gzipped[:-9], 'Compressed file ended before'),
        ('images.txt.gz', gzipped[:10] + b'\xff' * 20, 'Error -3 while decompressing'),
        ('images.txt.gz', gzipped, 'not enough values to unpack'),
        ('images.txt.gz', None, 'No such file or directory'),
        ('config.py', b'x = (', 'was never closed'),
        ('config.py', b'x = 1', "it lacks .*'train_dataloader'"),
        ('config.py', b'\xff', "'utf-8' codec can't decode byte"),
        ('config.py', None, 'No such file or directory'),
        ('duplicates.csv', b'a,b\n1,2\n', "it lacks 'copy'"),
    ):
        whole = (folder / name).read_bytes() if (folder / name).is_file() else None
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(SetupError, match=f'^run/{name} cannot be read: .*{reason}.*; .*put back a copy') as caught:
            check_snapshot(folder, ['photos'])
        assert '\n' not in str(caught.value)
        if whole is not None:
            (folder / name).write_bytes(whole)
    (folder / 'duplicates.csv').unlink()
    assert check_snapshot(folder, ['photos']) == []


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('{', ''),
        ('[]', ''),
        ('{"request": 1}', ''),
        ('{"request": {}}', ": it lacks 'plan'"),
        ('{"request": {}, "plan": {}}', ": it lacks 'ranks'"),
        ('{"request": {}, "plan": {"ranks": 1}}', ": 'int' object is not subscriptable"),
    ],
)
def test_a_damaged_plan_is_one_line(tmp_path, text, reason):
    (tmp_path / 'plan.json').write_text(text)
    with pytest.raises(
        SetupError, match=rf'plan\.json cannot be read{reason}; put back a copy of it, or choose another'
    ):
        RunFolder(tmp_path).planned('ranks')
