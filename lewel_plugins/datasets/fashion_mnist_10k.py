from collections.abc import Sequence

from mmengine.dataset import BaseDataset

from lewel_plugins.registry import DATASETS

from .garment_scenes.scenes import CLASSES, is_held_out, load_garments


@DATASETS.register_module()
class FashionMNIST10k(BaseDataset):
    """The 10,000 test images of Fashion-MNIST, which are in the repository, in a train and a val part.

    The split is that of the garment scenes: every fifth image is in ``val``. Each is given to the pipeline as
    ``img``, (28, 28) uint8, with its ``gt_label``.

    Args:
        data_root: Folder with Fashion-MNIST's two t10k files.
        split: ``train`` (8,000 images) or ``val`` (2,000).
        pipeline: Transforms, starting from ``img``.

    Raises:
        ValueError: If ``split`` is neither.
        FileNotFoundError: If a file is missing.
    """

    METAINFO = {'classes': CLASSES}

    def __init__(self, data_root: str, split: str, pipeline: Sequence = ()) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        super().__init__(data_root=data_root, pipeline=list(pipeline))

    def load_data_list(self) -> list[dict]:
        """One ``dict(img=..., gt_label=...)`` an image."""
        images, labels = load_garments(self.data_root)
        chosen = is_held_out(len(images)) == (self.split == 'val')
        return [{'img': img, 'gt_label': int(label)} for img, label in zip(images[chosen], labels[chosen])]
