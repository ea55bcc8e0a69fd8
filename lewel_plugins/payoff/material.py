"""The labeled images as the loaders of a config read them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lewel_plugins.datasets.labeled_split import draw_per_class
from lewel_plugins.files import write_bytes
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.running.jobs import digest

from .rates import SEARCH_SHARE
from .splits import Subset, set_aside

SMALL = 64  # side of views up to which images are not cropped for an evaluation


@dataclass(frozen=True)
class Material:
    """Labeled images, split into training and test.

    Args:
        paths: The images.
        targets: Number of the class of each.
        classes: Names of the classes.
        train: Indices of the images to train with.
        test: Indices of the test images.
        groups: Group of each image, of images that resemble each other.
        size: Side of the views of pretraining, in pixels.
        workers: Processes that load images.
        folder: Folder for files of work in progress.
    """

    paths: tuple[str, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    groups: tuple[int, ...]
    size: int
    workers: int
    folder: Path

    @property
    def test_groups(self) -> list[int]:
        """Group of each test image."""
        return [self.groups[i] for i in self.test]

    def judged(self) -> tuple[list[int], list[int]]:
        """Split the training images, for the choice of rates: indices to train on, and of a fifth that judges."""
        return set_aside(self.targets, self.groups, self.train, SEARCH_SHARE)

    @property
    def digest(self) -> str:
        """What results depend on, besides the network and the rows."""
        return digest(self.targets, self.train, self.test, self.size, len(self.paths))

    def rows(self, subset: Subset, seed: int) -> list[int]:
        """Return the indices of the images to train with, drawn per class."""
        targets = [self.targets[i] for i in self.train]
        return [self.train[i] for i in draw_per_class(targets, subset.count, seed)]

    def loader(self, indices: Sequence[int], name: str, batch: int = 64) -> dict[str, Any]:
        """Return the config of a loader of some images in their order, and write the list that it reads.

        Args:
            indices: The images.
            name: Name of the list.
            batch: Images at a time.
        """
        edge = self.size if self.size <= SMALL else round(self.size * 8 / 7)
        pipeline: list[dict[str, Any]] = [
            dict(type='lewel_plugins.LoadRGB', may_halve=True),
            dict(type='ResizeEdge', scale=edge, edge='short', backend='cv2'),
            dict(type='CenterCrop', crop_size=self.size),
            dict(type='PackInputs'),
        ]
        sampler = dict(type='DefaultSampler', shuffle=False)
        return self._loader(self._dataset(indices, name, pipeline), batch, sampler, drop_last=False)

    def training_loader(self, indices: Sequence[int], name: str, batch: int) -> dict[str, Any]:
        """Return the config of a loader for training, with crops and flips, and write the list that it reads.

        Args:
            indices: The images.
            name: Name of the list.
            batch: Images per step.
        """
        pipeline: list[dict[str, Any]] = [
            dict(type='lewel_plugins.LoadRGB', may_halve=True),
            dict(type='RandomResizedCrop', scale=self.size, crop_ratio_range=(0.2, 1.0), backend='cv2'),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]
        wrapper = dict(type='lewel_plugins.PretrainDataset', dataset=self._dataset(indices, name, pipeline))
        return self._loader(wrapper, batch, dict(type='lewel_plugins.SeededSampler'), drop_last=True)

    def _dataset(self, indices: Sequence[int], name: str, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
        lines = [path_line(os.path.abspath(self.paths[i]), self.targets[i]) for i in indices]
        file = self.folder / f'{name}.txt'
        write_bytes(file, encode_lines(lines))
        return dict(type='lewel_plugins.ImageList', list_file=str(file.resolve()), labels=True, pipeline=pipeline)

    def _loader(self, dataset: dict[str, Any], batch: int, sampler: dict[str, Any], drop_last: bool) -> dict[str, Any]:
        return dict(
            batch_size=batch,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=dict(type='default_collate'),
            drop_last=drop_last,
            sampler=sampler,
            dataset=dataset,
        )
