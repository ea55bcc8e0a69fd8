"""A list holds any name that a file can have, and lists of plain lines mean what they say."""

import gzip
import os

import pytest

from lewel_plugins.datasets.image_list import ImageList, read_image_list
from lewel_plugins.image_files.path_list import decode_lines, encode_lines, line_path, path_line
from lewel_plugins.planning.listing import list_images

pytestmark = pytest.mark.core
NAMES = [
    *('a b.jpg', ' a.jpg', 'ä ö.jpg', "it's.jpg", 'an "x".jpg', '"quoted".jpg', '"', 'a\\nb.jpg', 'a,b.jpg', '#.jpg'),
    *('a\nb.jpg', 'a\rb.jpg', 'a\r', 'a\tb.jpg', 'a\x0bb.jpg', 'a\x85b.jpg', 'a\u2028b.jpg', '\ufeffa.jpg'),
    *(os.fsdecode(b'a\xff.jpg'), os.fsdecode(b'\xff\n"\t.jpg'), '東京.jpg', ' '),
]


@pytest.mark.parametrize('suffix', ['.txt', '.txt.gz'])
def test_every_name_survives(tmp_path, suffix):
    content = encode_lines(path_line(name, 123, 'x y') for name in ['first.jpg', *NAMES])
    (tmp_path / f'list{suffix}').write_bytes(gzip.compress(content) if suffix.endswith('gz') else content)
    assert read_image_list(tmp_path / f'list{suffix}') == ['first.jpg', *NAMES]
    for name in NAMES:
        assert line_path(decode_lines(encode_lines([path_line(name)]))[0]) == name
    assert [line_path(line, False) for line in decode_lines(encode_lines(map(path_line, NAMES)))] == [*NAMES, '']


@pytest.mark.parametrize('name', [name for name in NAMES if name.endswith('.jpg')])
def test_a_list_of_the_user_names_the_file_that_is_there(tmp_path, name):
    for file in (name, 'other.jpg'):
        (tmp_path / file).touch()
    (tmp_path / 'list.txt').write_bytes(encode_lines(map(path_line, ['other.jpg', name])))
    assert set(list_images([tmp_path / 'list.txt']).paths) == {str(tmp_path / name), str(tmp_path / 'other.jpg')}
    data = ImageList(str(tmp_path / 'list.txt'))
    assert os.path.isfile(data.get_data_info(1)['img_path'])


def test_lists_of_earlier_versions_and_of_other_programs(tmp_path):
    plain = ['a b.jpg', '"quoted".jpg', 'an "x".jpg', 'back\\slash.jpg']
    for newline, start in (('\n', b''), ('\r\n', b'\xef\xbb\xbf')):
        (tmp_path / 'list.txt').write_bytes(start + newline.join([*plain, '', '']).encode())
        assert read_image_list(tmp_path / 'list.txt') == plain
