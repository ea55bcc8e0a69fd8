"""A training on shards is one on files: index, seed and views are equal to the last bit, from a disk or a server."""

import functools
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from helpers.shards import pack
from mmengine.dataset import default_collate
from mmpretrain.utils import register_all_modules
from PIL import Image
from torch.utils.data import DataLoader

from lewel_plugins.datasets import ImageShards, ImageTree, PretrainDataset, SeededSampler
from lewel_plugins.datasets import image_shards as module
from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.packed import path_without_shard

register_all_modules(init_default_scope=True)
pytestmark = pytest.mark.core
VIEWS = dict(size=32, crop_scale=(0.3, 1.0), jitter=1.0, saturation=0.4, blur=0.7, solarize=0.4, gray=0.3)
LOADERS = {
    'views': dict(type='lewel_plugins.LoadViews', views=[VIEWS], num_views=2),
    'rgb': dict(type='lewel_plugins.LoadRGB'),
}
PACK = dict(type='mmpretrain.PackInputs')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Twelve images, two of them broken, as files and in three shards with classes."""
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x112] = 6
    kinds = [('jpg', dict(exif=turned.tobytes())), ('png', {}), ('jpg', {}), ('webp', dict(lossless=True))]
    for i in range(12):
        ending, options = kinds[i % 4]
        path = root / 'files' / 'ab'[i % 2] / f'{i:02}.{ending}'
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((480, 360) if i == 2 else (64, 48)).save(path, **options)
    os.truncate(root / 'files' / 'a' / '06.jpg', 1000)
    os.truncate(root / 'files' / 'b' / '05.png', 100)
    pack(root / 'files', root / 'shards', 20_000, label_of=lambda name: 'ab'.index(name[0]))
    assert len(list((root / 'shards').glob('*.tar'))) > 2
    return root / 'files', root / 'shards'


def load_epoch(dataset, num_workers: int = 0, skip: int = 0) -> list:
    """Return index, path without shard, broken files and views of each sample of an epoch."""
    dataset = PretrainDataset(dataset)
    sampler = SeededSampler(dataset, seed=3)
    sampler.set_epoch(5)
    sampler.skip(skip)
    loader = DataLoader(dataset, 1, sampler=sampler, num_workers=num_workers, collate_fn=default_collate)
    return [
        (
            sample.sample_idx,
            os.path.join(*path_without_shard(sample.img_path).split('/')[-2:]),
            [path_without_shard(file).split('/')[-1] for file in sample.get('broken_files', ())],
            torch.stack(list(batch['inputs'])),  # a list of views, or a tensor
        )
        for batch in loader
        for sample in batch['data_samples']
    ]


def assert_same(left: list, right: list) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right):
        assert one[:3] == other[:3] and torch.equal(one[3], other[3])


@pytest.mark.parametrize('loader', LOADERS)
def test_samples_are_those_of_the_files(folders, loader):
    files, shards = folders
    pipeline = [LOADERS[loader], PACK]
    expected = load_epoch(ImageTree(str(files), pipeline))
    assert len(expected) == 12 and {name for *_, broken, _ in expected for name in broken} == {
        '05.png: the PNG is truncated (no end chunk)',
        '06.jpg: the JPEG is truncated (no end marker)',
    }
    assert_same(load_epoch(ImageShards(str(shards), pipeline=pipeline)), expected)
    assert_same(load_epoch(ImageTree(str(shards), pipeline)), expected)


def test_workers_and_a_resume_change_nothing(folders):
    files, shards = folders
    pipeline = [LOADERS['views'], PACK]
    expected = load_epoch(ImageTree(str(files), pipeline))
    dataset = ImageShards(str(shards), pipeline=pipeline)
    load_epoch(dataset)  # opens the shards, so that forked workers inherit them
    assert_same(load_epoch(dataset, num_workers=2, skip=5), expected[5:])


def test_classes(folders):
    files, shards = folders
    dataset = ImageShards(str(shards), labels=True)
    assert [dataset.get_data_info(i)['gt_label'] for i in range(12)] == [0] * 6 + [1] * 6
    assert 'gt_label' not in ImageShards(str(shards)).get_data_info(0)


@pytest.fixture
def server(folders):
    """Serve the shards on this machine; yields address and names of the requested files."""
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            requests.append(self.path.strip('/'))

    handler = functools.partial(Handler, directory=str(folders[1]))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f'http://127.0.0.1:{http.server_port}', requests
        http.shutdown()


def test_remote_shards_are_fetched_once(folders, server, tmp_path):
    address, requests = server
    pipeline = [LOADERS['views'], PACK]
    dataset = ImageShards(address, str(tmp_path / 'cache'), pipeline=pipeline)
    assert len(dataset) == 12 and not any(name.endswith('.tar') for name in requests)
    expected = load_epoch(ImageTree(str(folders[0]), pipeline))
    assert_same(load_epoch(dataset, num_workers=2), expected)
    again = ImageShards(address, str(tmp_path / 'cache'), pipeline=pipeline)
    assert_same(load_epoch(again), expected)
    names = sorted(path.name for path in folders[1].iterdir() if path.suffix == '.tar')
    assert sorted(name for name in requests if name.endswith('.tar')) == names


def test_remote_shards_that_cannot_be_used(folders, server, tmp_path, monkeypatch):
    address, _ = server
    cache = str(tmp_path / 'cache')
    with pytest.raises(ValueError, match='needs a cache_dir'):
        ImageShards(address)
    with pytest.raises(ValueError, match='takes no cache_dir'):
        ImageShards(str(folders[1]), cache)
    with pytest.raises(SetupError, match=f'{address}/more/image_shards.json cannot be fetched: .*404'):
        ImageShards(f'{address}/more', cache)
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, 'disk_usage', lambda _: shutil._ntuple_diskusage(1, 1, 10))
        with pytest.raises(SetupError, match=f'^{cache} needs 0.0 GB for the shards of {address} and has 0.0 GB$'):
            ImageShards(address, cache)
    dataset = ImageShards(address, cache, pipeline=[LOADERS['rgb']])
    with monkeypatch.context() as patch:
        patch.setattr(module, 'get', lambda url, backend_args: b'cut off')
        with pytest.raises(SetupError, match=f'^{address}/images-000000.tar has 7 bytes, but .* truncated or another'):
            dataset[0]
    assert not list((tmp_path / 'cache').glob('*.tar'))
    path = tmp_path / 'cache' / 'image_shards.json'
    path.write_text(path.read_text().replace('"version"', ' "version"'))
    with pytest.raises(SetupError, match=f'^{cache} holds other shards than {address}: empty it'):
        ImageShards(address, cache)
