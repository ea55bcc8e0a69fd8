"""One class per image from boxes and masks: the main one of an image, or none."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.labels import SIZE, voc_object, voc_xml, write_image
from helpers.preparations import prepared
from PIL import Image

from lewel_plugins.api.check import check
from lewel_plugins.api.image_classes import main_class, read_image_classes
from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning.labels import Box, LabeledImage

pytestmark = pytest.mark.core
COUNT = 60
WHY = ': the one of more than half of the labeled area'


def box(label, width, height, **options):
    return Box(label, (0.0, 0.0, float(width), float(height)), **options)


@pytest.mark.parametrize(
    ('boxes', 'expected'),
    [
        ([box(0, 4, 5)], 'cat'),
        ([box(0, 4, 5), box(1, 2, 2), box(1, 3, 3)], 'cat'),  # 20 against 13
        ([box(0, 4, 5), box(1, 4, 4), box(2, 1, 4)], None),  # 20 of 40
        ([box(0, 9, 9, is_ignored=True), box(1, 2, 2)], 'dog'),
        ([box(0, 9, 9, is_ignored=True)], None),
        ([], None),
    ],
)
def test_the_main_class_covers_more_than_half_of_the_labeled_area(boxes, expected):
    assert main_class(LabeledImage('x', 64, 48, tuple(boxes)), ('cat', 'dog', 'cow')) == expected


def test_background_is_no_class(tmp_path):
    write_image(tmp_path / 'x.png', 0)
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    pixels[:10], pixels[10:15], pixels[15:20] = 1, 2, 255
    Image.fromarray(pixels).save(tmp_path / 'mask.png')
    image = LabeledImage('x.png', *SIZE, mask=str(tmp_path / 'mask.png'))
    assert main_class(image, ('0', '1', '2')) == '1' == main_class(image, ('Background', '1', '2'))
    assert main_class(image, ('sky', '1', '2')) == 'sky'


def images(folder):
    return [str(write_image(folder / f'{i:02}.png', i)) for i in range(COUNT)]


def write_coco(root):
    paths = images(root / 'images')
    entries = [dict(id=i, file_name=f'{i:02}.png', width=SIZE[0], height=SIZE[1]) for i in range(COUNT)]
    boxes = [dict(id=i, image_id=i, category_id=1 + i % 2, bbox=[1, 1, 20, 20], iscrowd=0) for i in range(2, COUNT)]
    categories = [dict(id=1, name='cat'), dict(id=2, name='dog'), dict(id=3, name='cow')]
    (root / 'boxes.json').write_text(json.dumps(dict(images=entries, annotations=boxes, categories=categories)))
    return paths, root / 'boxes.json'


def write_voc(root):
    paths = images(root / 'JPEGImages')
    (root / 'Annotations').mkdir()
    for i in range(COUNT):
        objects = '' if i < 2 else voc_object(('cat', 'dog')[i % 2])
        (root / 'Annotations' / f'{i:02}.xml').write_text(voc_xml(objects))
    return paths, root


def write_masks(root):
    paths = images(root / 'images')
    (root / 'masks').mkdir()
    for i in range(COUNT):
        pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        pixels[:9] = 0 if i < 2 else 1 + i % 2
        Image.fromarray(pixels).save(root / 'masks' / f'{i:02}.png')
    return paths, root


@pytest.mark.parametrize('write', [write_coco, write_voc, write_masks])
def test_every_format_gives_the_classes(tmp_path, write):
    paths, labels = write(tmp_path)
    result = read_image_classes(str(labels), paths, [], 'photos')
    assert [result.targets.get(path) for path in paths] == [None, None, *[0, 1] * (COUNT // 2 - 1)]
    assert str(result.finding) == f'note: 58 of 60 images have one of 2 classes in {labels}{WHY}'
    with pytest.raises(SetupError) as caught:
        read_image_classes(str(labels), paths[:40], [], 'photos')
    assert str(caught.value) == (
        f'--labels {labels} has 38 images of photos with a class{WHY}, of 2 classes; 50 of two classes are the least'
    )


def test_images_and_labels_are_named_by_different_links(tmp_path):
    paths, labels = write_coco(tmp_path / 'data')
    (tmp_path / 'link').symlink_to('data')
    linked = [str(tmp_path / 'link' / 'images' / f'{i:02}.png') for i in range(COUNT)]
    for result in (
        read_image_classes(str(labels), linked, [], 'photos'),
        read_image_classes(str(tmp_path / 'link' / labels.name), paths, [], 'photos'),
    ):
        assert len(result.targets) == 58
    preparation = replace(prepared(tmp_path / 'link' / 'images'), classes=result)
    bank, queries = preparation.labeled_parts()
    assert len(bank) + len(queries) == 58


def test_check_states_how_many_images_have_a_class(tmp_path, monkeypatch):
    _, labels = write_coco(tmp_path)
    monkeypatch.setattr('lewel_plugins.api.check._Checker._steps', lambda self: None)
    lines = []
    check(tmp_path / 'images', labels=labels, gpus=0, backbone='resnet10', say=lines.append)
    assert f'note: 58 of 60 images have one of 2 classes in {labels}{WHY}' in lines
    (tmp_path / 'boxes.json').write_text('{}')
    check(tmp_path / 'images', labels=labels, gpus=0, say=lines.append)
    assert lines[-1] == f"no: {labels} is not in COCO's format: it has no list of images, annotations, categories"
    lines.clear()
    (tmp_path / 'notes.md').touch()
    check(tmp_path / 'images', labels=tmp_path / 'notes.md', gpus=0, say=lines.append)
    assert lines[-1] == (
        f'no: {tmp_path / "notes.md"} holds no labels that can be read; give class folders, a csv with the columns '
        'path and label, COCO json, a VOC folder, or images/ and masks/'
    )
