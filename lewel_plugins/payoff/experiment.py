"""Images, classes, groups and split of an experiment, written down once: a resume uses them as they are."""

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.packed import is_image_file
from lewel_plugins.planning.findings import plural, show
from lewel_plugins.planning.labels import Labels
from lewel_plugins.planning.listing import Listing, check_count

from .groups import group_images, group_sentence, read_content, wanted_groups
from .splits import check_split, split_groups

MOST_BROKEN = 0.01
_FEW = 64  # images that are decoded without further processes


@dataclass(frozen=True)
class Experiment:
    """The images of an experiment.

    Args:
        classes: Names of the classes.
        paths: Labeled images.
        targets: Number of the class of each.
        groups: Group of each.
        train: Indices of the images to train with.
        test: Indices of the test images.
        pretraining: Images to pretrain on.
        warnings: What a reader must know.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    targets: tuple[int, ...]
    groups: tuple[int, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    pretraining: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_json(self, folder: Path) -> dict[str, Any]:
        """Return json values, with paths relative to a folder."""
        values: dict[str, Any] = {name: list(getattr(self, name)) for name in self.__dataclass_fields__}
        for name in ('paths', 'pretraining'):
            values[name] = [os.path.relpath(path, folder) for path in values[name]]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any], folder: Path) -> 'Experiment':
        """Return what :meth:`as_json` has written.

        Raises:
            SetupError: A labeled image does not exist any more.
        """
        entries = {name: tuple(values[name]) for name in cls.__dataclass_fields__}
        for name in ('paths', 'pretraining'):
            entries[name] = tuple(os.path.normpath(os.path.join(folder, path)) for path in entries[name])
        for path in entries['paths']:
            if not is_image_file(path):
                raise SetupError(f'{show(path)} is gone, and {folder} needs it; restore it or choose another --out')
        return cls(**entries)


def prepare_experiment(
    listing: Listing,
    labels: Labels,
    group_by: str | None,
    test_share: float,
    transductive: bool,
    workers: int,
    say: Callable[[str], None],
    check: Callable[..., list[str]] = check_split,
) -> Experiment:
    """Group and split images such that no test image, and nothing that resembles one, is trained on.

    Args:
        listing: Images to pretrain on.
        labels: Labeled images, which may be among them.
        group_by: ``folder``, a column of the csv, or None.
        test_share: Share of the labeled images to test with.
        transductive: Whether pretraining sees the test images.
        workers: Processes that decode.
        say: Is called with each line for the user.
        check: Refuses a split that cannot answer anything, with the arguments of :func:`check_split`.

    Raises:
        SetupError: The images cannot answer the question.
    """
    by_file = {os.path.realpath(path): path for path in (*listing.paths, *labels.paths)}  # one name for each file
    names = sorted(by_file.values())
    wanted = wanted_groups(labels, listing.paths, group_by)
    content = read_content(names, 0 if len(names) < _FEW else workers)
    labeled_as = {path: by_file[os.path.realpath(path)] for path in (*listing.paths, *labels.paths)}
    _check_broken(content.broken, [labeled_as[path] for path in labels.paths])
    usable = labels.without({path: '' for path in labels.paths if labeled_as[path] in content.broken})
    together: dict[str, Hashable] = {
        by_file[file]: group for path, group in wanted.items() if (file := os.path.realpath(path)) in by_file
    }
    numbers = group_images(content, together)
    groups = [numbers[labeled_as[path]] for path in usable.paths]
    train, test = split_groups(usable.targets, groups, test_share, 0)
    warnings = check(usable.targets, groups, train, test, usable.classes)
    tested = {groups[i] for i in test}
    alone = {path: numbers.get(labeled_as[path]) for path in listing.paths}
    pretraining = [path for path, group in alone.items() if group is not None and (transductive or group not in tested)]
    check_count(listing.title, len(pretraining), 'image that resembles no test image')
    unknown = sum(labeled_as[path] not in together for path in pretraining)
    if group_by is not None and unknown and not transductive:
        warnings = [*warnings, _unknown_groups(unknown, len(pretraining), group_by)]
    sentence = group_sentence(dict(zip(usable.paths, groups)))
    say(f'labels: {sentence}; {len(train):,} to train with, {len(test):,} to test')
    left_out = len(listing.paths) - len(pretraining)
    say(f'pretraining: {plural(len(pretraining), "image")}; {left_out:,} are broken, test images, or resemble one')
    return Experiment(
        usable.classes,
        usable.paths,
        usable.targets,
        tuple(groups),
        tuple(train),
        tuple(test),
        tuple(pretraining),
        tuple(warnings),
    )


def _unknown_groups(count: int, total: int, group_by: str) -> str:
    images, verb, group = plural(total, 'image'), 'has' if count == 1 else 'have', show(group_by)
    return (
        f'{count:,} of {images} to pretrain on {verb} no {group} in the csv, so that pretraining may see a {group} '
        'that is tested; a row without a label names it'
    )


def _check_broken(broken: Mapping[str, str], labeled: Sequence[str]) -> None:
    known = sorted({path for path in labeled if path in broken})
    if len(known) > MOST_BROKEN * len(labeled):
        raise SetupError(
            f'{len(known):,} of {len(labeled):,} labeled images ({len(known) / len(labeled):.1%}) cannot be decoded, '
            f'more than {MOST_BROKEN:.0%}; the first is {show(known[0])}: {broken[known[0]]}'
        )
