"""No image is trained on and measured on, and none that cannot be decoded reaches the training."""

import json
import os
import shutil

import pytest
from helpers.labels import coco_content, make_coco, make_masks, make_voc, write_image, write_mask

from lewel_plugins.api import finetune as module
from lewel_plugins.api.finetune import finetune
from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning import LabeledImage, Labels, read_labels
from lewel_plugins.finetuning.decodable import without_broken
from lewel_plugins.finetuning.labels import Box

pytestmark = pytest.mark.core


def make_coco_parts(root):
    make_coco(root, 6).unlink()
    (root / 'train.json').write_text(json.dumps(coco_content(4)))
    (root / 'val.json').write_text(json.dumps(coco_content(2, 4)))
    return root


def test_an_image_in_both_files_of_coco(tmp_path):
    make_coco_parts(tmp_path)
    (tmp_path / 'val.json').write_text(json.dumps(coco_content(3, 3)))
    with pytest.raises(SetupError, match=r'3.png is in both train.json and val.json; what is trained on must not be'):
        read_labels('detector', str(tmp_path))
    (tmp_path / 'val.json').write_text(json.dumps(coco_content(4, 2)))
    with pytest.raises(SetupError, match=r'2.png \(and 1 other image\) is in both train.json and val.json'):
        read_labels('detector', str(tmp_path))
    (tmp_path / 'val.json').write_text(json.dumps(coco_content(2, 4)))
    os.replace(tmp_path / 'images' / '0.png', tmp_path / 'images' / '5.png')
    os.symlink('5.png', tmp_path / 'images' / '0.png')
    with pytest.raises(SetupError, match=r'5.png is in both'):
        read_labels('detector', str(tmp_path))


def test_an_image_in_both_lists_of_voc(tmp_path):
    make_voc(tmp_path)
    (tmp_path / 'ImageSets' / 'Main' / 'val.txt').write_text('3\n4\n')
    with pytest.raises(SetupError, match=r'3.jpg is in both train.txt and val.txt; what is trained on must not be'):
        read_labels('detector', str(tmp_path))


def test_copies_on_both_sides_are_a_warning(tmp_path):
    data = make_coco_parts(tmp_path / 'coco')
    assert not [finding for finding in read_labels('detector', str(data)).findings if finding.code == 'copies']
    shutil.copy(data / 'images' / '3.png', data / 'images' / '5.png')
    shutil.copy(data / 'images' / '3.png', data / 'images' / '2.png')  # both are trained on
    (finding,) = (finding for finding in read_labels('detector', str(data)).findings if finding.code == 'copies')
    text = '1 image to measure on is a copy of one to train on, which makes results too good, such as '
    assert finding.text == f'{text}{data}/images/5.png of {data}/images/2.png'
    masks = tmp_path / 'masks'
    for part in ('train', 'val'):
        for i in range(2):
            write_image(masks / 'images' / part / f'{i}.jpg', i)
            write_mask(masks / 'masks' / part / f'{i}.png', 1)
    (text,) = map(str, read_labels('segmenter', str(masks)).findings)
    assert text.startswith('warning: 2 images to measure on are copies of some to train on, which makes results too g')


def labels_of(root, train: int, val: int) -> Labels:
    paths = [str(write_image(root / f'{i}.jpg', i)) for i in range(train + val)]
    images = tuple(LabeledImage(path, 64, 48, (Box(0, (1, 1, 9, 9)),)) for path in paths)
    return Labels('COCO', ('cat',), images[:train], images[train:], 'by name')


def truncate(image: LabeledImage) -> None:
    with open(image.path, 'r+b') as file:
        file.truncate(os.path.getsize(image.path) - 100)


def test_broken_images_of_both_sides_are_left_out(tmp_path):
    labels, lines = labels_of(tmp_path, 180, 30), []
    assert without_broken(labels, 2, lines.append) is labels
    truncate(labels.train[7])
    truncate(labels.val[3])
    mended = without_broken(labels, 2, lines.append)
    assert lines == ['decoded 210 of 210 labeled images, 0 broken', 'decoded 210 of 210 labeled images, 2 broken']
    assert mended.train == labels.train[:7] + labels.train[8:] and mended.val == labels.val[:3] + labels.val[4:]
    (finding,) = mended.findings
    assert str(finding) == 'warning: 2 of 210 files cannot be decoded and are left out (check.json)'
    assert set(finding.files) == {labels.train[7].path, labels.val[3].path}
    truncate(labels.val[4])
    with pytest.raises(
        SetupError, match=r'3 of 210 files \(1.4%\) cannot be decoded, more than 1%; the first is .*jpg'
    ):
        without_broken(labels, 0, lines.append)


def test_of_very_many_images_a_sample_is_decoded_but_all_that_are_measured_on(tmp_path, monkeypatch):
    monkeypatch.setattr('lewel_plugins.finetuning.decodable.SAMPLE', 20)
    labels, lines = labels_of(tmp_path, 180, 30), []
    truncate(labels.val[29])
    mended = without_broken(labels, 0, lines.append)
    assert lines == ['decoded 50 of 210 labeled images, 1 broken'] and mended.val == labels.val[:29]


def test_a_side_needs_an_image_with_labels(tmp_path):
    labels = labels_of(tmp_path, 130, 1)
    truncate(labels.val[0])
    with pytest.raises(
        SetupError, match=r'no image with labels to measure on can be decoded; the first broken one is '
    ):
        without_broken(labels, 0, print)


@pytest.mark.parametrize(('task', 'make'), [('detector', make_coco), ('segmenter', make_masks)])
def test_the_command_refuses_a_truncated_image_and_writes_nothing(tmp_path, monkeypatch, task, make):
    monkeypatch.setattr(module, 'require_library', lambda task: None)
    data, lines = make(tmp_path / 'data'), []
    options = dict(gpus=0, dry_run=True, say=lines.append)
    assert finetune(task, 'random', data, tmp_path / 'run', **options).status == 'planned'
    assert 'decoded 6 of 6 labeled images, 0 broken' in lines
    image = next((tmp_path / 'data' / 'images').glob('2.*'))
    with image.open('r+b') as file:
        file.truncate(image.stat().st_size - 50)
    with pytest.raises(SetupError, match=r'1 of 6 files \(17%\) cannot be decoded, more than 1%; the first is .*/2\.'):
        finetune(task, 'random', data, tmp_path / 'run', **options)
    assert not (tmp_path / 'run').exists()
