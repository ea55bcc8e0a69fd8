"""Find the images of a folder."""

import os
from collections import Counter
from dataclasses import dataclass, field

from .packed import packed_images, path_without_shard
from .shards import FOLDER_INDEX, SETTINGS

RUN_LOCK = 'run.lock'  # a folder of a run has it, and one of the notes
RUN_NOTES = ('plan.json', 'begun.json')
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')


@dataclass
class Tree:
    """What a walk through folders has found so far.

    Attributes:
        images: Paths of the images, in the order in which they were found.
        folders: Folders that hold images.
        others: Number of other files by extension, in lower case.
        hidden_files: Hidden files with the extension of an image.
        hidden_folders: Hidden folders, which are not entered.
        run_folders: Folders of runs, which are not entered.
        repeated_folders: Links that lead to a folder that is read by another path.
        broken_links: Links that lead nowhere.
    """

    images: list[str] = field(default_factory=list)
    folders: int = 0
    others: Counter[str] = field(default_factory=Counter)
    hidden_files: int = 0
    hidden_folders: int = 0
    run_folders: int = 0
    repeated_folders: int = 0
    broken_links: int = 0
    _visited: set[tuple[int, int]] = field(default_factory=set)

    def add(self, folder: str, limit: int | None = None) -> None:
        """Read a folder and its subfolders, at any depth and each once.

        Images are recognized by their extension, in upper or lower case. Hidden files and folders are skipped, and
        links are followed. Of a folder of shards, the packed images are added.

        Args:
            folder: The folder.
            limit: Number of images from which no further folder is read; None for all folders.

        Raises:
            OSError: A folder does not exist or cannot be read; names it.
            ShardError: Shards are missing, or not as they were packed.
        """
        stack = [folder]
        while stack and (limit is None or len(self.images) < limit):
            path = stack.pop()
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in self._visited:
                self.repeated_folders += 1
                continue
            self._visited.add((status.st_dev, status.st_ino))
            stack += reversed(self._read(path))

    def _read(self, folder: str) -> list[str]:
        """Add the files of a folder, and return its subfolders in order."""
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        if any(entry.name in (FOLDER_INDEX, SETTINGS) for entry in entries):
            images = [path for path, _ in packed_images(folder)]
            self.images += images
            self.folders += len({os.path.dirname(path_without_shard(path)) for path in images})
            return []
        before = len(self.images)
        folders = [entry.path for entry in entries if self._is_folder(entry)]
        self.folders += len(self.images) > before
        return folders

    def _is_folder(self, entry: os.DirEntry) -> bool:
        """Return whether to enter a folder; count anything else."""
        is_image = entry.name.lower().endswith(EXTENSIONS)
        try:
            is_folder = entry.is_dir()
            is_file = not is_folder and entry.is_file()
        except OSError:  # such as a link to itself
            is_folder = is_file = False
        if entry.name.startswith('.'):
            self.hidden_folders += is_folder
            self.hidden_files += is_file and is_image
        elif is_folder and is_run(entry.path):
            self.run_folders += 1
        elif is_folder:
            return True
        elif is_file and is_image:
            self.images.append(entry.path)
        elif is_file:
            self.others[os.path.splitext(entry.name)[1].lower()] += 1
        elif entry.is_symlink() and not os.path.exists(entry.path):
            self.broken_links += 1
        return False


def is_run(folder: str | os.PathLike) -> bool:
    """Return whether a folder is that of a run of ``lewel``, whose files are no images or labels of the user."""
    has = [os.path.isfile(os.path.join(folder, name)) for name in (RUN_LOCK, *RUN_NOTES)]
    return has[0] and any(has[1:])


def list_images(folder: str, limit: int | None = None) -> list[str]:
    """Return the sorted paths of all images in a folder and its subfolders, none if the folder does not exist.

    Args:
        folder: The folder.
        limit: Number of images that are enough, so that no further subfolder is read; None for all.
    """
    if not os.path.isdir(folder):
        return []
    tree = Tree()
    tree.add(folder, limit)
    return sorted(tree.images)
