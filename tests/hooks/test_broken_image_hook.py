import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
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
