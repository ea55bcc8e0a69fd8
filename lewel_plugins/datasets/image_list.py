import gzip
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from lewel_plugins.image_files.path_list import decode_lines, line_path
from lewel_plugins.registry import DATASETS


@DATASETS.register_module()
class ImageList(BaseDataset):
    """The images of a list, without labels.

    A run that starts from a list trains on the same images when it is resumed, whatever has been added to the folder.

    Args:
        list_file: Text file, or gzip-compressed one (``.gz``), with one image per line: its path, and further columns
            after tabs, which are not read. A name with a tab or a line break is a json string in quotes.
        data_root: Folder that relative paths start from; that of the list by default.
        pipeline: Transforms, starting from ``img_path``.
        lazy_init: Whether to postpone the reading until ``full_init``.

    Raises:
        FileNotFoundError: If the list does not exist.
        ValueError: If it names no image.
    """

    METAINFO: dict = {}

    def __init__(
        self, list_file: str, data_root: str | None = None, pipeline: Sequence = (), lazy_init: bool = False
    ) -> None:
        self.list_file = list_file
        root = os.path.dirname(list_file) if data_root is None else data_root
        super().__init__(data_root=root, pipeline=list(pipeline), lazy_init=lazy_init)

    def load_data_list(self) -> list[dict]:
        """Return one ``dict(img_path=...)`` per line."""
        paths = read_image_list(self.list_file)
        if not paths:
            raise ValueError(f'{self.list_file} names no image')
        return [{'img_path': os.path.join(self.data_root, path)} for path in paths]


def read_image_list(file: str | Path) -> list[str]:
    """Return the paths of a list of images, see :class:`ImageList`."""
    content = Path(file).read_bytes()
    lines = decode_lines(gzip.decompress(content) if str(file).endswith('.gz') else content)
    return [line_path(line) for line in lines if line.strip()]
