"""Labels, groups and splits of ``lewel worth``: what is read, what stays together, what is set aside."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lewel_plugins.datasets.labeled_split import draw_per_class
from lewel_plugins.errors import SetupError
from lewel_plugins.payoff.dense_labels import check_dense_split
from lewel_plugins.payoff.groups import Content, group_images, read_content, wanted_groups
from lewel_plugins.payoff.splits import Subset, check_split, distinct_subsets, split_groups, subsets
from lewel_plugins.planning.labels import read_labels

pytestmark = pytest.mark.core


def write_image(path, seed):
    """Write a picture of coarse random tiles, whose hash is unlike others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), np.uint8)
    Image.fromarray(tiles).resize((72, 64), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for i in range(6):
        write_image(tmp_path / 'photos' / 'dog' / f'{i}.png', i)
        write_image(tmp_path / 'photos' / 'cat' / 'deep' / f'{i}.png', 10 + i)
    return tmp_path / 'photos'


def write_csv(folder, text):
    path = folder / 'labels.csv'
    path.write_text(text, encoding='utf-8')
    return path


def test_class_folders(folder):
    labels = read_labels(folder)
    assert labels.classes == ('cat', 'dog') and len(labels.paths) == 12
    assert all(('cat' in path) == (target == 0) for path, target in zip(labels.paths, labels.targets))
    assert list(labels.paths) == sorted(labels.paths) and labels.columns == {}
    rest = labels.without({labels.paths[0]: 'broken'})
    assert rest.paths == labels.paths[1:] and rest.targets == labels.targets[1:]


def test_csv_with_further_columns(folder):
    text = '\ufeffpath,label,patient\ndog/1.png,b,p1\n"dog/2.png", a ,p1\ncat/deep/1.png,a,\n'
    labels = read_labels(write_csv(folder, text))
    assert labels.classes == ('a', 'b')
    assert [path.removeprefix(f'{folder}/') for path in labels.paths] == ['cat/deep/1.png', 'dog/1.png', 'dog/2.png']
    assert labels.targets == (0, 1, 0) and labels.columns == {'patient': ('', 'p1', 'p1')}


def test_rows_without_a_label_have_further_columns(folder):
    text = 'path,label,patient\ndog/1.png,b,p1\ndog/2.png,,p2\ncat/deep/1.png,a,\n'
    labels = read_labels(write_csv(folder, text))
    assert [path.removeprefix(f'{folder}/') for path in labels.paths] == ['cat/deep/1.png', 'dog/1.png']
    assert labels.classes == ('a', 'b') and labels.columns == {'patient': ('', 'p1')}
    unlabeled = {f'{folder}/dog/2.png': {'label': '', 'patient': 'p2'}}
    assert labels.unlabeled == unlabeled == labels.without({labels.paths[0]: ''}).unlabeled
    wanted = wanted_groups(labels, [], 'patient')
    assert wanted == {f'{folder}/dog/1.png': 'p1', f'{folder}/dog/2.png': 'p2'}
    with pytest.raises(SetupError, match=r'line 3 of .* has no label'):
        read_labels(write_csv(folder, text.replace(',,p2', ',,')))
    with pytest.raises(SetupError, match=r'two labels: b and none'):
        read_labels(write_csv(folder, text.replace('dog/2', 'dog/1')))


def test_csv_beside_the_images_or_elsewhere(folder, tmp_path):
    text = 'path,label\ndog/1.png,b\ncat/deep/1.png,a\n'
    elsewhere = tmp_path / 'other'
    elsewhere.mkdir()
    assert read_labels(write_csv(elsewhere, text), [str(folder)]).paths == read_labels(write_csv(folder, text)).paths
    with pytest.raises(
        SetupError, match=rf'line 2 of .*labels\.csv: dog/1\.png is not a file in {elsewhere} or no/photos$'
    ):
        read_labels(write_csv(elsewhere, text), ['no/photos'])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('file,label\nx,y\n', r'has the columns file, label; path and label are needed'),
        ('', r'has the columns none; path and label are needed'),
        ('path,label\n', r'lists no image'),
        ('path,label\ndog/1.png,\n', r'line 2 of .* has no label'),
        ('path,label\n,a\n', r'line 2 of .* has no path'),
        ('path,label\ndog/1.png\n', r'line 2 of .* has another number of cells than the header'),
        ('path,label\ndog/1.png,a,b\n', r'line 2 of .* has another number of cells than the header'),
        ('path,label\ndog/1.png,a\ndog/1.png,b\n', r'gives .*1\.png two labels: a and b'),
        ('path,label\ndog/1.png,a\n', r'has 1 class; two are the least'),
    ],
)
def test_a_csv_that_is_no_answer_is_refused_in_one_line(folder, text, message):
    with pytest.raises(SetupError, match=message) as error:
        read_labels(write_csv(folder, text))
    assert '\n' not in str(error.value)


def test_other_labels_are_refused(folder, tmp_path):
    for names, kind in ((('Annotations', 'JPEGImages'), 'no xml file in Annotations'), (('Images', 'Masks'), 'masks')):
        for name in names:
            (tmp_path / names[0] / 'all' / name).mkdir(parents=True)
        with pytest.raises(SetupError, match=kind):
            read_labels(tmp_path / names[0] / 'all')
    (tmp_path / 'notes.md').write_text('')
    with pytest.raises(SetupError, match='holds no labels that can be read; give class folders, a csv with'):
        read_labels(tmp_path / 'notes.md')
    with pytest.raises(SetupError, match='phtos does not exist; did you mean .*photos'):
        read_labels(tmp_path / 'phtos')
    write_image(folder / 'loose.png', 99)
    with pytest.raises(SetupError, match=r'1 image of .* lies in no class folder; the first is loose\.png'):
        read_labels(folder)


def test_labels_are_refused_without_torch(tmp_path):
    code = (
        'import sys; from lewel_plugins.planning.labels import read_labels\n'
        'try: read_labels("nothing")\nexcept ValueError as error: print(error)\n'
        'print("torch" in sys.modules or "mmengine" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.splitlines() == ['nothing does not exist', 'False'], done.stderr


def test_copies_and_near_copies_are_found(folder):
    shutil.copy(folder / 'dog' / '1.png', folder / 'cat' / 'copy.png')
    near = np.asarray(Image.open(folder / 'dog' / '2.png')).astype(int) + 3
    Image.fromarray(near.clip(0, 255).astype(np.uint8)).save(folder / 'cat' / 'near.jpg', quality=80)
    (folder / 'cat' / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b'0' * 50)
    paths = sorted(str(path) for path in folder.rglob('*.*'))
    content = read_content(paths, workers=0)
    assert list(content.broken) == [str(folder / 'cat' / 'broken.png')]
    groups = group_images(content, {})
    assert len(groups) == 14 and len(set(groups.values())) == 12
    for first, second in (('dog/1.png', 'cat/copy.png'), ('dog/2.png', 'cat/near.jpg')):
        assert groups[str(folder / first)] == groups[str(folder / second)]


def contents(hashes):
    return Content({}, hashes, {})


def test_hashes_within_four_bits_are_one_group():
    rng = np.random.default_rng(0)
    values = [int(value) for value in rng.integers(0, 2**63, 40, np.int64)]
    hashes = {f'a{i}/x': value for i, value in enumerate(values)}
    for i, value in enumerate(values):
        flipped = rng.choice(64, 4 if i % 2 else 5, replace=False)
        hashes[f'b{i}/x'] = value ^ sum(1 << int(bit) for bit in flipped)
    groups = group_images(contents(hashes), {})
    for i in range(40):
        near = (hashes[f'a{i}/x'] ^ hashes[f'b{i}/x']).bit_count() <= 4
        assert (groups[f'a{i}/x'] == groups[f'b{i}/x']) == near == bool(i % 2)


def test_a_run_is_one_group_though_its_ends_differ():
    value, hashes = 0x0F0F33335555AAAA, {}
    for i in range(10):
        value ^= 0b111 << 3 * i
        hashes[f'v/{i:02d}'] = value
    assert (hashes['v/00'] ^ hashes['v/09']).bit_count() > 4
    assert len(set(group_images(contents(hashes), {}).values())) == 1


def test_plain_images_are_no_group_unless_they_follow_each_other():
    hashes = {'a/1': 0, 'b/1': 0, 'c/1': 1, 'd/1': 0b11, 'd/2': 0}
    groups = group_images(contents(hashes), {})
    assert len(set(groups.values())) == 4 and groups['d/1'] == groups['d/2']


def test_groups_that_the_user_wants(folder):
    text = 'path,label,patient\ndog/1.png,b,p1\ndog/2.png,a,p1\ncat/deep/1.png,a,\ncat/deep/2.png,a,\n'
    labels = read_labels(write_csv(folder, text))
    content = read_content(labels.paths, workers=0)
    by_patient = group_images(content, wanted_groups(labels, [], 'patient'))
    assert len(set(by_patient.values())) == 3
    assert len(set(group_images(content, wanted_groups(labels, [], 'folder')).values())) == 2
    assert wanted_groups(labels, [], None) == {}
    with pytest.raises(SetupError, match=r"--group-by 'doctor' is unknown; .*column of the csv: patient"):
        wanted_groups(labels, [], 'doctor')
    with pytest.raises(SetupError, match=r'accepted: folder; --labels has no columns'):
        wanted_groups(read_labels(write_csv(folder, 'path,label\ndog/1.png,b\ndog/2.png,a\n')), [], 'doctor')


@pytest.mark.parametrize('seed', range(5))
def test_no_group_is_split_and_every_class_is_tested(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 80)
    groups = np.repeat(np.arange(80), sizes)
    targets = (groups % 4).tolist()
    train, test = split_groups(targets, groups.tolist(), 0.3, seed)
    assert sorted(train + test) == list(range(len(groups)))
    assert not {int(groups[i]) for i in train} & {int(groups[i]) for i in test}
    for label in range(4):
        share = sum(targets[i] == label for i in test) / targets.count(label)
        assert share == pytest.approx(0.3, abs=0.1)
    assert split_groups(targets, groups.tolist(), 0.3, seed) == (train, test)


def test_another_seed_is_another_split():
    targets, groups = [0, 1] * 50, list(range(100))
    assert split_groups(targets, groups, 0.3, 0) != split_groups(targets, groups, 0.3, 1)


def test_small_and_odd_classes():
    train, test = split_groups([0, 0, 1, 1], [0, 1, 2, 3], 0.3, 0)
    assert len(test) == 2 and len(train) == 2
    # A class of a single group is trained on, and one huge group is not the whole test.
    targets, groups = [0] * 20 + [1] * 10, [0] * 17 + [1, 2, 3] + [9] * 10
    for seed in range(5):
        train, test = split_groups(targets, groups, 0.3, seed)
        assert set(test) <= {17, 18, 19} and test
    with pytest.raises(SetupError, match=r'1 class of 2 can be tested, two are the least'):
        check_split(targets, groups, train, test, ('a', 'b'))


def test_warnings_about_a_poor_split():
    targets = [0] * 10 + [1] * 10 + [2] * 3
    groups = [*range(20), 99, 99, 99]
    train, test = split_groups(targets, groups, 0.3, 0)
    assert check_split(targets, groups, train, test, ('a', 'b', 'rare')) == [
        '1 class has a single group of images and none to test with: rare',
        '6 test images show only large differences',
    ]


@pytest.mark.parametrize('check', [check_split, check_dense_split])
def test_one_group_of_test_images_is_refused_and_few_are_warned_about(check):
    targets = [0, 1] * 300
    for count, few in ((2, []), (8, ['the test images are in 4 groups, which show only large differences']), (10, [])):
        groups = [i // 2 % count for i in range(600)]  # sessions, each with both classes
        train, test = split_groups(targets, groups, 0.5, 0)
        if count == 2:
            with pytest.raises(SetupError, match=r'the test images are in 1 group, .*; 2 are the least, and 5 or more'):
                check(targets, groups, train, test, ('a', 'b'))
        else:
            assert check(targets, groups, train, test, ('a', 'b')) == few


def test_subsets_contain_each_other_and_are_balanced():
    targets = [0] * 100 + [1] * 40
    every = subsets((5, 1, 20), (0.01, 0.1, 1))
    assert [subset.key for subset in every] == ['1-per-class', '5-per-class', '20-per-class', '0.01', '0.1', 'all']
    draws = {subset.key: set(draw_per_class(targets, subset.count, seed=3)) for subset in every}
    assert draws['1-per-class'] < draws['5-per-class'] < draws['20-per-class'] and draws['0.01'] < draws['0.1']
    assert sum(i < 100 for i in draws['20-per-class']) == 20 == sum(i >= 100 for i in draws['20-per-class'])
    assert len(draws['0.1']) == 14 and len(draws['all']) == 140
    assert draws['5-per-class'] != set(draw_per_class(targets, every[1].count, seed=4))
    assert [subset.key for subset in distinct_subsets(every, targets)] == [
        '1-per-class',
        '5-per-class',
        '20-per-class',
        '0.1',
        'all',
    ]
    assert [subset.key for subset in distinct_subsets(every, [0, 0, 1, 1])] == ['1-per-class', 'all']


def test_words_of_subsets():
    assert Subset('1-per-class', shots=1).words == 'with 1 label per class'
    assert [subset.words for subset in subsets((), (0.01, 0.125))] == [
        'with 1% of the labels',
        'with 12.5% of the labels',
        'with all labels',
    ]
    with pytest.raises(SetupError, match=r'--fractions must be above 0 and at most 1, got 10'):
        subsets((), (10,))
    with pytest.raises(SetupError, match=r'shots must be at least 1, got 0'):
        subsets((0,), ())
