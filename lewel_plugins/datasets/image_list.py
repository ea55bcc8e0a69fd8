import gzip
import os
from collections.abc import Sequence
from pathlib import Path

from lewel_plugins.image_files.path_list import decode_lines, line_path
from lewel_plugins.registry import DATASETS

from .image_paths import ImagePaths


@DATASETS.register_module()
class ImageList(ImagePaths):
    """The images of a list, by default without labels.

    A run that starts from a list trains on the same images when it is resumed, whatever has been added to the folder.

    Args:
        list_file: Text file, or gzip-compressed one (``.gz``), with one image per line: its path, and further columns
            after tabs. A name with a tab or a line break is a json string in quotes.
        data_root: Folder that relative paths start from; that of the list by default.
        pipeline: Transforms, starting from ``img_path``.
        labels: Whether the second column is the number of the class.
        label_file: Another list, whose second column is the number of the class of some of the images; the others have
            none. Its paths are written as those of ``list_file``.
        lazy_init: Whether to postpone the reading until ``full_init``.

    Raises:
        FileNotFoundError: If a list does not exist.
        ValueError: If it names no image.
    """

    def __init__(
        self,
        list_file: str,
        data_root: str | None = None,
        pipeline: Sequence = (),
        labels: bool = False,
        label_file: str | None = None,
        lazy_init: bool = False,
    ) -> None:
        self.list_file, self.labels, self.label_file = list_file, labels, label_file
        root = os.path.dirname(list_file) if data_root is None else data_root
        super().__init__(data_root=root, pipeline=list(pipeline), lazy_init=lazy_init)

    def load_data_list(self) -> list[dict]:
        """Return one ``dict(img_path=...)`` per line, with the ``gt_label`` if there are labels."""
        lines = _lines(self.list_file)
        if not lines:
            raise ValueError(f'{self.list_file} names no image')
        paths = [line_path(line) for line in lines]
        data_list: list[dict] = [{'img_path': os.path.join(self.data_root, path)} for path in paths]
        if self.labels:
            for info, line in zip(data_list, lines):
                info['gt_label'] = _label(line)
        if self.label_file is not None:
            known = {line_path(line): _label(line) for line in _lines(self.label_file)}
            for info, path in zip(data_list, paths):
                if path in known:
                    info['gt_label'] = known[path]
        return data_list


def read_image_list(file: str | Path) -> list[str]:
    """Return the paths of a list of images, see :class:`ImageList`."""
    return [line_path(line) for line in _lines(file)]


def _label(line: str) -> int:
    return int(line.rsplit('\t', 1)[1])


def _lines(file: str | Path) -> list[str]:
    content = Path(file).read_bytes()
    lines = decode_lines(gzip.decompress(content) if str(file).endswith('.gz') else content)
    return [line for line in lines if line.strip()]
