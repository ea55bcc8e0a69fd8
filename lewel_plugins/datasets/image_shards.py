import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.fileio import get

from lewel_plugins.files import leftovers, read_json, write_bytes
from lewel_plugins.image_files.packed import file_of, packed_images
from lewel_plugins.image_files.shards import FOLDER_INDEX, ShardError, ShardFolder, index_name
from lewel_plugins.registry import DATASETS

from .image_paths import ImagePaths


@DATASETS.register_module()
class ImageShards(ImagePaths):
    """The images that ``tools/data/pack_images.py`` has packed into shards, in the order of the files.

    Seeds, views and resume are those of an :class:`ImageTree` on the folder that was packed. An image is one read at an
    offset, and compared with its checksum.

    Remote shards are copied to ``cache_dir``, each as a whole when the first of its images is needed, by one process at
    a time. mmengine's file backends have no ranges, and a random order needs all shards at any time, so all of them
    have to fit there. While one is fetched, it is in memory as a whole.

    Args:
        data_root: The folder of the shards: a local one, or an address of one of mmengine's file backends, such as
            ``s3://bucket/shards``.
        cache_dir: Local folder for copies of remote shards. Runs and ranks can share it.
        backend_args: Arguments of mmengine's file backend. By default the prefix of the address decides.
        pipeline: Transforms, starting from ``img_path``.
        labels: Whether samples have the number of the class that they were packed with.
        lazy_init: Whether to postpone reading the indexes until ``full_init``.

    Raises:
        ShardError: Shards are missing, truncated, of another version, or do not fit in ``cache_dir``.
        ValueError: Remote shards have no ``cache_dir``, or local ones have one; or an image has no class.
    """

    def __init__(
        self,
        data_root: str,
        cache_dir: str | None = None,
        backend_args: dict | None = None,
        pipeline: Sequence = (),
        labels: bool = False,
        lazy_init: bool = False,
    ) -> None:
        is_remote = '://' in data_root or backend_args is not None
        if is_remote != (cache_dir is not None):
            need = 'needs a cache_dir for copies of' if is_remote else 'is local and takes no cache_dir for'
            raise ValueError(f'data_root {data_root!r} {need} its shards, got cache_dir {cache_dir!r}')
        self.labels = labels
        self._cache = None if cache_dir is None else _Cache(data_root, Path(cache_dir), backend_args)
        super().__init__(data_root=data_root, data_prefix={}, pipeline=list(pipeline), lazy_init=lazy_init)

    def load_data_list(self) -> list[dict]:
        """Read the indexes and return one ``dict(img_path=...)`` per image, with the ``gt_label`` if wanted."""
        if self._cache is None:
            images = packed_images(self.data_root)
        else:
            self._cache.prepare()
            images = packed_images(str(self._cache.folder), has_shards=False)
        data_list: list[dict] = []
        for path, label in images:
            if self.labels and label is None:
                raise ValueError(f'{path} was packed without a class; pack again with --labels that has it')
            data_list.append({'img_path': path, 'gt_label': label} if self.labels else {'img_path': path})
        return data_list

    def prepare_data(self, idx: int) -> Any:
        """Return the sample of an image, and fetch its shard before if it is remote."""
        info = self.get_data_info(idx)
        if self._cache is not None:
            self._cache.fetch(os.path.basename(file_of(info['img_path'])))
        return self.pipeline(info)


class _Cache:
    """Local copies of remote shards.

    Args:
        root: Address of the shards.
        folder: The local folder.
        backend_args: Arguments of mmengine's file backend.
    """

    def __init__(self, root: str, folder: Path, backend_args: dict | None) -> None:
        self.root, self.folder, self._backend_args = root.rstrip('/'), folder, backend_args
        self._sizes: dict[str, int] = {}
        self._complete: set[str] = set()

    def prepare(self) -> None:
        """Fetch the indexes.

        Raises:
            ShardError: They cannot be fetched, there is no room for the shards, or the folder has those of others.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(FOLDER_INDEX):
            index = self.folder / FOLDER_INDEX
            known = read_json(index)
            content = self._get(FOLDER_INDEX)
            if known is not None and content != index.read_bytes():
                raise ShardError(f'{self.folder} holds other shards than {self.root}: empty it, or name another folder')
            write_bytes(index, content)
            shards = ShardFolder.read(str(self.folder)).shards
            for name in map(index_name, shards):
                if not (self.folder / name).is_file():
                    write_bytes(self.folder / name, self._get(name))
        self._sizes = {shard: facts.bytes for shard, facts in shards.items()}
        needed = sum(size for shard, size in self._sizes.items() if not self._is_complete(shard))
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ShardError(
                f'{self.folder} needs {needed / 1e9:,.1f} GB for the shards of {self.root} and has {free / 1e9:,.1f} GB'
            )

    def fetch(self, shard: str) -> None:
        """Copy a shard unless it is there.

        Raises:
            ShardError: It cannot be fetched, or has another size than in the index.
        """
        if self._is_complete(shard):
            return
        with self._locked(shard):
            if self._is_complete(shard):  # another process was faster
                return
            for file in leftovers(self.folder, shard):
                file.unlink()
            content = self._get(shard)
            if len(content) != self._sizes[shard]:
                sizes = f'{len(content):,} bytes, but {self._sizes[shard]:,} by {FOLDER_INDEX}'
                raise ShardError(f'{self.root}/{shard} has {sizes}: it is truncated or another file')
            write_bytes(self.folder / shard, content)

    def _is_complete(self, shard: str) -> bool:
        if shard not in self._complete:
            path = self.folder / shard
            if not path.is_file() or path.stat().st_size != self._sizes[shard]:
                return False
            self._complete.add(shard)
        return True

    def _get(self, name: str) -> bytes:
        try:
            return get(f'{self.root}/{name}', backend_args=self._backend_args)
        except OSError as error:
            raise ShardError(f'{self.root}/{name} cannot be fetched: {error.strerror or error}') from error

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep other processes of this machine out."""
        with open(self.folder / f'.{name}.lock', 'w') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
