import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from torch.utils.data import Dataset

from lewel_plugins.registry import DATASETS
from lewel_plugins.seeding import derive_seed

_DRAWN = '# fraction '  # what a drawn list starts with


@DATASETS.register_module()
class LabelledSplit(Dataset):
    """The images of a list: the 1 % or 10 % of semi-supervised evaluation.

    A list that is there is used as it is, such as SimCLR's for ImageNet. Otherwise it is drawn, the same share of
    every class and at least one image, and saved, so that every run that names it has the same images.

    The list is a text file with one image a line: its path, or any end of its path (the file name, as in SimCLR's
    lists), or its number in the dataset where images are not files. ``#`` starts a comment.

    Args:
        dataset: Config of a labelled dataset.
        split_file: The list.
        fraction: Share of every class that is drawn, in (0, 1]; None demands that the list is there.
        seed: Seed of the draw.

    Raises:
        ValueError: ``fraction`` is out of range; an entry of the list is no image of the dataset, or several; or the
            list was drawn with another fraction or seed, or from another number of images.
        FileNotFoundError: There is no list, and no ``fraction`` to draw one.
    """

    def __init__(
        self, dataset: dict | BaseDataset, split_file: str, fraction: float | None = None, seed: int = 0
    ) -> None:
        if fraction is not None and not 0 < fraction <= 1:
            raise ValueError(f'fraction must be in (0, 1], got {fraction}')
        self.dataset: Any = MMENGINE_DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        path = Path(split_file)
        names, labels = [], []
        for i in range(len(self.dataset)):
            info = self.dataset.get_data_info(i)
            names.append('/'.join(Path(info['img_path']).parts[-2:]) if 'img_path' in info else str(i))
            labels.append(int(info['gt_label']))
        header = f'{_DRAWN}{fraction}, seed {seed}, of {len(names)} images'
        if not path.exists():
            if fraction is None:
                raise FileNotFoundError(f'{path} does not exist, and no fraction says how to draw it')
            drawn = draw_balanced(labels, fraction, seed)
            _write(path, [header, *(names[i] for i in drawn)])
        self.indices = _read(path, names, header if fraction is not None else None)

    @property
    def metainfo(self) -> dict:
        """The wrapped dataset's."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the wrapped dataset's annotations, if they are not yet."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """The wrapped dataset's annotation of an image."""
        return self.dataset.get_data_info(self.indices[idx])

    def get_cat_ids(self, idx: int) -> list[int]:
        """Class index of an image, in a list."""
        return [int(self.get_data_info(idx)['gt_label'])]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, idx: int) -> dict:
        return self.dataset[self.indices[idx]]


def is_given_list(path: Path) -> bool:
    """Whether a list is there that was not drawn here, such as SimCLR's."""
    return path.is_file() and not path.read_text(encoding='utf-8').startswith(_DRAWN)


def draw_balanced(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """Indices of the same share of every class, rounded, and of at least one image; in rising order."""
    rng = np.random.default_rng(derive_seed(seed))
    classes = np.asarray(labels)
    drawn = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        drawn.append(rng.permutation(members)[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(drawn)).tolist()


def _write(path: Path, lines: Sequence[str]) -> None:
    # Ranks that start together draw the same, and each puts a whole file in place.
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{os.getpid()}')
    unfinished.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    os.replace(unfinished, path)


def _read(path: Path, names: Sequence[str], header: str | None) -> list[int]:
    lines = path.read_text(encoding='utf-8').splitlines()
    if header and lines and lines[0].startswith(_DRAWN) and lines[0] != header:
        raise ValueError(f'{path} was drawn with other settings ({lines[0][2:]}) than asked for ({header[2:]})')
    entries = [line.split('#')[0].strip() for line in lines]
    entries = [entry for entry in entries if entry]
    by_name: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for key in {name, name.rsplit('/', 1)[-1]}:
            by_name.setdefault(key, []).append(index)
    # A path may be longer than the folder and file name that tell images apart here.
    found = [by_name.get('/'.join(Path(entry).parts[-2:]), by_name.get(entry, [])) for entry in entries]
    for problem, wrong in (
        ('are no images of the dataset', [e for e, indices in zip(entries, found) if not indices]),
        ('name several images of the dataset', [e for e, indices in zip(entries, found) if len(indices) > 1]),
    ):
        if wrong:
            raise ValueError(f'{len(wrong)} of {len(entries)} entries of {path} {problem}: {", ".join(wrong[:5])}')
    if not found:
        raise ValueError(f'{path} lists no image')
    return [indices[0] for indices in found]
