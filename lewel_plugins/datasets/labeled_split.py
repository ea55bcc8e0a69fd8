from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from lewel_plugins.files import write_bytes
from lewel_plugins.image_files.path_list import decode_lines, encode_lines, line_path, path_line
from lewel_plugins.registry import DATASETS
from lewel_plugins.seeding import derive_seed

from .dataset_wrapper import DatasetWrapper

_DRAWN_MARK = '# fraction '  # first characters of a list that this class has drawn


@DATASETS.register_module()
class LabeledSplit(DatasetWrapper):
    """The images of a list: the 1 % or 10 % of semi-supervised evaluation.

    An existing list is used unchanged, such as SimCLR's lists for ImageNet. Otherwise the list is drawn, with the same
    share of every class and at least one image of each, and saved, so that every run that names it uses the same
    images.

    The list is a text file with one image per line: its path, or any end of its path (the file name, as in SimCLR's
    lists), or its number in the dataset where images are not files. ``#`` starts a comment, except in the names of a
    list that this class has drawn.

    Args:
        dataset: Config of a labeled dataset.
        split_file: Path of the list.
        fraction: Share of every class to draw, in (0, 1]. With None the list must exist.
        seed: Seed of the draw.

    Raises:
        ValueError: If ``fraction`` is out of range, an entry of the list matches no image of the dataset or several,
            or the list was drawn with another fraction or seed or from another number of images.
        FileNotFoundError: If the list does not exist and there is no ``fraction`` to draw one.
    """

    def __init__(
        self, dataset: dict | BaseDataset, split_file: str, fraction: float | None = None, seed: int = 0
    ) -> None:
        if fraction is not None and not 0 < fraction <= 1:
            raise ValueError(f'fraction must be in (0, 1], got {fraction}')
        super().__init__(dataset)
        path = Path(split_file)
        names, labels = self._names_and_labels()
        header = f'{_DRAWN_MARK}{fraction}, seed {seed}, of {len(names)} images'
        if not path.exists():
            if fraction is None:
                raise FileNotFoundError(f'{path} does not exist; set fraction to draw it')
            # Ranks that start at the same time draw the same list, and each puts a complete file in place.
            lines = [f'{header}\n', *(path_line(names[i]) for i in draw_balanced(labels, fraction, seed))]
            write_bytes(path, encode_lines(lines))
        self.indices = _read(path, names, header if fraction is not None else None)

    def _names_and_labels(self) -> tuple[list[str], list[int]]:
        names, labels = [], []
        for i in range(len(self.dataset)):
            info = self.dataset.get_data_info(i)
            names.append('/'.join(Path(info['img_path']).parts[-2:]) if 'img_path' in info else str(i))
            labels.append(int(info['gt_label']))
        return names, labels

    def get_data_info(self, idx: int) -> dict:
        """Return the wrapped dataset's annotation of an image."""
        return self.dataset.get_data_info(self.indices[idx])

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class index of an image in a list."""
        return [int(self.get_data_info(idx)['gt_label'])]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, idx: int) -> dict:
        return self.dataset[self.indices[idx]]


def is_given_list(path: Path) -> bool:
    """Return whether a list exists and was not drawn by this class, such as the lists of SimCLR."""
    return path.is_file() and not path.read_bytes().startswith(_DRAWN_MARK.encode())


def draw_balanced(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """Return indices of the same share of every class, rounded but at least one image, in ascending order."""
    return draw_per_class(labels, lambda size: max(1, round(fraction * size)), seed)


def draw_per_class(labels: Sequence[int], count: Callable[[int], int], seed: int) -> list[int]:
    """Return indices of some images of every class, in ascending order. Draws with one seed contain each other.

    Args:
        labels: Class of each image.
        count: Returns the number of images to draw from a class with so many images.
        seed: Seed of the draw.
    """
    rng = np.random.default_rng(derive_seed(seed))
    classes = np.asarray(labels)
    indices = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        indices.append(rng.permutation(members)[: count(len(members))])
    return np.sort(np.concatenate(indices)).tolist()


def _read(path: Path, names: Sequence[str], header: str | None) -> list[int]:
    lines = decode_lines(path.read_bytes())
    is_drawn = lines[0].startswith(_DRAWN_MARK)
    if header and is_drawn and lines[0] != header:
        raise ValueError(f'{path} was drawn with other settings ({lines[0][2:]}) than requested ({header[2:]})')
    # Names that this class has written may have a # or spaces at their ends.
    exact = set(names) if is_drawn else set()
    paths = [line_path(line, has_columns=False) if is_drawn else line for line in lines]
    entries = [entry for name in paths if (entry := name if name in exact else name.split('#')[0].strip())]
    if not entries:
        raise ValueError(f'{path} lists no image')
    matches = _match(entries, names)
    for problem, wrong in (
        ('match no image of the dataset', [e for e, indices in zip(entries, matches) if not indices]),
        ('match several images of the dataset', [e for e, indices in zip(entries, matches) if len(indices) > 1]),
    ):
        if wrong:
            raise ValueError(f'{len(wrong)} of {len(entries)} entries of {path} {problem}: {", ".join(wrong[:5])}')
    return [indices[0] for indices in matches]


def _match(entries: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Return for each entry the indices of all images that it may name."""
    by_name: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for key in {name, name.rsplit('/', 1)[-1]}:
            by_name.setdefault(key, []).append(index)
    # An entry may be longer than the folder and the file name that `names` consist of.
    return [by_name.get('/'.join(Path(entry).parts[-2:]), by_name.get(entry, [])) for entry in entries]
