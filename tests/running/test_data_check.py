"""A training whose images are not where its config expects them ends in one line, before anything is written."""

import pytest
from helpers.toy_runner import toy_config
from mmengine.config import Config
from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.running.setup import PretrainRunner, check_images, load_config

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('empty', 'photos/a/b', 'imagenet'):
        (tmp_path / name).mkdir(parents=True)
    for i in range(3):
        Image.new('RGB', (8, 8)).save(tmp_path / 'photos' / 'a' / 'b' / f'{i}.png')
    return tmp_path


def tree(root: str = 'photos', batch: int = 2, **wrapper) -> Config:
    inner = dict(type='lewel_plugins.ImageTree', data_root=root)
    dataset = dict(type='lewel_plugins.PretrainDataset', dataset=inner, **wrapper)
    return Config(dict(train_dataloader=dict(batch_size=batch, drop_last=True, dataset=dataset)))


def imagenet(root: str, split: str = 'train', kind: str = 'ImageNet') -> Config:
    dataset = dict(type=kind, data_root=root, split=split)
    loader = dict(batch_size=2, dataset=dataset)
    return Config(dict(train_dataloader=loader, val_dataloader=loader, val_cfg=dict(bank_dataloader=loader)))


def coco(**dataset) -> Config:
    part = dict(type='CocoDataset', data_root='photos', ann_file='a/train.json')
    parts = dict(type='ConcatDataset', datasets=[part, part])
    return Config(dict(default_scope='mmdet', train_dataloader=dict(batch_size=2, dataset=dict(dataset or parts))))


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (
            imagenet('data/imagenet'),
            "train_dataloader.dataset.data_root is 'data/imagenet', which is not a folder; put the images there, or "
            'set it by --cfg-options train_dataloader.dataset.data_root=FOLDER, and so for '
            'val_dataloader.dataset.data_root, val_cfg.bank_dataloader.dataset.data_root',
        ),
        (
            imagenet('imagenet'),
            "train_dataloader.dataset.data_root is 'imagenet', which has no folder 'train'; set it by",
        ),
        (tree('nope'), "train_dataloader.dataset.dataset.data_root is 'nope', which is not a folder"),
        (tree('empty'), "train_dataloader.dataset.dataset.data_root is 'empty', which has no images (.jpg "),
        (
            tree(data_root='photos'),
            'train_dataloader.dataset.data_root: PretrainDataset has none, but wraps a data set; set '
            'train_dataloader.dataset.dataset.data_root',
        ),
        (
            coco(type='CocoDataset', dataset=dict(data_root='photos')),
            'train_dataloader.dataset.dataset has no type: CocoDataset wraps no data set; set '
            'train_dataloader.dataset.data_root',
        ),
        (tree(batch=4), 'train_dataloader.batch_size is 4, and photos has 3 images, too few for a batch; set it by'),
        (coco(), "train_dataloader.dataset.datasets.0.data_root is 'photos', which has no file 'a/train.json'"),
    ],
)
def test_what_is_missing_is_named_with_key_and_value(config, message):
    with pytest.raises(SetupError) as caught:
        check_images(config)
    assert str(caught.value).startswith(message) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'config',
    [
        tree(),
        tree(batch=3),
        imagenet('photos', 'a'),
        imagenet('later', kind='lewel_plugins.CIFAR10'),
        imagenet('s3://bucket/shards'),
        Config(dict(train_dataloader=dict(batch_size=2, dataset=dict(type='Toy')), val_dataloader=None)),
    ],
)
def test_what_is_there_or_is_downloaded_passes(config):
    check_images(config)


def test_images_for_two_ranks(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    check_images(tree(batch=2), 'pytorch')
    with pytest.raises(
        SetupError, match='batch_size is 3 on each of 2 ranks, and photos has 3 .*batch_size=1, or less'
    ):
        check_images(tree(batch=3), 'pytorch')


def test_links_to_folders_above_and_hidden_files_are_no_images(folder):
    (folder / 'photos' / 'a' / 'up').symlink_to(folder / 'photos')
    (folder / 'photos' / '._0.png').touch()
    check_images(tree(batch=3))
    with pytest.raises(SetupError, match=r'batch_size is 4, and photos has 3 images, .*batch_size=3, or less'):
        check_images(tree(batch=4))


def test_other_data_sets_name_what_is_missing_as_soon_as_they_are_built():
    loader = toy_config('').train_dataloader
    with pytest.raises(
        SetupError, match='train_dataloader.batch_size is 999, and the data set has .* too few for a ba'
    ):
        PretrainRunner.build_dataloader(dict(loader, batch_size=999, drop_last=True), seed=0)
    missing = dict(type='lewel_plugins.ImageTree', data_root='nope')
    with pytest.raises(SetupError, match="a data set of the config cannot be read: .*data_root 'nope' is not a folder"):
        PretrainRunner.build_dataloader(dict(loader, dataset=missing), seed=0)


def test_a_file_of_another_kind_is_no_config(folder):
    (folder / 'b.safetensors').write_bytes(b'')
    for name, message in (
        ('b.safetensors', r'b.safetensors is not a config file \(.py, .json or .yaml\); see --help for the order'),
        ('photos', r'photos is a folder, not a config file \(.py, .json or .yaml\)'),
    ):
        with pytest.raises(SetupError, match=f'^{message}'):
            load_config(name)
