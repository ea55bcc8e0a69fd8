"""Shards: the same images in the same order as the files, at any name; and every way in which they can be damaged."""

import json
import os
import shutil
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.shards import pack
from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning.image_index import ImageIndex
from lewel_plugins.image_files.decode import BrokenImageError, naming_broken_image, read_file
from lewel_plugins.image_files.headers import read_header
from lewel_plugins.image_files.inspection import content_digest
from lewel_plugins.image_files.packed import file_of, find_image, image_status, path_without_shard
from lewel_plugins.image_files.path_list import encode_lines
from lewel_plugins.image_files.shards import Entry, ShardFacts, ShardFolder, index_lines
from lewel_plugins.image_files.tree import list_images
from lewel_plugins.payoff.groups import wanted_groups
from lewel_plugins.planning.drawing import ContentDraw
from lewel_plugins.planning.labels import class_labels, read_labels
from lewel_plugins.planning.scan import scan

pytestmark = pytest.mark.core
NAMES = [
    'a/1.jpg',
    'a/1.png',
    'a/B.JPG',
    'a/x.y.jpg',
    'a/x.z.jpg',
    'a.b/50%.tif',
    'b/' + 'long' * 40 + '.jpg',
    'b/tab\tand\nline.png',
    'b/ü.webp',
    os.fsdecode(b'b/\xff.bmp'),
    'c.png',
]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'images'
    rng = np.random.default_rng(0)
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / name)
    shutil.copy(folder / 'c.png', folder / 'b' / 'copy.png')
    (folder / 'b' / 'cut.jpg').write_bytes((folder / 'a' / '1.jpg').read_bytes()[:1000])
    return folder


@pytest.fixture
def shards(source, tmp_path):
    return pack(source, tmp_path / 'shards')


def first_image(shards: Path) -> str:
    return str(shards / 'images-000000.tar' / 'a' / '1.jpg')


def broken(path: str) -> str:
    with pytest.raises(BrokenImageError) as error, naming_broken_image(path):
        read_file(path)
    return str(error.value)


def test_packed_images_are_the_files_in_their_order(source, shards):
    files, packed = list_images(str(source)), list_images(str(shards))
    assert len(files) == len(NAMES) + 2 and len(list(shards.glob('*.tar'))) > 2
    assert [os.path.relpath(path_without_shard(path), shards) for path in packed] == [
        os.path.relpath(path, source) for path in files
    ]
    for file, image in zip(files, packed):
        assert read_file(image) == Path(file).read_bytes()
        assert image_status(image).size == os.path.getsize(file)
        assert read_header(image) == read_header(file)
        assert find_image(str(shards), os.path.relpath(file, source)) == image
    assert find_image(str(shards), 'a/2.jpg') is None
    assert path_without_shard('images-000000.tar/a/1.jpg') == 'a/1.jpg'


def test_other_programs_read_each_image_under_a_key_of_its_own(source, shards):
    members = []
    for shard in sorted(shards.glob('*.tar')):
        with tarfile.open(shard) as tar:
            members += tar.getmembers()
    assert [member.size for member in members] == [os.path.getsize(path) for path in list_images(str(source))]
    # WebDataset's key: all up to the first dot of the base name.
    keys = [os.path.join(os.path.dirname(m.name), os.path.basename(m.name).split('.')[0]) for m in members]
    assert len(set(keys)) == len(keys)
    names = [member.name for member in members]
    assert names[names.index('a.b/50%25%2Etif.tif') + 1 :][:2] == ['a/1%2Ejpg.jpg', 'a/1%2Epng.png']
    assert 'a/B.JPG' in names and 'b/ü.webp' in names and 'a/x%2Ey%2Ejpg.jpg' in names


def test_a_scan_finds_the_same_in_shards_and_files(source, shards):
    results = [scan([str(folder)], workers=0) for folder in (source, shards)]

    def relative(path: str, folder: Path) -> str:
        return os.path.relpath(path_without_shard(path), folder)

    files, packed = (
        dict(
            images=[relative(path, folder) for path in result.images],
            left_out={relative(path, folder): reason for path, reason in result.left_out.items()},
            copies={relative(copy, folder): relative(path, folder) for copy, path in result.copies.items()},
            digests={relative(path, folder): digest for path, digest in result.digests.items()},
            draw=[relative(path, folder) for path in result.listing.draw(99)],
            held_out=[
                [relative(path, folder) for path in group] for group in ContentDraw().groups(result.listing.paths, 99)
            ],
            folder=result.folder,
        )
        for result, folder in zip(results, (source, shards))
    )
    assert files == packed
    assert files['copies'] == {'c.png': 'b/copy.png'} and list(files['left_out']) == ['b/cut.jpg']


def test_classes_of_packed_images(source, tmp_path):
    shutil.copytree(source, tmp_path / 'images')
    (tmp_path / 'images' / 'c.png').unlink()
    shards = pack(tmp_path / 'images', tmp_path / 'shards')
    folders = read_labels(shards)
    assert folders.classes == ('a', 'a.b', 'b') and list(folders.paths) == list_images(str(shards))
    (tmp_path / 'labels.csv').write_text('path,label\na/1.png,x\nb/copy.png,y\n')
    listed = read_labels(tmp_path / 'labels.csv', [str(shards)])
    assert [path_without_shard(path) for path in listed.paths] == [str(shards / 'a/1.png'), str(shards / 'b/copy.png')]


def test_a_shard_without_readable_images_hides_no_other(source, shards, tmp_path):
    facts = ShardFolder.read(str(shards)).shards
    content = json.loads((shards / 'image_shards.json').read_text())
    content['shards']['images-000099.tar'] = ShardFacts(10240, 0, '', 'digest')._asdict()  # as packing writes it
    (shards / 'image_shards.json').write_text(json.dumps(content))
    path = shards / list(facts)[-1] / 'c.png'
    assert find_image(str(shards), 'c.png') == str(path) and find_image(str(shards), 'd.png') is None


def test_images_of_a_folder_are_one_group_across_shards(shards):
    paths = [
        path for path in list_images(str(shards)) if os.path.dirname(path_without_shard(path)) == str(shards / 'b')
    ]
    assert len({file_of(path) for path in paths}) > 1
    labels = class_labels('', {path: str(number) for number, path in enumerate(paths)})
    assert set(wanted_groups(labels, [], 'folder').values()) == {str(shards / 'b')}


def test_what_needs_files_refuses_shards(shards):
    with pytest.raises(SetupError) as error:
        ImageIndex(str(shards))
    first = shards / 'images-000000.tar' / 'a.b' / '50%.tif'
    assert str(error.value) == f'{shards} holds shards, such as {first}; detectors and segmenters need files'


def test_damage_names_shard_and_image(shards):
    image = first_image(shards)
    path = shards / 'images-000000.tar'
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'JFIF', b'JFIX', 1))
    assert broken(image) == f'{image}: ' + (
        'cannot be read (the shard is damaged: the content has another checksum than in the index)'
    )
    os.truncate(path, 800)
    assert broken(image) == f'{image}: cannot be read (the shard is truncated)'
    other = str(path / 'a' / '2.jpg')
    assert broken(other) == f'{other}: cannot be read (no image of this name in the shard)'


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        (
            'images-000001.tar',
            lambda path: path.unlink(),
            'cannot be read, but image_shards.json names it: No such file',
        ),
        ('images-000001.tar', lambda path: os.truncate(path, 5000), 'has 5,000 bytes, but'),
        ('images-000001.index', lambda path: path.unlink(), 'cannot be read: No such file'),
        (
            'images-000001.index',
            lambda path: os.truncate(path, 50),
            'is not the index that image_shards.json was written',
        ),
        ('image_shards.json', lambda path: os.truncate(path, 50), 'is damaged'),
        ('image_shards.json', lambda path: path.write_text('{"shards": {}}'), 'is damaged'),
        (
            'image_shards.json',
            lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), 'version': 2})),
            'has version 2, but 1 is read here',
        ),
    ],
)
def test_a_start_refuses_shards_that_are_not_as_they_were_packed(shards, name, change, message):
    change(shards / name)
    with pytest.raises(SetupError) as error:
        scan([str(shards)])
    assert str(error.value).startswith(f'{shards / name} {message}') and '\n' not in str(error.value)


def test_packing_that_has_not_ended_is_named(shards):
    (shards / 'image_shards.json').rename(shards / 'pack_images.json')
    with pytest.raises(SetupError, match=f'^{shards} is not packed to the end: run tools/data/pack_images.py again$'):
        scan([str(shards)])


def test_offsets_beyond_8_gb(tmp_path):
    offset, content = 9 * 10**9, b'\xff\xd8 an image'
    shard, index = tmp_path / 'images-000000.tar', tmp_path / 'images-000000.index'
    with shard.open('wb') as file:  # sparse
        file.seek(offset)
        file.write(content)
    entry = Entry('a.jpg', offset, len(content), zlib.crc32(content))
    index.write_bytes(encode_lines(index_lines(shard.name, shard.stat().st_size, [entry])))
    facts = ShardFacts(shard.stat().st_size, 1, 'a.jpg', content_digest(index.read_bytes()))
    description = ShardFolder(str(tmp_path), {shard.name: facts}).as_json()
    (tmp_path / 'image_shards.json').write_text(json.dumps(description))
    assert [read_file(path) for path in list_images(str(tmp_path))] == [content]


def test_a_folder_with_the_name_of_a_shard_is_a_folder(source, tmp_path):
    folder = tmp_path / 'images-000000.tar'
    folder.mkdir()
    shutil.copy(source / 'c.png', folder)
    assert list_images(str(tmp_path)) == [str(folder / 'c.png')]
    assert read_file(str(folder / 'c.png')) == (source / 'c.png').read_bytes()
