"""Find the image files that annotations name."""

import os
from collections.abc import Sequence

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.bounds import Coding, UndecodableError, pixel_limit
from lewel_plugins.image_files.headers import read_header
from lewel_plugins.image_files.packed import is_packed
from lewel_plugins.image_files.tree import list_images
from lewel_plugins.planning.findings import Finding, plural, show


def list_files(folder: str) -> list[str]:
    """Return the sorted paths of all images in and under a folder.

    Raises:
        SetupError: Images are packed into shards.
    """
    paths = list_images(folder)
    packed = next(filter(is_packed, paths), None)
    if packed is not None:
        raise SetupError(f'{show(folder)} holds shards, such as {show(packed)}; detectors and segmenters need files')
    return paths


class ImageIndex:
    """All images in and under a folder, by name.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._paths: dict[str, list[str]] = {}
        for path in list_files(folder):
            self._paths.setdefault(os.path.basename(path), []).append(path)

    @property
    def has_images(self) -> bool:
        """Whether there is any image."""
        return bool(self._paths)

    def find(self, name: str, near: str = '') -> str | None:
        """Return the image that annotations name; None if there is none.

        Args:
            name: Name of the file, perhaps with folders.
            near: File of the annotations, or a split, which decides between images of the same name.

        Raises:
            SetupError: Several images have the name, and nothing decides between them.
        """
        parts = [part for part in name.replace('\\', '/').split('/') if part not in ('', '.')]
        paths = self._paths.get(parts[-1], []) if parts else []
        for count in range(len(parts), 0, -1):  # the longest end of the name that exists
            ending = os.sep + os.path.join(*parts[-count:])
            matches = [path for path in paths if (os.sep + path).endswith(ending)]
            if len(matches) > 1:
                beside = [path for path in matches if os.path.dirname(path) == os.path.dirname(near)]
                matches = beside or [path for path in matches if _split_name(near) in path.split(os.sep)] or matches
            if len(matches) > 1:
                raise SetupError(f'{show(name)} is ambiguous: there are {show(matches[0])} and {show(matches[1])}')
            if matches:
                return matches[0]
        return None


def _split_name(file: str) -> str:
    text = os.path.basename(file).lower()
    return next((split for split in ('train2017', 'val2017', 'train', 'valid', 'val', 'test') if split in text), '\0')


def refuse_missing(names: Sequence[str], file: str, folder: str) -> None:
    """Refuse annotations of images that do not exist.

    Args:
        names: Names of the missing images, as in the annotations.
        file: File of the annotations.
        folder: Where they were searched.

    Raises:
        SetupError: There are some.
    """
    if names:
        rest = f' (and {plural(len(names) - 1, "other image")})' if len(names) > 1 else ''
        raise SetupError(f'{show(file)} names {show(names[0])}{rest}, which is not in {show(folder)}')


class SizeReader:
    """Reads sizes of images, and notes which ones may have labels of other pixels than those that are trained on.

    Images are turned upright by their EXIF orientation. Labels that were drawn without it fit into the turned image if
    this has the same size, and then nothing else shows it.
    """

    def __init__(self) -> None:
        self._turned: list[str] = []

    def read(self, path: str, is_compared: bool) -> tuple[int, int]:
        """Return width and height of an image, after its EXIF orientation is applied.

        Args:
            path: The image.
            is_compared: Whether the labels state a size, which the caller compares.

        Raises:
            SetupError: Its header cannot be read, or announces more than is decoded in full.
        """
        try:
            header = read_header(path, reads_end=True)
        except (OSError, UndecodableError) as error:
            raise SetupError(f'{show(path)} cannot be read: {getattr(error, "strerror", None) or error}') from None
        # Labels are in pixels of the file, so that no JPEG is decoded at reduced size.
        coding = Coding.JPEG if header.coding is Coding.REDUCED_JPEG else header.coding
        if header.width * header.height > pixel_limit(coding):
            raise SetupError(
                f'{show(path)} claims {header.width:,} × {header.height:,} pixels, more than the limit of '
                f'{pixel_limit(coding) / 1e6:.0f} million for {coding.value[0]}'
            )
        shows_in_size = is_compared and header.orientation >= 5 and header.width != header.height
        if header.orientation > 1 and not shows_in_size:
            self._turned.append(path)
        return header.width, header.height

    def findings(self) -> list[Finding]:
        """Describe the images that are turned or mirrored, which does not show in their size."""
        if not self._turned:
            return []
        count = len(self._turned)
        verb, its = ('is', 'its') if count == 1 else ('are', 'their')
        text = (
            f'{plural(count, "image")}, such as {show(min(self._turned))}, {verb} turned or mirrored by the EXIF '
            f'orientation, so {its} labels must have been drawn on the upright image'
        )
        return [Finding('warning', 'turned', text, tuple(sorted(self._turned)))]


def check_size(path: str, size: tuple[int, int], file: str, recorded: tuple[int, int]) -> None:
    """Refuse labels that were drawn on an image of another size.

    Args:
        path: The image.
        size: Its width and height.
        file: File of the labels.
        recorded: Width and height in the labels.

    Raises:
        SetupError: The sizes differ.
    """
    if size == recorded:
        return
    turned = ' (turned, as by an EXIF orientation)' if size == recorded[::-1] else ''
    raise SetupError(
        f'{show(path)} has {size[0]} × {size[1]} pixels{turned}, but {show(file)} has labels for '
        f'{recorded[0]} × {recorded[1]}'
    )
