from pathlib import Path

from mmpretrain.datasets import CIFAR10 as UpstreamCIFAR10

from lewel_plugins.registry import DATASETS

_PARTS = {'train': 'train', 'test': 'test', 'fit': 'train', 'held_out': 'train'}
_EVERY = 10  # image of a class that is held out


@DATASETS.register_module()
class CIFAR10(UpstreamCIFAR10):
    """CIFAR-10 from image files, ``{train,test}/<class>/``, or from the files that mmpretrain downloads.

    If ``data_root`` has a folder ``train``, the images are read from there and the pipeline gets an ``img_path``.
    Otherwise this is mmpretrain's class, which downloads what is missing, and the pipeline gets ``img``.

    Settings such as learning rates are chosen without a look at the test images: train on ``fit``, score on
    ``held_out``, two parts of the training images with the same share of every class.

    Args:
        data_root: Folder of the data.
        split: ``train`` (50,000 images), ``test`` (10,000), ``held_out`` (5,000: of each class in ``train``, every
            tenth image) or ``fit`` (the other 45,000).
        **kwargs: Other arguments of mmpretrain's class, such as ``pipeline`` and ``download``.

    Raises:
        ValueError: If ``split`` is none of these, or a folder ``train`` is not that of CIFAR-10.
    """

    def __init__(self, data_root: str = '', split: str = 'train', **kwargs) -> None:
        if split not in _PARTS:
            raise ValueError(f'split must be one of {", ".join(map(repr, _PARTS))}, got {split!r}')
        self.part = split
        super().__init__(data_root=data_root, split=_PARTS[split], **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return ``dict(img_path=…, gt_label=…)`` or ``dict(img=…, gt_label=…)`` for each image of the split."""
        root = Path(self.data_prefix['root'])
        infos = self._list_files(root / self.split) if (root / 'train').is_dir() else super().load_data_list()
        return infos if self.part == self.split else _part(infos, self.part == 'held_out')

    def _list_files(self, folder: Path) -> list[dict]:
        classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
        if classes != sorted(self.CLASSES):
            raise ValueError(
                f'{folder} must hold one folder for each class of CIFAR-10 ({", ".join(self.CLASSES)}), but has '
                f'{", ".join(classes) or "no folder"}'
            )
        return [
            dict(img_path=str(path), gt_label=label)
            for label, name in enumerate(self.CLASSES)
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
