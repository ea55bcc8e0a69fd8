"""Maps of classes: what is read, and one line for whatever is wrong with them."""

import numpy as np
import pytest
from helpers.labels import SIZE, make_masks, write_image, write_mask
from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning import read_labels
from lewel_plugins.planning.findings import show

pytestmark = pytest.mark.core


def test_classes_from_the_values_and_a_division_by_content(tmp_path):
    labels = read_labels('segmenter', str(make_masks(tmp_path)))
    assert (labels.classes, len(labels.train), len(labels.val)) == (('0', '1'), 5, 1)
    assert labels.findings == () and all(image.mask.endswith('.png') for image in labels.train)


def test_folders_divide_names_and_missing_classes(tmp_path):
    for split, count in (('train', 3), ('val', 2)):
        for i in range(count):
            write_image(tmp_path / 'images' / split / f'{i}.jpg', i + 10 * count)
            write_mask(tmp_path / 'masks' / split / f'{i}.png', 1 if split == 'train' else 2)
    (tmp_path / 'classes.txt').write_text('floor\nchair\ntable\nlamp\n')
    labels = read_labels('segmenter', str(tmp_path))
    assert (len(labels.train), len(labels.val)) == (3, 2)
    assert [str(finding) for finding in labels.findings] == [
        'warning: the classes table, lamp have no pixel to learn them from',
        'warning: the classes chair, lamp have no pixel to measure them on',
    ]


def test_palettes_and_bits_are_indices(tmp_path):
    make_masks(tmp_path, 3)
    mask = Image.fromarray(np.full(SIZE[::-1], 1, np.uint8)).convert('P')
    mask.putpalette([9, 9, 9, 200, 0, 0])
    mask.save(tmp_path / 'masks' / '0.png')
    Image.fromarray(np.ones(SIZE[::-1], bool)).save(tmp_path / 'masks' / '1.png')
    assert read_labels('segmenter', str(tmp_path)).classes == ('0', '1')


def bad_size(folder):
    write_mask(folder / 'masks' / '2.png', 1, (48, 64))


def bad_value(folder):
    (folder / 'classes.txt').write_text('floor\nchair\n')
    write_mask(folder / 'masks' / '2.png', 7)


def bad_channels(folder):
    Image.new('RGB', SIZE).save(folder / 'masks' / '2.png')


def bad_bits(folder):
    Image.fromarray(np.zeros(SIZE[::-1], np.uint16)).save(folder / 'masks' / '2.png')


def bad_file(folder):
    (folder / 'masks' / '2.png').write_bytes(b'\x89PNG\r\n\x1a\n')


def bad_format(folder):
    (folder / 'masks' / '2.png').unlink()
    Image.fromarray(np.zeros(SIZE[::-1], np.uint8)).save(folder / 'masks' / '2.jpg')


def no_mask(folder):
    for i in (2, 4):
        (folder / 'masks' / f'{i}.png').unlink()


def one_class(folder):
    for i in range(6):
        write_mask(folder / 'masks' / f'{i}.png', 255)


def no_images(folder):
    for i in range(6):
        (folder / 'images' / f'{i}.jpg').unlink()


def two_images(folder):
    write_image(folder / 'images' / '2.png', 2)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (bad_size, r'images/2.jpg has 64 × 48 pixels .*, but .*masks/2.png has labels for 48 × 64'),
        (bad_value, r'masks/2.png has the value 7, but there are 2 classes \(values 0 to 1: floor, chair\); 255 is'),
        (bad_channels, 'masks/2.png has 3 channels of mode RGB; a mask has one channel of 8 bits'),
        (bad_bits, 'masks/2.png has 1 channel of mode I;16; a mask has one channel of 8 bits'),
        (bad_file, 'masks/2.png cannot be decoded: '),
        (bad_format, 'masks/2.jpg is no PNG; other formats may change the indices'),
        (no_mask, r'images/2.jpg \(and 1 other image\) has no mask; expected is .*masks/2.png'),
        (one_class, 'have one class, 0; a segmenter needs two or more, and 255 is ignored: write 1 where'),
        (no_images, 'there are no images in .*images'),
        (two_images, 'images/2.jpg shares its mask with an image of the same name'),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, damage, message):
    damage(make_masks(tmp_path))
    with pytest.raises(SetupError, match=message) as error:
        read_labels('segmenter', str(tmp_path))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['a ', ' a', 'sub/\ta', 'a\nb', 'caf\udce9'])
def test_names_that_a_list_of_mmseg_cannot_hold_are_refused(tmp_path, name):
    make_masks(tmp_path)
    write_image(tmp_path / 'images' / f'{name}.png', 9)
    write_mask(tmp_path / 'masks' / f'{name}.png', 1)
    with pytest.raises(SetupError, match=r'cannot be in a list of mmseg, .*; rename the image and its mask$') as error:
        read_labels('segmenter', str(tmp_path))
    assert show(tmp_path / 'images' / f'{name}.png') in str(error.value) and '\n' not in str(error.value)


def test_names_of_several_words_are_read(tmp_path):
    make_masks(tmp_path)
    write_image(tmp_path / 'images' / 'my scene' / 'é 1.png', 9)
    write_mask(tmp_path / 'masks' / 'my scene' / 'é 1.png', 1)
    assert len(read_labels('segmenter', str(tmp_path)).train) == 6


def test_masks_without_an_image_are_left_out(tmp_path):
    make_masks(tmp_path)
    write_mask(tmp_path / 'masks' / 'x.png', 1)
    labels = read_labels('segmenter', str(tmp_path))
    assert [str(finding) for finding in labels.findings] == ['warning: 1 mask without an image is left out']


@pytest.mark.parametrize(('text', 'message'), [('\n', 'names no classes'), ('a\nb\na\n', "names the class 'a' twice")])
def test_files_of_names(tmp_path, text, message):
    (make_masks(tmp_path) / 'classes.txt').write_text(text)
    with pytest.raises(SetupError, match=message):
        read_labels('segmenter', str(tmp_path))


def test_images_that_exif_turns_are_compared_with_their_masks(tmp_path):
    make_masks(tmp_path)
    for number, orientation in ((0, 1), (1, 3)):
        exif = Image.Exif()
        exif[0x112] = orientation
        Image.new('RGB', SIZE, (number, 0, 0)).save(tmp_path / 'images' / f'{number}.jpg', exif=exif)
    labels = read_labels('segmenter', str(tmp_path))
    (finding,) = (finding for finding in labels.findings if finding.code == 'turned')
    assert finding.text.startswith(f'1 image, such as {tmp_path}/images/1.jpg, is turned or mirrored by the EXIF')
    (tmp_path / 'images' / '1.jpg').unlink()
    exif[0x112] = 6
    Image.new('RGB', SIZE).save(tmp_path / 'images' / '1.png', exif=exif)
    with pytest.raises(SetupError, match=r'1.png has 48 × 64 pixels \(turned, as by an EXIF orientation\), but '):
        read_labels('segmenter', str(tmp_path))
