import logging
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.ranks import on_ranks
from helpers.toy_runner import run_on_ranks, toy_runner
from mmengine.logging import MessageHub
from mmpretrain.structures import DataSample
from PIL import Image

from lewel_plugins.hooks import BrokenImageHook


def make_folder(root: Path, count: int, broken: int) -> Path:
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f'{i:03d}.png')
    for i in range(broken):
        (root / f'{i:03d}.png').write_bytes(b'')
    return root


def run(tmp_path: Path, max_share: float, epochs: int = 1, **changes):
    view = [dict(type='RandomFlip', prob=0.5)]
    pipeline = [
        dict(type='lewel_plugins.LoadRGB'),
        dict(type='MultiView', num_views=2, transforms=[view]),
        dict(type='PackInputs'),
    ]
    runner = toy_runner(
        tmp_path / 'run',
        train_dataloader=dict(
            dataset=dict(
                _delete_=True,
                type='lewel_plugins.PretrainDataset',
                dataset=dict(type='lewel_plugins.ImageTree', data_root=str(tmp_path / 'images'), pipeline=pipeline),
            ),
            sampler=dict(_delete_=True, type='lewel_plugins.SeededSampler'),
        ),
        train_cfg=dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=100),
        default_hooks=dict(checkpoint=dict(interval=1, by_epoch=True)),
        log_processor=dict(by_epoch=True),
        custom_hooks=[
            dict(type='DistSamplerSeedHook'),
            dict(type='lewel_plugins.BrokenImageHook', max_share=max_share),
            dict(type='lewel_plugins.ProgressHook', every=1e-9),
        ],
        **changes,
    )
    runner.train()
    return runner


@pytest.mark.core
def test_broken_files_are_named_counted_and_kept_over_a_resume(tmp_path):
    make_folder(tmp_path / 'images', 16, broken=2)
    runner = run(tmp_path, max_share=0.2)
    listed = (tmp_path / 'run' / 'broken_images.txt').read_text().splitlines()
    expected = [f'{tmp_path}/images/{i:03d}.png: the file is empty' for i in range(2)]
    assert sorted(listed) == expected
    assert runner.message_hub.get_scalar('train/broken_images').current() == 2
    log = ''.join(path.read_text() for path in (tmp_path / 'run').rglob('*.log'))
    assert all(log.count(line) == 1 for line in expected)

    # The images are repaired in between, but the resumed run still has the list of the first one.
    make_folder(tmp_path / 'repaired', 16, broken=0)
    for path in (tmp_path / 'repaired').iterdir():
        path.rename(tmp_path / 'images' / path.name)
    (tmp_path / 'run' / 'broken_images.txt').unlink()
    run(tmp_path, max_share=0.2, epochs=2, resume=True)
    assert sorted((tmp_path / 'run' / 'broken_images.txt').read_text().splitlines()) == expected


@pytest.mark.core
def test_one_file_of_a_small_folder_stops_no_run(tmp_path):
    """One percent of 16 images is none. Of two images, one has nothing to be compared with."""
    make_folder(tmp_path / 'images', 16, broken=1)
    runner = run(tmp_path, max_share=0.01)
    assert len((tmp_path / 'run' / 'broken_images.txt').read_text().splitlines()) == 1
    hook = BrokenImageHook()
    with pytest.raises(RuntimeError, match=r'2 of 16 images \(12\.50%\)'):
        hook._add(runner, ['a: empty', 'b: empty'])
    runner.train_dataloader.dataset.dataset = [None, None]
    with pytest.raises(RuntimeError, match='1 of 2 images'):
        BrokenImageHook()._add(runner, ['a: empty'])


@pytest.mark.core
def test_too_many_stop_the_run_and_are_named(tmp_path):
    make_folder(tmp_path / 'images', 16, broken=4)
    with pytest.raises(RuntimeError) as error:
        run(tmp_path, max_share=0.1)
    assert 'of 16 images' in str(error.value) and 'max_share = 10.00%' in str(error.value)
    assert f'{tmp_path}/images/' in str(error.value) and 'the file is empty' in str(error.value)
    assert (tmp_path / 'run' / 'broken_images.txt').exists()


@pytest.mark.core
def test_whole_files_leave_no_trace(tmp_path):
    make_folder(tmp_path / 'images', 8, broken=0)
    runner = run(tmp_path, max_share=0.0)
    assert not (tmp_path / 'run' / 'broken_images.txt').exists()
    assert 'train/broken_images' not in runner.message_hub.log_scalars


@pytest.mark.core
@pytest.mark.parametrize('max_share', [-0.1, 1.1])
def test_bad_values(max_share):
    with pytest.raises(ValueError, match=f'got {max_share}'):
        BrokenImageHook(max_share)


def meet_one_file_each(rank: int, work_dir: Path) -> None:
    runner = SimpleNamespace(
        logger=logging.getLogger('test'),
        message_hub=MessageHub(f'rank {rank}'),
        train_dataloader=SimpleNamespace(dataset=range(15)),
        work_dir=str(work_dir),
    )
    hook = BrokenImageHook(max_share=0.1)
    sample = DataSample(metainfo=dict(broken_files=[f'{rank}.png: empty']))
    hook.before_train_iter(runner, 0, dict(data_samples=[sample, DataSample()]))  # 1 of 15 is below the limit
    with pytest.raises(RuntimeError, match=r'2 of 15 images \(13.33%\)'):
        hook.after_train_epoch(runner)
    assert runner.message_hub.get_info('broken_images')[0] == f'{rank}.png: empty'


@pytest.mark.core
def test_ranks_are_merged_at_the_end_of_an_epoch(tmp_path):
    run_on_ranks(2, meet_one_file_each, tmp_path)
    assert (tmp_path / 'broken_images.txt').read_text() == '0.png: empty\n1.png: empty\n'


def meet_two_files(rank: int, work_dir: Path) -> None:
    runner = SimpleNamespace(
        logger=logging.getLogger('test'),
        message_hub=MessageHub(f'two of rank {rank}'),
        train_dataloader=SimpleNamespace(dataset=range(15)),
        work_dir=str(work_dir),
    )
    sample = DataSample(metainfo=dict(broken_files=[f'{rank}{i}.png: empty' for i in range(2)]))
    with pytest.raises(RuntimeError) as caught:
        BrokenImageHook(max_share=0.1).before_train_iter(runner, 0, dict(data_samples=[sample]))
    list_file = work_dir / ('broken_images.rank1.txt' if rank else 'broken_images.txt')
    assert f'{list_file} lists all of them' in str(caught.value)
    assert list_file.read_text() == f'{rank}0.png: empty\n{rank}1.png: empty\n'


@pytest.mark.core
def test_a_rank_names_a_list_that_it_has_written(tmp_path):
    run_on_ranks(2, meet_two_files, tmp_path)


def list_of(folder: Path, name: str, images: list[int]) -> dict:
    """Write a list of images with classes, and return the config of its data set without a pipeline."""
    lines = ''.join(f'{folder}/{i:03d}.png\t{i % 2}\n' for i in images)
    (folder.parent / name).write_text(lines)
    return dict(type='lewel_plugins.ImageList', list_file=str(folder.parent / name), labels=True)


def loader(dataset: dict, sampler: dict, *views: dict) -> dict:
    pipeline = [dict(type='lewel_plugins.LoadRGB'), *views, dict(type='PackInputs')]
    dataset = dict(type='lewel_plugins.PretrainDataset', dataset=dict(dataset, pipeline=pipeline))
    return dict(batch_size=4, num_workers=0, collate_fn=dict(type='default_collate'), sampler=sampler, dataset=dataset)


def validate(rank: int, folder: Path, work_dir: Path, images: list[int]) -> dict:
    """Train two steps with a validation before the first and after each, and return what the first one measured."""
    order = dict(type='DefaultSampler', shuffle=False)
    bank, queries = (list_of(folder, f'{work_dir.name}-{rank}-{i}.txt', images[i::2]) for i in range(2))
    two = dict(type='MultiView', num_views=2, transforms=[[dict(type='RandomFlip', prob=0.5)]])
    views = loader(queries, dict(type='lewel_plugins.SeededSampler'), two)
    runner = toy_runner(
        work_dir,
        max_iters=2,
        val_interval=1,
        val_dataloader=dict(loader(queries, order), _delete_=True),
        val_cfg=dict(bank_dataloader=dict(loader(bank, order), _delete_=True)),
        custom_hooks=[
            dict(type='lewel_plugins.BrokenImageHook'),
            dict(type='lewel_plugins.PixelBaselineHook'),
            dict(type='lewel_plugins.InitialValidationHook'),
            dict(type='lewel_plugins.ViewRetrievalHook', dataloaders=dict(train=views), lidar_views=4),
        ],
    )
    runner.train()
    scalars = runner.message_hub.log_scalars
    names = [name for name in scalars if name.startswith('val/') and 'time' not in name]
    assert all(any(part in name for name in names) for part in ('pixels', 'finds_view', 'lidar'))
    return {name: float(scalars[name].data[0][0]) for name in names}


@pytest.mark.core
def test_a_validation_leaves_broken_images_out(tmp_path):
    """It measures what it measures without them, in bank, queries, views and raw pixels; each file is named once."""
    images = make_folder(tmp_path / 'images', 22, broken=0)
    expected = validate(0, images, tmp_path / 'without', list(range(20)))
    for i in (20, 21):  # one of the bank, one of the queries
        (images / f'{i:03d}.png').write_bytes(b'')
    results = [validate(0, images, tmp_path / 'one', list(range(22)))]
    results += on_ranks(2, tmp_path, validate, images, tmp_path / 'two', list(range(22)))
    for measured in results:
        assert measured == pytest.approx(expected, rel=1e-4)
    for folder in (tmp_path / 'one', tmp_path / 'two'):
        listed = sorted((folder / 'broken_images.txt').read_text().splitlines())
        assert listed == [f'{images}/{i:03d}.png: the file is empty' for i in (20, 21)]
        log = ''.join(path.read_text() for path in folder.rglob('*.log'))
        assert all(log.count(f'Broken image, left out of the validation: {line}') == 1 for line in listed)
        assert all(log.count(line) == 1 for line in listed)


def test_names_of_any_bytes_are_listed(tmp_path):
    hook = BrokenImageHook()
    names = [os.fsdecode(b'a\xff.jpg'), 'b\nc.jpg', 'd.jpg']
    hook._files = dict.fromkeys(names)
    hook._write_to(tmp_path / 'broken.txt')
    assert (tmp_path / 'broken.txt').read_bytes() == b'a\xff.jpg\n"b\\nc.jpg"\nd.jpg\n'
