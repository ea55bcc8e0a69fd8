import os
from collections.abc import Iterator, Sequence

from mmengine.dataset import BaseDataset

from lewel_plugins.registry import DATASETS

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')


@DATASETS.register_module()
class ImageTree(BaseDataset):
    """All images of a local folder and its subfolders, without labels.

    Images are recognized by their extension (``.jpg .jpeg .png .webp .bmp .tif .tiff``, upper or lower case) and sorted
    by path. Hidden files and folders are skipped. Links are followed. A folder that several links lead to, or that
    contains itself through a link, is read once.

    Args:
        data_root: The folder.
        pipeline: Transforms, starting from ``img_path``.
        lazy_init: Whether to postpone the search until ``full_init``.

    Raises:
        FileNotFoundError: If the folder does not exist or contains no image.
    """

    METAINFO: dict = {}

    def __init__(self, data_root: str, pipeline: Sequence = (), lazy_init: bool = False) -> None:
        super().__init__(data_root=data_root, pipeline=list(pipeline), lazy_init=lazy_init)

    def load_data_list(self) -> list[dict]:
        """Search the folder and return one ``dict(img_path=...)`` per image."""
        if not os.path.isdir(self.data_root):
            raise FileNotFoundError(f'data_root {self.data_root!r} is not a folder')
        paths = list_images(self.data_root)
        if not paths:
            raise FileNotFoundError(f'no images under {self.data_root!r}; extensions of images: {" ".join(EXTENSIONS)}')
        return [{'img_path': path} for path in paths]


def list_images(folder: str) -> list[str]:
    """Return the sorted paths of all images in a folder and its subfolders, none if the folder does not exist."""
    return sorted(_find_images(folder, set())) if os.path.isdir(folder) else []


def _find_images(folder: str, visited: set[tuple[int, int]]) -> Iterator[str]:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith('.'):
            continue
        if entry.is_dir():
            yield from _find_images(entry.path, visited)
        elif entry.name.lower().endswith(EXTENSIONS) and entry.is_file():
            yield entry.path
