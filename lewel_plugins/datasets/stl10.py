import os
from collections.abc import Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from lewel_plugins.registry import DATASETS

_SHAPE = (3, 96, 96)
_BYTES = 3 * 96 * 96


@DATASETS.register_module()
class STL10(BaseDataset):
    """STL-10 (Coates, Ng and Lee, 2011) from its binary files.

    Images are read one by one, so that the 100,000 unlabeled ones take no memory. The pipeline gets each as ``img``,
    (96, 96, 3) uint8 RGB, and where there are labels with its ``gt_label``, 0 to 9.

    Args:
        data_root: Folder with ``{train,test,unlabeled}_X.bin`` and ``{train,test}_y.bin``.
        split: ``unlabeled`` (100,000 images), ``train`` (5,000) or ``test`` (8,000); or ``train+unlabeled``, both one
            after the other and without labels.
        pipeline: Transforms, starting from ``img``.

    Raises:
        ValueError: If ``split`` is none of these, or the size of a file is wrong.
        FileNotFoundError: If a file is missing.
    """

    METAINFO = {'classes': ('airplane', 'bird', 'car', 'cat', 'deer', 'dog', 'horse', 'monkey', 'ship', 'truck')}

    def __init__(self, data_root: str, split: str, pipeline: Sequence = ()) -> None:
        if split not in ('unlabeled', 'train', 'test', 'train+unlabeled'):
            raise ValueError(f"split must be 'unlabeled', 'train', 'test' or 'train+unlabeled', got {split!r}")
        self.split = split
        super().__init__(data_root=data_root, pipeline=list(pipeline))

    def load_data_list(self) -> list[dict]:
        """Return one ``dict(file=…, row=…)`` per image, with ``gt_label`` where the split has labels."""
        self._files = [self._find(part, 'X') for part in self.split.split('+')]
        counts = [_number_of_images(file) for file in self._files]
        if 'unlabeled' in self.split:
            return [{'file': file, 'row': row} for file, count in enumerate(counts) for row in range(count)]
        labels = np.fromfile(self._find(self.split, 'y'), np.uint8)
        if len(labels) != counts[0]:
            raise ValueError(f'{self._files[0]} has {counts[0]} images, but there are {len(labels)} labels')
        return [{'file': 0, 'row': row, 'gt_label': int(label) - 1} for row, label in enumerate(labels)]

    def get_data_info(self, idx: int) -> dict:
        """Return the annotation of an image together with the image."""
        info = super().get_data_info(idx)
        raw = np.fromfile(self._files[info['file']], np.uint8, count=_BYTES, offset=info['row'] * _BYTES)
        info['img'] = np.ascontiguousarray(raw.reshape(_SHAPE).transpose(2, 1, 0))  # stored column by column
        return info

    def _find(self, split: str, kind: str) -> str:
        path = os.path.join(self.data_root, f'{split}_{kind}.bin')
        if not os.path.isfile(path):
            raise FileNotFoundError(f'{path} is missing; unpack stl10_binary.tar.gz and set data_root to its folder')
        return path


def _number_of_images(file: str) -> int:
    count, rest = divmod(os.path.getsize(file), _BYTES)
    if rest or not count:
        raise ValueError(f'{file} does not hold color images of 96x96: its size is not a multiple of {_BYTES}')
    return count
