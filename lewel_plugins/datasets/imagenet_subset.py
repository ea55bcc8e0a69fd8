from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from lewel_plugins.image_files.tree import list_images
from lewel_plugins.registry import DATASETS


@DATASETS.register_module()
class ImageNetSubset(BaseDataset):
    """Some classes of ImageNet, such as ImageNet-100, from a folder of all classes or of these only.

    Two layouts are supported: ``{split}/{wnid}/*``, and for a flat ``val/`` the file ``meta/val.txt`` of mmpretrain,
    with a file name and a class index per line. Indices refer to the sorted folders of ``train/``.

    Args:
        data_root: ImageNet's folder.
        split: ``train`` or ``val``.
        classes_file: Text file with one WordNet id per line. ``#`` starts a comment. Labels are positions among the
            sorted ids.
        pipeline: Transforms, starting from ``img_path``.

    Raises:
        ValueError: If ``split`` is neither, or the list of classes is empty or contains duplicates.
        FileNotFoundError: If a class has no images. The message names the classes.
    """

    METAINFO: dict = {}

    def __init__(self, data_root: str, split: str, classes_file: str, pipeline: Sequence = ()) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        self.wnids = _read_wnids(classes_file)
        super().__init__(data_root=data_root, pipeline=list(pipeline), metainfo={'classes': self.wnids})

    def load_data_list(self) -> list[dict]:
        """Return one ``dict(img_path=..., gt_label=...)`` per image."""
        root = Path(self.data_root)
        if any((root / self.split / wnid).is_dir() for wnid in self.wnids):
            paths = {wnid: list_images(str(root / self.split / wnid)) for wnid in self.wnids}
        else:
            paths = self._read_flat(root)
        missing = [wnid for wnid in self.wnids if not paths[wnid]]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(self.wnids)} classes have no images in {root / self.split}: '
                f'{", ".join(missing[:10])}'
            )
        return [{'img_path': path, 'gt_label': label} for label, wnid in enumerate(self.wnids) for path in paths[wnid]]

    def _read_flat(self, root: Path) -> dict[str, list[str]]:
        annotations = root / 'meta' / f'{self.split}.txt'
        if not annotations.is_file():
            raise FileNotFoundError(
                f'{root / self.split} has no folder of any of the {len(self.wnids)} classes ({self.wnids[0]}, ...), '
                f'and there is no {annotations}'
            )
        all_wnids = sorted(folder.name for folder in (root / 'train').iterdir() if folder.is_dir())
        paths: dict[str, list[str]] = {wnid: [] for wnid in self.wnids}
        for line in annotations.read_text().splitlines():
            name, index = line.rsplit(maxsplit=1)
            if int(index) >= len(all_wnids):
                raise ValueError(
                    f'{annotations} refers to all classes of ImageNet, but train/ has only {len(all_wnids)} folders: '
                    f'sort {self.split}/ into one folder per class'
                )
            if all_wnids[int(index)] in paths:
                paths[all_wnids[int(index)]].append(str(root / self.split / name))
        return paths


def _read_wnids(path: str) -> tuple[str, ...]:
    lines = (line.split('#')[0].strip() for line in Path(path).read_text().splitlines())
    wnids = [line for line in lines if line]
    if not wnids or len(set(wnids)) != len(wnids):
        raise ValueError(f'{path} must list each class once; it has {len(wnids)} lines, {len(set(wnids))} different')
    return tuple(sorted(wnids))
