"""Views per second of the loader alone, in the process that this module runs in."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from lewel_plugins.datasets import ContinuousLoader, SeededSampler
from lewel_plugins.datasets.image_list import read_image_list
from lewel_plugins.image_files.packed import file_of
from lewel_plugins.running import setup
from lewel_plugins.running.lost_workers import with_timeout
from lewel_plugins.running.watched_loader import watched


def time_loader(
    config: Config, workers: Sequence[int], until: float, seconds: float = 3.0, **_: Any
) -> dict[str, list[dict[str, float]]]:
    """Return the views per second with several numbers of workers: of files that are not in memory, and once more.

    Args:
        config: The config.
        workers: Numbers of workers.
        until: Time by ``time.time`` after which nothing further is measured.
        seconds: Time for each measurement, after the first batches.
    """
    init_default_scope(config.get('default_scope', 'mmpretrain'))
    setup.set_dataloader_defaults(config)
    paths = image_paths(config)
    rows: list[dict[str, float]] = []
    for count in workers:
        if time.time() + 2 * seconds > until and rows:
            break
        is_cold = drop_from_memory(paths, until)
        cold = views_per_second(config, count, seconds, until)
        warm = views_per_second(config, count, seconds, until)
        if warm is None:
            break
        rows.append(dict(workers=count, warm=warm, cold=cold if is_cold and cold is not None else warm))
    return dict(rows=rows)


def image_paths(config: Config) -> list[str]:
    """Return the paths of the images in the list of a config."""
    dataset = config.train_dataloader.dataset.dataset
    return [os.path.join(dataset.data_root, path) for path in read_image_list(dataset.list_file)]


def drop_from_memory(paths: Sequence[str], until: float) -> bool:
    """Have the system forget what it holds of files; return whether it can, and the time was enough."""
    if not hasattr(os, 'posix_fadvise'):
        return False
    for path in dict.fromkeys(map(file_of, paths)):
        if time.time() > until:
            return False
        with suppress(OSError), open(path, 'rb') as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def views_per_second(config: Config, workers: int, seconds: float, until: float) -> float | None:
    """Return the rate at which a loader makes views once each worker has made a batch; None without time for one.

    Args:
        config: The config.
        workers: Number of workers.
        seconds: Time to measure.
        until: Time by ``time.time`` after which no further batch is awaited.
    """
    settings = config.train_dataloader.to_dict()
    settings.update(num_workers=workers, persistent_workers=workers > 0)
    loader: Any = watched(Runner.build_dataloader(with_timeout(settings), seed=0))
    if isinstance(loader.sampler, SeededSampler):  # as in a training, whose epochs may be short
        loader = ContinuousLoader(loader)
    batches, views, start, end = 0, 0, 0.0, 0.0
    epoch = 0
    while not end or end < start + seconds:
        if hasattr(loader.sampler, 'set_epoch'):
            loader.sampler.set_epoch(epoch)
        for batch in loader:
            now = time.perf_counter()
            batches += 1
            if batches == max(1, workers):
                start = now
            elif batches > workers:
                end = now
                views += sum(len(view) for view in batch['inputs'])
                if end >= start + seconds:
                    break
            if time.time() > until:
                return views / (end - start) if end > start else None
        epoch += 1
    return views / (end - start)
