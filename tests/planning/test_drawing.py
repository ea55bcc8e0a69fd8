"""Images are drawn by their content: names and folders change nothing, and copies are never divided."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.preparations import prepared, write_photos

from lewel_plugins.planning import drawing
from lewel_plugins.planning.copies import Copies
from lewel_plugins.planning.drawing import ContentDraw, split_groups

pytestmark = pytest.mark.core


def contents(paths):
    return [open(path, 'rb').read() for path in paths]


def test_names_and_folders_change_nothing(tmp_path):
    photos = write_photos(tmp_path / 'photos', 12)
    _, held_out, monitored = prepared(photos, holdout=4).parts()
    before = contents(held_out), contents(monitored)
    assert len(held_out) == len(monitored) == 4
    for i, path in enumerate(sorted(photos.iterdir(), reverse=True)):
        target = tmp_path / 'elsewhere' / str(i % 3) / f'x{i * 7 % 12}.png'
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, target)
    train, held_out, monitored = prepared(tmp_path / 'elsewhere', holdout=4).parts()
    assert (contents(held_out), contents(monitored)) == before
    assert len(train) == 8 and set(monitored) < set(train)


@pytest.mark.parametrize('seed', range(3))
def test_copies_are_never_divided(tmp_path, monkeypatch, seed):
    photos = write_photos(tmp_path / 'photos', 9)
    rng = np.random.default_rng(seed)
    for i in range(9):
        for copy in range(rng.integers(0, 4)):
            shutil.copy(photos / f'{i:03}.png', photos / f'{rng.integers(10**9)}-{copy}.png')
    monkeypatch.setattr('lewel_plugins.planning.scan.find_copies', lambda *_: Copies({}, is_complete=False))
    for holdout in range(1, 8):
        train, held_out, _ = prepared(photos, holdout=holdout).parts()
        assert len(held_out) <= holdout and not set(contents(train)) & set(contents(held_out))
        assert len(train) + len(held_out) == len(os.listdir(photos))


def test_files_with_equal_parts_and_another_content_are_no_copies(tmp_path):
    for i, byte in enumerate(b'abc'):
        data = bytearray(100_000)
        data[20_000] = byte  # neither at the beginning, nor in the middle, nor at the end
        (tmp_path / f'{i}.png').write_bytes(data)
    shutil.copy(tmp_path / '1.png', tmp_path / '3.png')
    groups = ContentDraw().groups([str(tmp_path / f'{i}.png') for i in range(4)], 4)
    assert sorted(len(group) for group in groups) == [1, 1, 2]
    assert [str(tmp_path / '1.png'), str(tmp_path / '3.png')] in groups


def test_of_a_large_folder_few_files_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, 'MOST_READ', 20)
    opened = []
    monkeypatch.setattr(drawing, 'sketch', lambda path, sketch=drawing.sketch: opened.append(path) or sketch(path))
    paths = [str(tmp_path / f'{i}.png') for i in range(200)]
    for i, path in enumerate(paths):
        with open(path, 'wb') as file:
            file.write(bytes([i]) * (100 + i // 2))  # two of each size
    draw = ContentDraw()
    first = draw.groups(paths, 5)
    assert len(first) == len(opened) == 20
    assert draw.groups(paths[::-1], 5) == first and len(opened) == 20
    assert len(draw.groups(paths, 31)) == 32 and len(opened) == 32
    assert len(ContentDraw().groups(['none.png', *paths[:3]], 4)) == 4  # a file that has gone is named by training


def test_a_group_that_is_too_large_is_passed_over():
    assert split_groups([['a', 'b'], ['c', 'd', 'e'], ['f']], 3) == (['a', 'b', 'f'], ['c', 'd', 'e'])
    assert split_groups([['a', 'b']], 1) == ([], ['a', 'b'])


def test_labeled_images_are_in_the_bank_or_queries(tmp_path):
    from lewel_plugins.api.image_classes import ImageClasses
    from lewel_plugins.planning.findings import Finding

    photos = write_photos(tmp_path / 'photos', 12)
    targets = {str(photos / f'{i:03}.png'): i % 2 for i in range(10)}
    classes = ImageClasses(targets, Finding('note', 'labels', ''))
    bank, queries = replace(prepared(photos), classes=classes).labeled_parts()
    assert len(queries) == 2 and len(bank) == 8 and dict([*bank, *queries]) == targets
    preparation = replace(prepared(photos, holdout=6), classes=classes)
    train, held_out, _ = preparation.parts()
    bank, queries = preparation.labeled_parts()
    assert [path for path, _ in queries] == [path for path in held_out if path in targets] and queries
    assert {path for path, _ in bank} == set(train) & set(targets)
    assert prepared(photos).labeled_parts() == ([], [])
