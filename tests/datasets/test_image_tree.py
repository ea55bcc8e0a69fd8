import os

import pytest

from lewel_plugins.datasets import ImageTree
from lewel_plugins.image_files.tree import list_images

pytestmark = pytest.mark.core


def names(root) -> list[str]:
    dataset = ImageTree(str(root))
    return [os.path.relpath(dataset.get_data_info(i)['img_path'], root) for i in range(len(dataset))]


def touch(root, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_any_nesting_and_extension_sorted(tmp_path):
    touch(tmp_path, 'b/c/2.JPeG', 'b/1.webp', 'a.PNG', 'z.tif', 'b/d.bmp', 'y.tiff', 'x.jpg')
    touch(tmp_path, 'notes.txt', 'image.jpg.part', 'jpg')
    assert names(tmp_path) == ['a.PNG', 'b/1.webp', 'b/c/2.JPeG', 'b/d.bmp', 'x.jpg', 'y.tiff', 'z.tif']


def test_hidden_files_and_folders_are_skipped(tmp_path):
    touch(tmp_path, 'a.jpg', '.b.jpg', '.cache/c.jpg')
    assert names(tmp_path) == ['a.jpg']


def test_links_are_followed_without_loops(tmp_path):
    touch(tmp_path, 'data/sub/a.jpg', 'elsewhere/b.jpg')
    root = tmp_path / 'data'
    (root / 'sub' / 'up').symlink_to(root)
    (root / 'other').symlink_to(tmp_path / 'elsewhere')
    (root / 'twice').symlink_to(tmp_path / 'elsewhere')
    (root / 'file.jpg').symlink_to(tmp_path / 'elsewhere' / 'b.jpg')
    (root / 'dangling.jpg').symlink_to(tmp_path / 'nothing.jpg')
    assert names(root) == ['file.jpg', 'other/b.jpg', 'sub/a.jpg']


def test_no_more_folders_are_read_than_it_takes(tmp_path):
    touch(tmp_path, 'a/1.jpg', 'a/2.jpg', 'b/3.jpg', 'c/4.jpg')
    names_read = [[os.path.basename(path) for path in list_images(str(tmp_path), limit)] for limit in (1, 3, 5)]
    assert names_read == [['1.jpg', '2.jpg'], ['1.jpg', '2.jpg', '3.jpg'], ['1.jpg', '2.jpg', '3.jpg', '4.jpg']]


def test_missing_and_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='missing'):
        ImageTree(str(tmp_path / 'missing'))
    touch(tmp_path, 'a.txt')
    with pytest.raises(FileNotFoundError, match=rf'{tmp_path}.*\.jpg \.jpeg \.png \.webp'):
        ImageTree(str(tmp_path))
