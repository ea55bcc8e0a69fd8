"""A folder of a run: what it refuses, names with any character, images that come and go, failures in words."""

import os

import pytest
import torch
from helpers.preparations import prepared, write_photos
from mmengine.config import Config

from lewel_plugins.api import training
from lewel_plugins.api.pretrain import _write
from lewel_plugins.api.run_folder import CONFIG, LOG, SMALL, RunFolder
from lewel_plugins.api.snapshot import check_snapshot
from lewel_plugins.api.training import TrainingError, train
from lewel_plugins.datasets.image_list import ImageList
from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_json, write_text

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


@pytest.mark.parametrize('name', ['a b', "it's", 'an "x"', 'ä ö', 'a\nb', '{x}', '%s', '#'])
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
