from pathlib import Path

import pytest
from mmengine.dataset import BaseDataset

from lewel_plugins.datasets import LabeledSplit
from lewel_plugins.datasets.labeled_split import draw_balanced, is_given_list

pytestmark = pytest.mark.core
SIZES = (40, 20, 3)


class Listed(BaseDataset):
    """Images of three classes, 40, 20 and 3 of them, with or without paths."""

    METAINFO = dict(classes=('a', 'b', 'c'))

    def __init__(self, paths: bool = True) -> None:
        self.paths = paths
        super().__init__(pipeline=[], serialize_data=False)

    def load_data_list(self) -> list[dict]:
        infos = [dict(gt_label=label, number=i) for label, size in enumerate(SIZES) for i in range(size)]
        if self.paths:
            for info in infos:
                info['img_path'] = f'/data/train/{"abc"[info["gt_label"]]}/{info["number"]}.jpg'
        return infos


@pytest.mark.parametrize('paths', [True, False])
def test_draws_the_same_share_of_every_class_once_and_for_all(tmp_path, paths):
    path = tmp_path / 'splits' / 'ten.txt'
    split = LabeledSplit(Listed(paths), str(path), fraction=0.1, seed=5)
    labels = [split.get_cat_ids(i)[0] for i in range(len(split))]
    assert [labels.count(c) for c in range(3)] == [4, 2, 1]  # 10 %, and at least one
    assert split[0] == split.dataset[split.indices[0]] and split.metainfo['classes'] == ('a', 'b', 'c')
    lines = path.read_text().splitlines()
    assert lines[0] == '# fraction 0.1, seed 5, of 63 images' and len(lines) == 8
    before = path.stat().st_mtime_ns
    assert LabeledSplit(Listed(paths), str(path), fraction=0.1, seed=5).indices == split.indices
    assert LabeledSplit(Listed(paths), str(path)).indices == split.indices
    assert path.stat().st_mtime_ns == before
    other = LabeledSplit(Listed(paths), str(tmp_path / 'other.txt'), fraction=0.1, seed=6)
    assert other.indices != split.indices
    for settings in (dict(fraction=0.2, seed=5), dict(fraction=0.1, seed=6)):
        with pytest.raises(ValueError, match=r'drawn with other settings \(fraction 0.1, seed 5, of 63 images\)'):
            LabeledSplit(Listed(paths), str(path), **settings)
    assert list(path.parent.iterdir()) == [path]


def test_a_drawn_list_is_read_whatever_the_names(tmp_path):
    names = [
        'photo #0.jpg',
        ' a.jpg',
        'a.jpg ',
        '#.jpg',
        'tab\t.jpg',
        'line\n.jpg',
        '"a".jpg',
        'a\x0b\u2028b.jpg',
        '\udcff.jpg',
    ]

    class Named(Listed):
        def load_data_list(self) -> list[dict]:
            return [dict(gt_label=0, img_path=f'/data/#1/{name}') for name in names]

    path = tmp_path / 'all.txt'
    for _ in range(2):
        assert LabeledSplit(Named(), str(path), fraction=1.0).indices == list(range(len(names)))
    assert not is_given_list(path)
    # Earlier versions wrote them as they are.
    path.write_text('# fraction 1.0, seed 0, of 9 images\n#1/photo #0.jpg\n#1/a.jpg \n\n# by hand\n#1/#.jpg\n')
    assert LabeledSplit(Named(), str(path), fraction=1.0).indices == [0, 2, 3]


def test_draw_is_a_function_of_the_seed_and_complete_at_one():
    labels = [0, 1] * 30
    assert draw_balanced(labels, 0.3, 1) == draw_balanced(labels, 0.3, 1) != draw_balanced(labels, 0.3, 2)
    assert draw_balanced(labels, 1.0, 0) == list(range(60))
    assert draw_balanced(labels, 0.3, 1) == sorted(set(draw_balanced(labels, 0.3, 1)))


@pytest.mark.parametrize(
    'lines',
    [
        ['b/3.jpg', 'a/7.jpg'],
        ['train/b/3.jpg', '/elsewhere/train/a/7.jpg'],
        ['# by hand', 'b/3.jpg', 'a/7.jpg  # seven'],
    ],
)
def test_lists_of_others_are_read_as_they_are(tmp_path, lines):
    path = tmp_path / 'list.txt'
    path.write_text('\n'.join(lines) + '\n')
    assert LabeledSplit(Listed(), str(path)).indices == [43, 7]
    assert LabeledSplit(Listed(), str(path), fraction=0.01).indices == [43, 7]


def test_file_names_alone_as_in_simclrs_lists(tmp_path):
    class Unique(Listed):
        def load_data_list(self) -> list[dict]:
            infos = super().load_data_list()
            for i, info in enumerate(infos):
                info['img_path'] = f'/imagenet/train/n{info["gt_label"]}/n{info["gt_label"]}_{i}.JPEG'
            return infos

    path = tmp_path / 'list.txt'
    path.write_text('n1_41.JPEG\nn0_2.JPEG\n')
    assert LabeledSplit(Unique(), str(path)).indices == [41, 2]


def test_errors_name_the_entries(tmp_path):
    path = tmp_path / 'list.txt'
    with pytest.raises(FileNotFoundError, match='does not exist; set fraction to draw it'):
        LabeledSplit(Listed(), str(path))
    for fraction in (0, 1.5):
        with pytest.raises(ValueError, match=rf'fraction must be in \(0, 1\], got {fraction}'):
            LabeledSplit(Listed(), str(path), fraction=fraction)
    for text, message in (
        ('a/1.jpg\nz/9.jpg\n', '1 of 2 entries .* match no image of the dataset: z/9.jpg'),
        ('2.jpg\n', '1 of 1 entries .* match several images of the dataset: 2.jpg'),
        ('# nothing\n', 'lists no image'),
    ):
        Path(path).write_text(text)
        with pytest.raises(ValueError, match=message):
            LabeledSplit(Listed(), str(path))
