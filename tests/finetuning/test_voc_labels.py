"""VOC folders: what is read, and one line for whatever is wrong with them."""

import pytest
from helpers.labels import make_masks, make_voc, voc_object, voc_xml

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning import read_labels

pytestmark = pytest.mark.core


def test_lists_classes_and_an_image_without_boxes(tmp_path):
    labels = read_labels('detector', str(make_voc(tmp_path / 'VOC2007')))
    assert (labels.classes, len(labels.train), len(labels.val)) == (('cat',), 4, 2)
    assert labels.split == 'train.txt of ImageSets/Main is trained on, val.txt is measured on'
    # VOC counts pixels from 1 and includes the last one.
    assert labels.train[0].boxes[0].corners == (4, 5, 24, 35) and not labels.train[1].boxes
    assert [str(finding) for finding in labels.findings] == ['note: 1 image has no box and counts as a negative']
    above = read_labels('detector', str(tmp_path))
    assert above == labels


def test_without_lists_the_content_divides(tmp_path):
    labels = read_labels('detector', str(make_voc(tmp_path, lists=False)))
    assert (len(labels.train), len(labels.val)) == (5, 1)
    assert labels.split == '1 of 6 images is only measured on, by the hash of the content'


def test_declared_classes_and_difficult_objects(tmp_path):
    make_voc(tmp_path)
    (tmp_path / 'classes.txt').write_text('dog\ncat\n')
    (tmp_path / 'Annotations' / '0.xml').write_text(voc_xml(voc_object(difficult=1)))
    labels = read_labels('detector', str(tmp_path))
    assert labels.classes == ('dog', 'cat') and labels.train[0].boxes[0].is_ignored
    assert 'warning: the class dog has no box to learn it from' in map(str, labels.findings)


@pytest.mark.parametrize(
    ('xml', 'message'),
    [
        ('<annotation>', 'FILE is no XML: no element found: line 1, column 12'),
        (voc_xml(voc_object('dgo')), "box 1 in FILE, (5, 6, 24, 35), has the class 'dgo'; declared are cat"),
        (voc_xml(voc_object(corners=(90, 6, 99, 35))), 'box 1 in FILE lies outside its image of 64 × 48 pixels'),
        (
            voc_xml(voc_object() + voc_object(corners=(9, 6, 7, 35))),
            'box 2 in FILE ends before it begins: (8, 5, 7, 35)',
        ),
        (
            voc_xml(voc_object(corners=('a', 6, 8, 35))),
            "box 1 in FILE has the corners ['a', '6', '8', '35'], which are",
        ),
        (voc_xml('<object><name>cat</name></object>'), 'box 1 in FILE has no bndbox'),
        ('<?xml version="1.0" encoding="martian"?><annotation/>', 'FILE is no XML: unknown encoding'),
        ('<?xml version="1.0" encoding="utf-7"?><annotation/>', 'FILE is no XML: '),
        (voc_xml('', (60, 48)), '0.jpg has 64 × 48 pixels, but FILE has labels for 60 × 48'),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, xml, message):
    make_voc(tmp_path)
    (tmp_path / 'classes.txt').write_text('cat\n')
    path = tmp_path / 'Annotations' / '0.xml'
    path.write_text(xml)
    with pytest.raises(SetupError) as error:
        read_labels('detector', str(tmp_path))
    assert message.replace('FILE', str(path)) in str(error.value)
    assert '\n' not in str(error.value)


def test_a_size_in_other_digits_is_no_size(tmp_path):
    make_voc(tmp_path)
    for size in (('²', '²'), ('9' * 5000, '9' * 5000)):
        (tmp_path / 'Annotations' / '0.xml').write_text(voc_xml(voc_object(), size))
        assert read_labels('detector', str(tmp_path)).train[0].width == 64


def test_names_with_spaces_and_the_lists_of_a_class(tmp_path):
    make_voc(tmp_path, lists=False)
    for old, new in (('0', 'a photo'), ('2', 'a photo 1'), ('3', 'c')):
        (tmp_path / 'Annotations' / f'{old}.xml').rename(tmp_path / 'Annotations' / f'{new}.xml')
        (tmp_path / 'JPEGImages' / f'{old}.jpg').rename(tmp_path / 'JPEGImages' / f'{new}.jpg')
    folder = tmp_path / 'ImageSets' / 'Main'
    folder.mkdir(parents=True)
    (folder / 'train.txt').write_text('\ufeffa photo\n a photo 1 \n')
    (folder / 'val.txt').write_text('c  1\n4 -1\n\n5  0\n')
    labels = read_labels('detector', str(tmp_path))
    names = [[image.path.rsplit('/', 1)[1] for image in part] for part in (labels.train, labels.val)]
    assert names == [['a photo.jpg', 'a photo 1.jpg'], ['c.jpg', '4.jpg', '5.jpg']]
    (folder / 'val.txt').write_text('another photo\n')
    with pytest.raises(SetupError, match=r'val.txt names another photo, which has no file in Annotations'):
        read_labels('detector', str(tmp_path))


@pytest.mark.parametrize('name', ['ImageSets/Main/train.txt', 'classes.txt'])
def test_lists_that_are_not_in_utf_8(tmp_path, name):
    make_voc(tmp_path)
    (tmp_path / name).write_bytes('0\nGrün\n'.encode('latin-1'))
    with pytest.raises(SetupError, match=rf'{name} is no text in UTF-8, because of byte 5; convert it'):
        read_labels('detector', str(tmp_path))


def test_missing_files(tmp_path):
    make_voc(tmp_path)
    (tmp_path / 'JPEGImages' / '2.jpg').unlink()
    with pytest.raises(SetupError, match=r'2.xml has no image .*JPEGImages/2.jpg'):
        read_labels('detector', str(tmp_path))
    make_voc(tmp_path, lists=False)
    (tmp_path / 'ImageSets' / 'Main' / 'val.txt').write_text('0\n17\n18\n')
    with pytest.raises(SetupError, match=r'val.txt names 17 \(and 1 other image\), which has no file in Annotations'):
        read_labels('detector', str(tmp_path))
    (tmp_path / 'ImageSets' / 'Main' / 'val.txt').write_text('')
    with pytest.raises(SetupError, match='val.txt names no images'):
        read_labels('detector', str(tmp_path))


def test_folders_that_are_something_else(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SetupError, match='empty has no labels; a detector needs boxes: COCO json, or a VOC folder'):
        read_labels('detector', str(tmp_path / 'empty'))
    make_masks(tmp_path / 'masks')
    with pytest.raises(SetupError, match='masks has masks, for a segmenter; a detector needs boxes'):
        read_labels('detector', str(tmp_path / 'masks'))
    make_voc(tmp_path / 'boxes')
    with pytest.raises(SetupError, match='boxes has no folders images and masks; a segmenter needs masks'):
        read_labels('segmenter', str(tmp_path / 'boxes'))
    for year in ('VOC2007', 'VOC2012'):
        make_voc(tmp_path / 'devkit' / year)
    with pytest.raises(SetupError, match='devkit has several VOC folders'):
        read_labels('detector', str(tmp_path / 'devkit'))
