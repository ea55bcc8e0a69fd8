"""Shards of a folder of images."""

import os
from collections.abc import Callable
from pathlib import Path

from lewel_plugins.image_files.pack import Source, cut, is_written, member_names, write_folder_index, write_shard
from lewel_plugins.image_files.tree import list_images


def pack(
    source: Path, target: Path, shard_size: int = 25_000, label_of: Callable[[str], int | None] = lambda name: None
) -> Path:
    """Pack all images of a folder, and return the folder of the shards.

    Args:
        source: The folder.
        target: Folder of the shards, which is made.
        shard_size: Bytes of a shard.
        label_of: Returns the class of an image by its path within the folder.
    """
    paths = list_images(str(source))
    names = [os.path.relpath(path, source) for path in paths]
    sources = [Source(path, name, os.path.getsize(path), label_of(name)) for path, name in zip(paths, names)]
    members = iter(member_names(names))
    parts = cut(sources, shard_size)
    for number, part in enumerate(parts):
        assert write_shard(target, number, part, [next(members) for _ in part], lambda: None) == []
        assert is_written(target, number, part) and not is_written(target, number, part[:-1])
    assert write_folder_index(target, len(parts), ()) == len(paths)
    return target
