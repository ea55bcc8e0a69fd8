import pytest

from lewel_plugins.datasets import ImageNetSubset

pytestmark = pytest.mark.core
WNIDS = ('n01', 'n02', 'n03', 'n04')


@pytest.fixture
def root(tmp_path):
    for split in ('train', 'val'):
        for wnid in WNIDS:
            (tmp_path / split / wnid).mkdir(parents=True)
            for i in range(2):
                (tmp_path / split / wnid / f'{wnid}_{i}.JPEG').touch()
    (tmp_path / 'classes.txt').write_text('# two of four\nn04\n\nn02  # second\n')
    return tmp_path


def entries(dataset: ImageNetSubset) -> list[tuple[str, int]]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(info['img_path'].rsplit('/', 1)[1], info['gt_label']) for info in infos]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_picks_the_classes_and_numbers_them(root, split):
    dataset = ImageNetSubset(str(root), split, str(root / 'classes.txt'))
    assert dataset.metainfo['classes'] == ('n02', 'n04')
    assert entries(dataset) == [('n02_0.JPEG', 0), ('n02_1.JPEG', 0), ('n04_0.JPEG', 1), ('n04_1.JPEG', 1)]


def test_flat_val_with_annotations(root):
    (root / 'val').rename(root / 'old')
    (root / 'meta').mkdir()
    (root / 'meta' / 'val.txt').write_text('x.JPEG 3\ny.JPEG 0\nz.JPEG 1\n')
    dataset = ImageNetSubset(str(root), 'val', str(root / 'classes.txt'))
    assert entries(dataset) == [('z.JPEG', 0), ('x.JPEG', 1)]
    (root / 'meta' / 'val.txt').write_text('x.JPEG 999\n')
    with pytest.raises(ValueError, match='only 4 folders'):
        ImageNetSubset(str(root), 'val', str(root / 'classes.txt'))


def test_errors_name_what_is_wrong(root):
    classes = root / 'classes.txt'
    with pytest.raises(ValueError, match="'train' or 'val', got 'test'"):
        ImageNetSubset(str(root), 'test', str(classes))
    with pytest.raises(FileNotFoundError, match=r'meta/val\.txt'):
        ImageNetSubset(str(root / 'nowhere'), 'val', str(classes))
    classes.write_text('n02\nn09\n')
    with pytest.raises(FileNotFoundError, match='1 of 2 classes have no images.*n09'):
        ImageNetSubset(str(root), 'train', str(classes))
    classes.write_text('n02\nn02\n')
    with pytest.raises(ValueError, match='2 lines, 1 different'):
        ImageNetSubset(str(root), 'train', str(classes))
