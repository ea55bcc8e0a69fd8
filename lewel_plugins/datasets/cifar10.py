from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from lewel_plugins.registry import DATASETS

_PARTS = {'train': 'train', 'test': 'test', 'fit': 'train', 'held_out': 'train'}
_EVERY = 10  # image of a class that is held out


@DATASETS.register_module()
class CIFAR10(BaseDataset):
    """CIFAR-10 from image files, ``{train,test}/<class>/``, or from the files that mmpretrain downloads.

    If ``data_root`` has a folder ``train``, the images are read from there and the pipeline gets an ``img_path``.
    Otherwise mmpretrain's class reads them, which downloads what is missing, and the pipeline gets ``img``.

    Settings such as learning rates are chosen without a look at the test images: train on ``fit``, score on
    ``held_out``, two parts of the training images with the same share of every class.

    Args:
        data_root: Folder of the data.
        split: ``train`` (50,000 images), ``test`` (10,000), ``held_out`` (5,000: of each class in ``train``, every
            tenth image) or ``fit`` (the other 45,000).
        pipeline: Transforms, starting from ``img_path`` or ``img``.
        download: Whether to download what is missing.

    Raises:
        ValueError: If ``split`` is none of these, or a folder ``train`` is not that of CIFAR-10.
    """

    METAINFO = {'classes': ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')}

    def __init__(self, data_root: str, split: str = 'train', pipeline: Sequence = (), download: bool = True) -> None:
        if split not in _PARTS:
            raise ValueError(f'split must be one of {", ".join(map(repr, _PARTS))}, got {split!r}')
        self.split, self.download = split, download
        super().__init__(data_root=data_root, pipeline=list(pipeline))

    def load_data_list(self) -> list[dict]:
        """Return ``dict(img_path=…, gt_label=…)`` or ``dict(img=…, gt_label=…)`` for each image of the split."""
        files, root = _PARTS[self.split], Path(self.data_root)
        infos = self._list_files(root / files) if (root / 'train').is_dir() else self._downloaded(files)
        return infos if self.split == files else _part(infos, self.split == 'held_out')

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class index of an image in a list."""
        return [int(self.get_data_info(idx)['gt_label'])]

    def _downloaded(self, split: str) -> list[dict]:
        from mmpretrain.datasets import CIFAR10 as UpstreamCIFAR10  # onedl-mmpretrain prints a line at its import

        return UpstreamCIFAR10(self.data_root, split, download=self.download, lazy_init=True).load_data_list()

    def _list_files(self, folder: Path) -> list[dict]:
        classes = self.METAINFO['classes']
        folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
        if folders != sorted(classes):
            raise ValueError(
                f'{folder} must hold one folder for each class of CIFAR-10 ({", ".join(classes)}), but has '
                f'{", ".join(folders) or "no folder"}'
            )
        return [
            dict(img_path=str(path), gt_label=label)
            for label, name in enumerate(classes)
            for path in sorted((folder / name).iterdir())
            if path.is_file() and not path.name.startswith('.')
        ]


def _part(infos: list[dict], held_out: bool) -> list[dict]:
    counts: dict[int, int] = {}
    chosen = []
    for info in infos:
        number = counts[info['gt_label']] = counts.get(info['gt_label'], 0) + 1
        if (number % _EVERY == 0) == held_out:
            chosen.append(info)
    return chosen
