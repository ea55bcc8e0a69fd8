"""COCO's json: what is read, and one line for whatever is wrong with it."""

import json

import pytest
from helpers.labels import SIZE, coco_content, make_coco, write_image
from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning import read_labels
from lewel_plugins.transforms import LoadRGB

pytestmark = pytest.mark.core
BOX = dict(id=0, image_id=0, category_id=3, bbox=[4, 5, 20, 30])


def texts(labels) -> list[str]:
    return [str(finding) for finding in labels.findings]


def test_one_file_is_divided_by_the_content_of_the_images(tmp_path):
    path = make_coco(tmp_path, 10)
    write_image(tmp_path / 'images' / '9.png', 0)  # a copy of the first image
    labels = read_labels('detector', str(path))
    assert labels.classes == ('cat', 'dog') and not labels.has_outlines
    assert len(labels.val) in (2, 3) and len(labels.train) + len(labels.val) == 10
    assert labels.split.endswith('of 10 images are only measured on, by the hash of the content')
    train, val = ({image.path.rsplit('/', 1)[1] for image in part} for part in (labels.train, labels.val))
    assert {'0.png', '9.png'} <= train or {'0.png', '9.png'} <= val
    assert texts(labels) == [
        'warning: the class dog has no box to learn it from',
        'warning: the class dog has no box to measure it on',
        'note: 1 image has no box and counts as a negative',
    ]
    image = next(image for image in (*labels.train, *labels.val) if image.path.endswith('/2.png'))
    assert (image.width, image.height) == SIZE and image.boxes[0].corners == (6, 5, 26, 35)
    # Other names, the same division.
    for i in range(10):
        (tmp_path / 'images' / f'{i}.png').rename(tmp_path / 'images' / f'x{9 - i}.png')
    content = json.loads(path.read_text())
    for entry in content['images']:
        entry['file_name'] = f'x{9 - entry["id"]}.png'
    path.write_text(json.dumps(content))
    again = read_labels('detector', str(path))
    assert {9 - int(image.path[-5]) for image in again.val} == {int(name[0]) for name in val}


@pytest.mark.parametrize('pair', [(0, 1), (2, 5), (3, 4)])
def test_labels_are_on_both_sides_however_few_there_are(tmp_path, pair):
    boxes = [dict(BOX, id=i, image_id=i) for i in pair]
    labels = read_labels('detector', str(make_coco(tmp_path, 12, annotations=boxes)))
    assert [sum(bool(image.boxes) for image in part) for part in (labels.train, labels.val)] == [1, 1]
    assert (len(labels.train), len(labels.val)) == (9, 3)


def test_two_files_in_a_folder_and_categories_by_name(tmp_path):
    make_coco(tmp_path, 6).unlink()
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'train.json').write_text(json.dumps(coco_content(4)))
    other = coco_content(2, 4)
    other['categories'] = [dict(id=1, name='dog'), dict(id=2, name='cat')]
    other['annotations'] = [dict(BOX, image_id=4, category_id=1)]
    (tmp_path / 'annotations' / 'valid.json').write_text(json.dumps(other))
    (tmp_path / 'annotations' / 'test.json').write_text(json.dumps(other))
    labels = read_labels('detector', str(tmp_path))
    assert (len(labels.train), len(labels.val)) == (4, 2)
    assert labels.val[0].boxes[0].label == labels.classes.index('dog') == 1
    assert labels.split == 'annotations/train.json is trained on, annotations/valid.json is measured on'
    assert 'note: annotations/test.json is not used' in texts(labels)


def test_outlines_and_crowds(tmp_path):
    polygon, crowd = dict(BOX, segmentation=[[4, 5, 24, 5, 24, 35]]), dict(BOX, id=1, iscrowd=1)
    others = [dict(polygon, id=i, image_id=i) for i in range(2, 6)]
    labels = read_labels('detector', str(make_coco(tmp_path, annotations=[polygon, crowd, *others])))
    assert labels.has_outlines
    first = next(image for image in (*labels.train, *labels.val) if image.path.endswith('/0.png'))
    assert [box.is_ignored for box in first.boxes] == [False, True]


def test_boxes_beyond_the_image_are_clipped_and_counted(tmp_path):
    boxes = [
        dict(BOX, image_id=i, id=i, bbox=bbox)
        for i, bbox in enumerate([[-5, 5, 20, 30], [50, 40, 20, 30], [63.6, 5, 20, 30], [0, 0, 64.3, 48], [1, 1, 9, 9],
                                  [1, 1, 9, 9]])
    ]  # fmt: skip
    labels = read_labels('detector', str(make_coco(tmp_path, annotations=boxes)))
    assert 'warning: 3 boxes reach beyond their images and are clipped' in texts(labels)
    assert 'warning: 1 box is under one pixel wide or high and left out' in texts(labels)
    corners = {image.path[-5]: image.boxes[0].corners for image in (*labels.train, *labels.val) if image.boxes}
    assert (corners['0'], corners['1'], corners['3']) == ((0, 5, 15, 35), (50, 40, 64, 48), (0, 0, 64, 48))


@pytest.mark.parametrize('bbox', [[4, 5, 0, 30], [4, 5, 20, 0], [64, 5, 20, 30], [-20, 5, 20, 30], [4, 48, 9, 0]])
def test_boxes_without_an_area_are_left_out_and_counted(tmp_path, bbox):
    boxes = [dict(BOX, id=i, image_id=i) for i in range(4)]
    labels = read_labels('detector', str(make_coco(tmp_path, annotations=[*boxes, dict(BOX, id=9, bbox=bbox)])))
    assert sum(len(image.boxes) for image in (*labels.train, *labels.val)) == 4
    assert 'warning: 1 box is under one pixel wide or high and left out' in texts(labels)


def test_polygons_without_an_area_are_left_out_and_counted(tmp_path):
    polygon, point, line = [4, 5, 24, 5, 24, 35], [4, 5], [4, 5, 9, 9]
    outlines = [[polygon], [polygon, line, point], [line], [polygon]]
    boxes = [dict(BOX, id=i, image_id=i, segmentation=outline) for i, outline in enumerate(outlines)]
    path = make_coco(tmp_path, annotations=boxes)
    labels = read_labels('detector', str(path))
    by_image = {image.path[-5]: image.boxes[0] for image in (*labels.train, *labels.val) if image.boxes}
    assert labels.has_outlines and by_image['1'].outline == [polygon]
    assert [by_image[str(i)].is_ignored for i in range(4)] == [False, False, True, False]
    text = '3 polygons have fewer than 3 points and are left out; 1 object without another is neither trained on nor'
    assert f'warning: {text} counted' in texts(labels)

    # Among boxes without outlines, it is a box like the others.
    path.write_text(json.dumps(dict(json.loads(path.read_text()), annotations=[dict(BOX), *boxes[2:]])))
    labels = read_labels('detector', str(path))
    boxes = [box for image in (*labels.train, *labels.val) for box in image.boxes]
    assert not labels.has_outlines and len(boxes) == 3 and not any(box.is_ignored for box in boxes)
    assert 'warning: 1 polygon has fewer than 3 points and is left out' in texts(labels)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(annotations=[dict(BOX, category_id=5)]),
            'annotation 0 in FILE, the box [4, 5, 20, 30] in 0.png, has category 5; declared are 3 (cat), 7 (dog)',
        ),
        (dict(annotations=[dict(BOX, category_id=[3])]), 'has category [3]; declared are'),
        (
            dict(annotations=[dict(BOX, bbox=[70, 5, 20, 30])]),
            'annotation 0 in FILE lies outside its image of 64 × 48 pixels: (70, 5, 90, 35)',
        ),
        (
            dict(annotations=[dict(BOX, bbox=[4, 5, -1, 30])]),
            'annotation 0 in FILE ends before it begins: (4, 5, 3, 35)',
        ),
        (
            dict(annotations=[dict(BOX, bbox=[4, 5, 20])]),
            'has the bbox [4, 5, 20]; COCO has [left, top, width, height]',
        ),
        (dict(annotations=[dict(BOX, bbox=[4, 5, float('nan'), 3])]), 'which are not finite'),
        (dict(annotations=[dict(BOX, bbox=[4.5, 5, 10**400, 3])]), 'COCO has [left, top, width, height]'),
        (dict(annotations=[dict(BOX, segmentation=[[10**400] * 6])]), 'has a segmentation that is neither polygons'),
        (dict(annotations=[dict(BOX, image_id=99)]), 'is of image 99, which the file does not list'),
        (dict(annotations=[dict(BOX, segmentation=[[1, 2, 3]])]), 'has a segmentation that is neither polygons'),
        (dict(annotations=[dict(BOX, segmentation=[[1, 2, 3, 4, 5, float('nan')]])]), 'has a segmentation that is nei'),
        (dict(annotations=[dict(BOX, segmentation=dict(counts='a', size=5))]), 'has a mask of 5 (height, width), but'),
        (dict(annotations=[dict(BOX, segmentation=dict(size=[48, 64]))]), 'neither whole numbers nor a text: None'),
        (
            dict(annotations=[dict(BOX, segmentation=dict(counts=[9, -9], size=[48, 64]))]),
            'annotation 0 in FILE has run lengths that are neither whole numbers nor a text: [9, -9]',
        ),
        (
            dict(annotations=[dict(BOX, segmentation=dict(counts=[9, 9], size=[48, 64]))]),
            'annotation 0 in FILE has run lengths of 18 pixels, but its image has 3072',
        ),
        (
            dict(annotations=[dict(BOX, segmentation=dict(counts=[1], size=[64, 48]))]),
            'has a mask of [64, 48] (height, width), but its image has [48, 64]',
        ),
        (dict(annotations=[]), 'there are not two different images with labels, one to train on and one to'),
        (dict(categories=[]), 'FILE declares no categories'),
        (dict(categories=[dict(id=3, name='a'), dict(id=4, name='a')]), "FILE declares the category 'a' twice"),
        (dict(categories=[dict(id='x', name='a')]), 'which needs a whole number as id and a name'),
        (dict(categories='cat'), "FILE is not in COCO's format: it has no list of categories"),
        (dict(images=[]), 'FILE lists no images'),
        (dict(images=[dict(id=0, file_name='lost.png')]), 'FILE names lost.png, which is not in FOLDER'),
        (dict(images=[1]), "FILE is not in COCO's format: an entry of images is no object"),
        (dict(images=[dict(id=0, file_name='0.png')] * 2), 'FILE has two images with the id 0'),
        (
            dict(images=[dict(id=0, file_name='0.png', width=48, height=64)]),
            '0.png has 64 × 48 pixels (turned, as by an EXIF orientation), but FILE has labels for 48 × 64',
        ),
        (
            dict(images=[dict(id=0, file_name='0.png')], annotations=[BOX]),
            'not two different images with labels',
        ),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, changes, message):
    path = make_coco(tmp_path, **changes)
    with pytest.raises(SetupError) as error:
        read_labels('detector', str(path))
    text = str(error.value)
    assert message.replace('FILE', str(path)).replace('FOLDER', str(tmp_path)) in text and '\n' not in text


def test_files_that_cannot_be_read(tmp_path):
    path = make_coco(tmp_path)
    path.write_text('{"images": [,]}')
    with pytest.raises(SetupError, match=r'labels.json is no json: Expecting value: line 1 column 13'):
        read_labels('detector', str(path))
    with pytest.raises(SetupError, match=r'labls.json does not exist; did you mean .*labels.json\?'):
        read_labels('detector', str(tmp_path / 'labls.json'))
    with pytest.raises(SetupError, match='0.png is neither a json file nor a folder; a detector needs boxes: COCO'):
        read_labels('detector', str(tmp_path / 'images' / '0.png'))
    make_coco(tmp_path)
    (tmp_path / 'images' / '3.png').write_bytes(b'no image')
    with pytest.raises(SetupError, match='3.png cannot be read: '):
        read_labels('detector', str(path))
    (tmp_path / 'more.json').write_text('{}')
    with pytest.raises(SetupError, match=r'has 2 json files \(labels.json, more.json\); one is needed, or one with'):
        read_labels('detector', str(tmp_path))


def test_files_of_a_run_in_the_folder_are_no_labels(tmp_path):
    make_coco(tmp_path)
    before = read_labels('detector', str(tmp_path))
    for name in ('run.lock', 'plan.json', 'check.json', 'annotations/train.json', 'predictions.png'):
        (tmp_path / 'det' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'det' / name).write_text('{}')
    assert read_labels('detector', str(tmp_path)) == before


def test_images_of_the_same_name_are_told_apart_by_their_folder(tmp_path):
    content = coco_content(2)
    for split, seed in (('train', 0), ('valid', 5)):
        for i in range(2):
            write_image(tmp_path / split / f'{i}.png', seed + i)
        (tmp_path / split / '_annotations.coco.json').write_text(json.dumps(content))
    labels = read_labels('detector', str(tmp_path))
    assert {path.path.split('/')[-2] for path in labels.train} == {'train'}
    assert {path.path.split('/')[-2] for path in labels.val} == {'valid'}
    assert labels.split == 'train/_annotations.coco.json is trained on, valid/_annotations.coco.json is measured on'
    (tmp_path / 'labels.json').write_text(json.dumps(content))
    with pytest.raises(SetupError, match=r'0.png is ambiguous: there are .*train/0.png and .*valid/0.png'):
        read_labels('detector', str(tmp_path / 'labels.json'))


def make_turned(root, ending, orientation, size=(64, 48), **recorded):
    path = make_coco(root, images=[dict(id=i, file_name=f'{i}.{ending}', **recorded) for i in range(6)])
    for i in range(6):
        exif = Image.Exif()
        exif[0x112] = orientation
        Image.new('RGB', size, (i, i, i)).save(root / 'images' / f'{i}.{ending}', exif=exif)
    return path


@pytest.mark.parametrize('ending', ['jpg', 'png', 'tif', 'webp'])
def test_an_image_that_exif_turns(tmp_path, ending):
    path = make_turned(tmp_path, ending, 6, width=64, height=48)
    with pytest.raises(SetupError, match=rf'0.{ending} has 48 × 64 pixels \(turned, as by an EXIF orientation\), but'):
        read_labels('detector', str(path))
    upright = read_labels('detector', str(make_turned(tmp_path, ending, 6, width=48, height=64)))
    assert not any('EXIF' in text for text in texts(upright))
    loaded = LoadRGB()(dict(img_path=upright.train[0].path))
    assert loaded['img'].shape[:2] == (upright.train[0].height, upright.train[0].width) == (64, 48)


@pytest.mark.parametrize(
    ('orientation', 'size', 'recorded'),
    [(3, (64, 48), dict(width=64, height=48)), (6, (64, 64), dict(width=64, height=64)), (6, (64, 48), {})],
)
def test_an_image_that_exif_turns_without_a_trace(tmp_path, orientation, size, recorded):
    labels = read_labels('detector', str(make_turned(tmp_path, 'jpg', orientation, size, **recorded)))
    text = f'warning: 6 images, such as {tmp_path}/images/0.jpg, are turned or mirrored by the EXIF orientation, so '
    assert f'{text}their labels must have been drawn on the upright image' in texts(labels)
