import os
from collections.abc import Sequence

from lewel_plugins.image_files.tree import EXTENSIONS, list_images
from lewel_plugins.registry import DATASETS

from .image_paths import ImagePaths


@DATASETS.register_module()
class ImageTree(ImagePaths):
    """All images of a local folder and its subfolders, without labels.

    Images are recognized by their extension (``.jpg .jpeg .png .webp .bmp .tif .tiff``, upper or lower case) and sorted
    by path. Hidden files and folders are skipped. Links are followed. A folder that several links lead to, or that
    contains itself through a link, is read once. Of a folder of shards, it has the packed images.

    Args:
        data_root: The folder.
        pipeline: Transforms, starting from ``img_path``.
        lazy_init: Whether to postpone the search until ``full_init``.

    Raises:
        FileNotFoundError: If the folder does not exist or contains no image.
    """

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
