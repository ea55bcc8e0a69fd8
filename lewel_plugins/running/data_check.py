"""Refuse a training whose images are not where its config expects them, before anything is written."""

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.tree import EXTENSIONS, list_images

_DOWNLOADED = ('CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST')  # create their folder
_SPLIT_IS_FOLDER = ('ImageNet', 'ImageNetSubset')
_OWN_TREE = 'ImageTree'
_SET = 'set it by --cfg-options'


def check_data(cfg: Config, processes: int = 1) -> None:
    """Check the folders that the data sets of a training and its validation name. No data set is built.

    Args:
        cfg: The config, with all options.
        processes: Number of ranks.

    Raises:
        SetupError: A folder is missing, has no images or fewer than a batch, or an option is at the wrong level. Names
            key and value.
    """
    roots: dict[str, list[str]] = {}
    for key, dataset in _datasets(cfg):
        root = dataset.get('data_root')
        if not isinstance(root, str) or not root or '://' in root or _kind(dataset) in _DOWNLOADED:
            continue
        if not os.path.isdir(root):
            roots.setdefault(root, []).append(f'{key}.data_root')
        else:
            _check_folder(f'{key}.data_root', root, dataset, cfg)
    for root, keys in roots.items():
        first, *others = keys
        more = f', and so for {", ".join(others)}' if others else ''
        raise SetupError(
            f'{first} is {root!r}, which is not a folder; put the images there, or {_SET} {first}=FOLDER{more}'
        )
    _check_batch(cfg, processes)


def _datasets(cfg: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield key and config of each innermost data set."""
    loaders = {name: cfg.get(name) for name in ('train_dataloader', 'val_dataloader')}
    if loaders['val_dataloader']:
        loaders['val_cfg.bank_dataloader'] = (cfg.get('val_cfg') or {}).get('bank_dataloader')
    for name, loader in loaders.items():
        if isinstance(loader, Mapping) and isinstance(loader.get('dataset'), Mapping):
            yield from _innermost(f'{name}.dataset', loader['dataset'])


def _innermost(key: str, dataset: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    inner = dataset.get('dataset')
    if isinstance(inner, Mapping):
        if 'type' not in inner:
            name = next(iter(inner), 'data_root')
            raise SetupError(f'{key}.dataset has no type: {_kind(dataset)} wraps no data set; set {key}.{name}')
        if 'data_root' in dataset:
            raise SetupError(
                f'{key}.data_root: {_kind(dataset)} has none, but wraps a data set; set {key}.dataset.data_root'
            )
        yield from _innermost(f'{key}.dataset', inner)
    elif isinstance(dataset.get('datasets'), (list, tuple)):
        for index, part in enumerate(dataset['datasets']):
            if isinstance(part, Mapping):
                yield from _innermost(f'{key}.datasets.{index}', part)
    else:
        yield key, dataset


def _kind(dataset: Mapping[str, Any]) -> str:
    return str(dataset.get('type')).rpartition('.')[2]


def _check_folder(key: str, root: str, dataset: Mapping[str, Any], cfg: Config) -> None:
    """Check what a data set expects in its folder."""
    part = dataset.get('data_prefix') or (dataset.get('split') if _kind(dataset) in _SPLIT_IS_FOLDER else None)
    if isinstance(part, str) and not os.path.isdir(os.path.join(root, part)):
        raise SetupError(f'{key} is {root!r}, which has no folder {part!r}; {_SET} {key}=FOLDER')
    labels = dataset.get('ann_file') if cfg.get('default_scope') == 'mmdet' else None
    if isinstance(labels, str) and labels and '://' not in labels and not os.path.isfile(os.path.join(root, labels)):
        raise SetupError(f'{key} is {root!r}, which has no file {labels!r}; {_SET} {key}=FOLDER')
    if _kind(dataset) == _OWN_TREE and not list_images(root, 1):
        raise SetupError(f'{key} is {root!r}, which has no images ({" ".join(EXTENSIONS)}); {_SET} {key}=FOLDER')


def _check_batch(cfg: Config, processes: int) -> None:
    loader = cfg.get('train_dataloader') or {}
    trained = [dataset for key, dataset in _datasets(cfg) if key.startswith('train_dataloader.')]
    batch = loader.get('batch_size')
    if len(trained) != 1 or _kind(trained[0]) != _OWN_TREE or not loader.get('drop_last') or type(batch) is not int:
        return
    root = trained[0]['data_root']
    count = len(list_images(root, batch * processes))
    if math.ceil(count / processes) < batch:
        refuse_batch(count, batch, processes, root)


def refuse_batch(count: int, batch: int, processes: int, title: str) -> None:
    """Refuse a training without a whole batch.

    Args:
        count: Number of images.
        batch: Images of a batch on one rank.
        processes: Number of ranks.
        title: Where the images are.

    Raises:
        SetupError: Always.
    """
    ranks = f' on each of {processes} ranks' if processes > 1 else ''
    most = max(1, count // processes)
    raise SetupError(
        f'train_dataloader.batch_size is {batch}{ranks}, and {title} has {count:,} images, too few for a batch; {_SET} '
        f'train_dataloader.batch_size={most}, or less'
    )
