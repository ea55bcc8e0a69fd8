"""Every odd folder has its message, word for word; nothing is written."""

import math
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import copies
from lewel_plugins.planning.copies import Copies, copy_findings, find_copies, find_scenes, scene_findings
from lewel_plugins.planning.findings import refuse_errors, wilson_interval
from lewel_plugins.planning.headers import size_findings
from lewel_plugins.planning.listing import list_images
from lewel_plugins.planning.pixels import broken_findings
from lewel_plugins.planning.scan import scan

pytestmark = pytest.mark.core
RNG = np.random.default_rng(0)
LIST = '.jpg .jpeg .png .webp .bmp .tif .tiff'


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape or (40, 48, 3), dtype=np.uint8)


def save(path, image: np.ndarray | None = None, mode: str | None = None, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(noise() if image is None else image)
    (picture.convert(mode) if mode else picture).save(path, **options)


def claim(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size."""
    body = b'IHDR' + struct.pack('>II5B', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + body + struct.pack('>I', zlib.crc32(body))


@pytest.fixture(autouse=True)
def same_noise():
    """Start every test with the same noise, whatever ran before."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder ``photos`` of ten images, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for i in range(10):
        save(tmp_path / 'photos' / f'{i}.png')
    return tmp_path / 'photos'


def found(*arguments: str, **options) -> list[str]:
    return [str(finding) for finding in scan(arguments or ['photos'], workers=0, **options).findings]


def refusal(*arguments: str, **options) -> str:
    with pytest.raises(SetupError) as error:
        refuse_errors(scan(arguments or ['photos'], workers=0, **options).findings)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_plain_folder_has_no_findings(photos):
    before = {path: path.stat().st_mtime_ns for path in photos.parent.rglob('*')}
    result = scan(['photos'], workers=0)
    assert result.findings == [] and result.images == [f'photos/{i}.png' for i in range(10)]
    assert result.folder.num_images == result.folder.num_files == 10 and result.folder.median_short_side == 40
    assert before == {path: path.stat().st_mtime_ns for path in photos.parent.rglob('*')}  # nothing is written


@pytest.mark.parametrize(
    'name, similar',
    [
        ('phtos', '; did you mean photos?'),
        ('Photos/', '; did you mean photos?'),
        ('phtos/3.png', '; did you mean photos/3.png?'),
        ('phtos/x.png', '; did you mean photos?'),
        ('photos/12.png', '; did you mean photos/2.png?'),
        ('elsewhere', ''),
        ('photos/3.png/x', ''),
    ],
)
def test_a_missing_folder_has_near_names(photos, name, similar):
    for i in (0, 1, 3, 4, 5, 6, 7, 8, 9):
        if name == 'photos/12.png':
            (photos / f'{i}.png').unlink()
    assert refusal(name) == f'{name.rstrip("/")} does not exist{similar}'
    absolute = os.path.abspath(name)
    if similar == '; did you mean photos?':
        assert refusal(absolute) == f'{absolute} does not exist; did you mean {photos}?'


def test_an_unreadable_folder_is_named(photos, monkeypatch):
    (photos / '2023').mkdir()
    scandir = os.scandir

    def denied(path):
        if str(path).endswith('2023'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', denied)  # a permission would not stop root
    assert refusal() == 'cannot read photos/2023: permission denied'


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_folder_without_permission(photos):
    (photos / '2023').mkdir(mode=0)
    try:
        assert refusal() == 'cannot read photos/2023: permission denied'
    finally:
        (photos / '2023').chmod(0o700)


@pytest.mark.parametrize(
    'names, rest',
    [
        ([], 'found no files'),
        ([f'{i}.HEIC' for i in range(214)], 'found 214 .heic; convert them first'),
        (['a.txt', 'b.txt', 'README'], 'found 2 .txt, 1 without an extension'),
    ],
)
def test_a_folder_without_images_says_what_is_there(tmp_path, monkeypatch, names, rest):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').mkdir()
    for name in names:
        (tmp_path / 'photos' / name).touch()
    assert refusal() == f'no images in photos: looked for {LIST}, {rest}'


def test_one_image_is_refused_and_two_are_not(photos):
    for i in range(2, 10):
        (photos / f'{i}.png').unlink()
    assert found() == []
    (photos / '1.png').unlink()
    text = 'holds one image; pretraining compares images with each other and needs at least two'
    assert refusal() == f'photos {text}'
    assert refusal('photos/0.png') == f'photos/0.png {text}'


@pytest.mark.parametrize('count', [7, 100])
def test_counts_of_images(photos, count):
    for i in range(7, count):
        save(photos / f'{i}.png')
    for i in range(count, 10):
        (photos / f'{i}.png').unlink()
    result = scan(['photos'], workers=0)
    assert result.findings == [] and result.folder.num_images == count


def test_nested_hidden_and_linked_folders(photos):
    save(photos / 'a' / 'b' / 'x.JPG')
    save(photos / '.thumbnails' / 'x.png')
    save(photos / 'a' / '.git' / 'x.png')
    save(photos / '._0.png')
    (photos / '.DS_Store').touch()
    for name in ('again', 'a/up', 'thrice'):
        (photos / name).symlink_to(photos if 'up' in name else photos / 'a')
    (photos / 'lost.png').symlink_to(photos / 'nothing.png')
    (photos / 'a' / 'itself').symlink_to(photos / 'a' / 'itself')
    expected = '11 images in 2 folders; skipped 2 hidden folders, 1 hidden file, 3 links to folders already read'
    assert found() == [f'note: {expected}, 2 broken links']
    assert scan(['photos'], workers=0).images[-1] == 'photos/a/b/x.JPG'


def test_folders_of_runs_hold_no_images(photos):
    for name, note in (('a', 'plan.json'), ('b', 'begun.json')):
        save(photos / 'runs' / name / 'predictions.png')
        for file in ('run.lock', note):
            (photos / 'runs' / name / file).touch()
    assert found() == ['note: 10 images in 1 folder; skipped 2 folders of runs']
    (photos / 'runs' / 'a' / 'run.lock').unlink()  # a plan.json of the user
    assert found() == ['note: 11 images in 2 folders; skipped 1 folder of a run']
    assert len(list_images(['photos/runs/b', 'photos/0.png']).paths) == 2  # named by the user


def test_photographs_of_other_formats_are_named(photos):
    (photos / 'IMG_1.HEIC').touch()
    (photos / 'film.mp4').touch()
    assert found() == ['note: 1 .heic cannot be read and are left out; convert them to use them']


def test_files_and_lists(photos):
    (photos / 'list.txt').write_bytes('\ufeff0.png\r\n\n1.png\n./2.png\n'.encode())
    images = scan(['photos/list.txt', 'photos/3.png', 'photos/1.png'], workers=0).images
    assert sorted(map(os.path.normpath, images)) == [f'photos/{i}.png' for i in range(4)]
    assert len(scan(['photos/list.txt', 'photos', 'photos/', './photos/3.png'], workers=0).images) == 10
    (photos / 'list.txt').write_text('0.png\nlost.png\n')
    assert refusal('photos/list.txt') == 'line 2 of photos/list.txt: photos/lost.png is not a file'
    (photos / 'a.doc').touch()
    expected = f'photos/a.doc is not a folder, an image ({LIST}) or a .txt list of images'
    assert refusal('photos/a.doc') == expected


@pytest.mark.timeout(10)
def test_a_list_behind_a_link_leads_up_from_where_it_is(photos):
    disk = photos.parent / 'a' / 'b' / 'disk'
    disk.mkdir(parents=True)
    (disk / 'list.txt').write_text('../../../photos/0.png\n../../../photos/1.png\n')
    (photos.parent / 'link').symlink_to(disk)
    paths = list_images(['link/list.txt']).paths
    assert [os.path.abspath(path) for path in paths] == [str(photos / f'{i}.png') for i in range(2)]
    assert list_images(['a/b/disk/list.txt']).paths[0] == 'a/b/disk/../../../photos/0.png'


def test_a_list_that_is_a_pipe_is_not_waited_for(photos):
    os.mkfifo(photos / 'list.txt')
    assert refusal('photos/list.txt') == 'cannot read photos/list.txt: it is not a regular file'


def test_names_of_any_bytes_are_one_line(photos):
    strange = os.fsdecode(b'photos/a\nb\xff.png')
    with open(os.fsencode(strange), 'wb') as file:
        file.write(b'no image')
    assert strange in scan(['photos'], workers=0).left_out
    text = '1 of 11 files (9.1%) cannot be decoded, more than 1%; the first is photos/a\\nb\\udcff.png: '
    assert refusal() == f'{text}it is not a JPEG, PNG, WebP, BMP, TIFF or GIF'


def test_the_draw_depends_on_names_only(photos, monkeypatch):
    first = scan(['photos'], workers=0, num_headers=4, num_decoded=2)
    names = [os.path.basename(path) for path in first.headers.headers]
    photos.rename(photos.parent / 'moved')
    scandir = os.scandir

    class Reversed(list):
        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

    monkeypatch.setattr(os, 'scandir', lambda path: Reversed(reversed(list(scandir(path)))))
    again = scan([str(photos.parent / 'moved')], workers=0, num_headers=4, num_decoded=2)
    assert [os.path.basename(path) for path in again.headers.headers] == names and len(names) == 4
    more = scan(['moved'], workers=0, num_headers=6, num_decoded=2)
    assert [os.path.basename(path) for path in more.headers.headers][:4] == names


def test_too_many_pixels_are_left_out_by_the_header(photos):
    tags = [(256, 30_000), (257, 30_000), (258, 8), (277, 1), (262, 1)]
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in sorted(tags))
    (photos / 'a.tif').write_bytes(b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + bytes(4))
    expected = 'warning: photos/a.tif claims 30,000 × 30,000 pixels, more than the limit of 89 million; left out'
    assert found() == [expected]
    (photos / 'b.png').write_bytes(claim(8000, 4000))
    assert found() == [f'{expected}, as is 1 other file']
    (photos / 'a.tif').unlink()
    expected = 'photos/b.png claims 8,000 × 4,000 pixels, more than the limit of 27 million for a PNG; left out'
    assert found() == [f'warning: {expected}']
    result = scan(['photos'], workers=0)
    assert result.folder.num_images == 10 and result.folder.num_broken == 0 and 'photos/b.png' in result.left_out


def test_a_file_of_too_many_bytes_is_left_out(photos):
    with open(photos / 'x.bmp', 'wb') as file:
        file.truncate(100_000_000)
    assert found() == ['warning: photos/x.bmp has 100,000,000 bytes, more than the limit of 89 million; left out']


def test_other_channels_are_refused(photos):
    cv2.imwrite(str(photos / 'x.tif'), noise())
    data = bytearray((photos / 'x.tif').read_bytes())
    directory = struct.unpack_from('<I', data, 4)[0]
    (count,) = struct.unpack_from('<H', data, directory)
    for start in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from('<H', data, start)[0] == 277:
            struct.pack_into('<H', data, start + 8, 5)
    (photos / 'x.tif').write_bytes(data)
    expected = 'photos/x.tif has 5 channels; 1, 3 and 4 (RGBA, CMYK) are supported'
    assert f'error: {expected}' in found() and refusal() == expected
    (photos / 'y.tif').write_bytes(data)
    assert refusal().startswith('photos/x.tif (and 1 other file) has 5 channels; ')


def test_broken_files(photos):
    for i in range(10, 200):
        save(photos / f'{i}.png', noise(4, 4, 3))
    whole = cv2.imencode('.jpg', noise(200, 200, 3))[1].tobytes()
    (photos / '13.jpg').write_bytes(whole[: len(whole) // 2])
    assert found() == ['warning: 1 of 201 files cannot be decoded and is left out (broken_images.txt)']
    (photos / '14.jpg').write_bytes(b'')
    result = scan(['photos'], workers=0)
    assert [str(finding) for finding in result.findings] == [
        'warning: 2 of 202 files cannot be decoded and are left out (broken_images.txt)'
    ]
    assert result.left_out == {
        'photos/13.jpg': 'the JPEG is truncated (no end marker)',
        'photos/14.jpg': 'the file is empty',
    }
    assert (result.folder.num_images, result.folder.num_files, result.folder.num_broken) == (200, 202, 2)
    (photos / '15.jpg').write_bytes(whole[:300])
    first = 'the first is photos/13.jpg: the JPEG is truncated (no end marker)'
    assert refusal() == f'3 of 203 files (1.5%) cannot be decoded, more than 1%; {first}'
    for i in range(200):
        (photos / f'{i}.png').unlink()
    assert refusal() == f'none of the 3 files can be decoded; {first}'


def test_a_draw_has_an_honest_denominator(photos):
    for i in range(10, 300):
        save(photos / f'{i}.png', noise(4, 4, 3))
    assert found(num_decoded=200) == ['note: 0 of 200 broken: at most 1.9%']
    names = list(scan(['photos'], workers=0).headers.headers)[:200]
    for path in names[:3]:
        open(path, 'wb').close()
    assert found(num_decoded=200) == [
        'warning: 3 files cannot be decoded and are left out (broken_images.txt); '
        '3 of 200 tried are broken: 1.0% to 4.3% of all 300'
    ]
    assert scan(['photos'], workers=0, num_decoded=200).folder.num_broken == 4  # 1.5% of 300
    for path in names[3:10]:
        open(path, 'wb').close()
    assert refusal(num_decoded=200).startswith(
        'at least 10 of 300 files (3.3%) cannot be decoded, more than 1%; the first is photos/'
    )


def test_without_time_there_are_headers_and_no_claims(photos):
    for i in range(10, 150):
        save(photos / f'{i}.png', noise(4, 4, 3))
    result = scan(['photos'], workers=0, seconds=0)
    assert [str(finding) for finding in result.findings] == [
        'note: no image was decoded: the time was too short',
        'note: copies were not searched to the end: the time was too short',
    ]
    assert result.headers.tried == 100 and result.folder.num_broken == 0 and result.folder.num_images == 150


def test_gray_images(photos):
    for i in range(16):
        save(photos / f'gray{i}.jpg', noise(40, 48))
    save(photos / 'z.jpg', np.dstack([noise(40, 48)] * 3))
    assert found() == ['note: 63% of images are gray; color augmentation has no effect on them']


def test_sixteen_bits_of_which_twelve_are_used(photos):
    for i, suffix in enumerate(('.png', '.tif')):
        cv2.imwrite(str(photos / f'x{i}{suffix}'), RNG.integers(0, 4096, (40, 48, 3 * i + (1 - i)), dtype=np.uint16))
        cv2.imwrite(str(photos / f'y{i}{suffix}'), RNG.integers(0, 65536, (40, 48, 3), dtype=np.uint16))
        cv2.imwrite(str(photos / f'z{i}{suffix}'), RNG.integers(0, 4120, (40, 48, 3), dtype=np.uint16))
    text = '2 16-bit images only use values up to 4,095 and will be almost black; rescale them first'
    assert f'warning: {text}' in found()
    (photos / 'x1.tif').unlink()
    cv2.imwrite(str(photos / 'x0.png'), RNG.integers(0, 1024, (40, 48, 3), dtype=np.uint16))
    text = '1 16-bit image only uses values up to 1,023 and will be almost black; rescale it first'
    assert f'warning: {text}' in found()


def test_cmyk_and_transparency(photos):
    for i in range(3):
        save(photos / f'c{i}.jpg', mode='CMYK')
    text = 'note: 3 CMYK images are converted to RGB'
    assert found() == [text]
    save(photos / 't.png', noise(40, 48, 4))
    save(photos / 't.webp', noise(40, 48, 4))
    save(photos / 't.tif', noise(40, 48, 4))
    save(photos / 'la.png', noise(40, 48, 4), mode='LA')
    save(photos / 'p.png', noise(40, 48), mode='P', transparency=3)
    # Among others gray with transparency.
    assert f'{text}; transparency in 5 images is dropped' in found()
    assert 'note: of 8 files tried, ' in ' '.join(found(num_headers=8))


def test_copies_are_used_once(photos):
    save(photos / 'sub' / 'x.png')
    for name in ('00.png', 'sub/a.png'):
        (photos / name).write_bytes((photos / '0.png').read_bytes())
    result = scan(['photos'], workers=0)
    text = '2 of 13 files are copies of others; each picture is used once (duplicates.csv)'
    assert str(result.findings[-1]) == f'warning: {text}'
    assert result.copies == {'photos/00.png': 'photos/0.png', 'photos/sub/a.png': 'photos/0.png'} or (
        result.copies == {'photos/0.png': 'photos/00.png', 'photos/sub/a.png': 'photos/00.png'}
    )
    assert (result.folder.num_images, result.folder.num_copies) == (11, 2) and len(result.images) == 11


def test_two_copies_are_one_image(photos):
    for i in range(1, 10):
        (photos / f'{i}.png').write_bytes((photos / '0.png').read_bytes())
    assert refusal() == (
        'photos holds one image that can be used; pretraining compares images with each other and needs at least two'
    )


def write_frames(photos, scenes: int, length: int) -> None:
    for scene in range(scenes):
        wide = cv2.resize(noise(8, 9, 3), (480, 320), interpolation=cv2.INTER_CUBIC)
        for frame in range(length):
            moved = cv2.warpAffine(wide, np.float32([[1, 0, -frame / 4], [0, 1, 0]]), (400, 320))
            cv2.imwrite(str(photos / f'film{scene:02}_{frame:02}.jpg'), moved)


def test_frames_of_videos(photos):
    write_frames(photos, scenes=9, length=10)
    result = scan(['photos'], workers=0)
    text = (
        '82% of images are nearly identical to the previous one (video frames?); there are about 19 distinct scenes, '
        'one of each is listed in distinct.txt'
    )
    assert [str(finding) for finding in result.findings] == [f'warning: {text}']
    expected = [f'photos/{i}.png' for i in range(10)] + [f'photos/film{scene:02}_00.jpg' for scene in range(9)]
    assert result.distinct == expected and result.folder.num_images == 100


def test_all_are_compared_only_if_many_of_a_draw_are_frames(photos, monkeypatch):
    monkeypatch.setattr(copies, '_PAIRS', 20)
    assert scan(['photos'], workers=0, num_decoded=5).distinct is None
    write_frames(photos, scenes=9, length=10)
    expected = [f'photos/{i}.png' for i in range(10)] + [f'photos/film{scene:02}_00.jpg' for scene in range(9)]
    assert scan(['photos'], workers=0, num_decoded=20).distinct == expected
    names = {path: hash(path) % 2**64 for path in expected}
    calls = []
    scenes = find_scenes(sorted(names), sorted(names)[::2] * 9, lambda paths: calls.append(paths) or names)
    assert (scenes.tried, scenes.total, scenes.distinct) == (9, 19, None) and len(calls) == 1


def test_a_broken_frame_breaks_no_scene(photos, monkeypatch):
    monkeypatch.setattr(copies, '_PAIRS', 20)
    write_frames(photos, scenes=19, length=10)
    whole = scan(['photos'], workers=0).distinct
    last = list(scan(['photos'], workers=0).headers.headers)[-1]
    with open(last, 'r+b') as file:
        file.truncate(os.path.getsize(last) - 40)  # its header remains
    result = scan(['photos'], workers=0, num_decoded=100)
    assert result.left_out == {last: 'the JPEG is truncated (no end marker)'}
    assert last not in result.images and result.folder.num_images == 199
    assert result.distinct == [path for path in whole if path != last] and last not in whole


def test_without_time_for_all_frames_the_number_is_an_estimate(photos):
    paths = [f'{i:04}' for i in range(2000)]
    known = {path: i // 10 * (2**60 + 2**50 + 2**40 + 2**30 + 31) for i, path in enumerate(paths)}
    first = [path for i, path in enumerate(paths) if i < 1500]
    scenes = find_scenes(paths, paths[1:], lambda names: {path: known[path] for path in names if path in first})
    assert [str(finding) for finding in scene_findings(scenes)] == [
        'warning: 90% of 1,499 images tried are nearly identical to the previous one (video frames?); there are about '
        '200 distinct scenes'
    ]


def test_no_scenes_without_frames(photos):
    assert scan(['photos'], workers=0).distinct is None


def test_sizes_beside_the_views(photos):
    headers = scan(['photos'], workers=0).headers
    assert size_findings(headers, 32) == []
    small = 'are under 112 px on a side and are enlarged more than twofold (small_images.txt)'
    assert [str(finding) for finding in size_findings(headers, 224)] == [f'note: 10 of 10 images {small}']
    Image.new('RGB', (1200, 900)).save(photos / 'large.png')
    headers = scan(['photos'], workers=0).headers
    findings = size_findings(headers, 224)
    assert [str(finding) for finding in findings] == [
        'note: images range from 48 × 40 to 1,200 × 900; each view is a 224 × 224 crop',
        f'note: 10 of 11 images {small}',
    ]
    assert findings[1].files == tuple(f'photos/{i}.png' for i in range(10))


def test_broken_headers_count_whether_they_are_drawn_or_not():
    names = [f'{i:02}.png' for i in range(20)]
    few, many = (dict.fromkeys(names[:count], 'the file is empty') for count in (9, 20))
    assert [str(finding) for finding in broken_findings({}, 100, 1000, few)] == [
        'warning: 9 files cannot be decoded and are left out (broken_images.txt); '
        '0 of 100 tried are broken: 0.9% to 3.7% of all 1,000'
    ]
    first = 'the first is 00.png: the file is empty'
    for tried, reasons in ((100, {}), (100, many), (0, {})):
        (finding,) = broken_findings(reasons, tried, 1000, many)
        assert str(finding) == f'error: at least 20 of 1,000 files (2.0%) cannot be decoded, more than 1%; {first}'
        assert finding.files == tuple(names)
    (finding,) = broken_findings(few, 100, 1000)
    assert finding.text == f'9 of 100 files tried (9.0%) cannot be decoded, more than 1%; {first}'
    (finding,) = broken_findings(many, 20, 1000)
    assert finding.text == f'none of the 20 files tried can be decoded; {first}'


@pytest.mark.parametrize(
    'count, tried, expected', [(0, 2000, (0, 0.00192)), (20, 2000, (0.00648, 0.0154)), (1, 1, (0.2065, 1))]
)
def test_the_interval_is_that_of_wilson(count, tried, expected):
    assert wilson_interval(count, tried, 10_000) == pytest.approx(expected, rel=0.01)
    assert wilson_interval(count, tried, tried) == (count / tried, count / tried)


def test_copies_are_compared_to_the_last_byte_and_in_time(tmp_path):
    contents = [bytes(10_000), bytes(9_000), bytes(5_000) + b'x' + bytes(4_999), bytes(3_000) + b'x' + bytes(6_999)]
    paths = [str(tmp_path / f'{i}.bmp') for i in range(6)]
    for path, content in zip(paths, [*contents, contents[3], contents[0]]):
        with open(path, 'wb') as file:
            file.write(content)
    missing = str(tmp_path / 'missing.bmp')
    assert find_copies([*paths, missing], math.inf) == Copies({paths[4]: paths[3], paths[5]: paths[0]})
    late = find_copies(paths, -math.inf)
    assert late == Copies({}, is_complete=False)
    (finding,) = copy_findings(late, 6)
    assert str(finding) == 'note: copies were not searched to the end: the time was too short'


def test_names_within_a_folder(photos):
    save(photos.parent / 'photos2' / 'x.png')
    listing = list_images(['photos', 'photos2'])
    assert listing.title == 'photos, photos2'
    assert [listing.name(path) for path in listing.paths] == [f'{i}.png' for i in range(10)] + ['x.png']
    assert list_images('photos').title == 'photos'  # one name instead of several


def test_a_folder_is_refused_without_waiting_for_imports(photos):
    code = (
        'import sys\nfrom lewel_plugins.planning.scan import scan\n'
        'try: scan(["phtos"])\nexcept ValueError as error: print(error)\n'
        'print([name for name in ("torch", "mmengine", "cv2", "numpy") if name in sys.modules])'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=dict(os.environ))
    assert result.stdout == 'phtos does not exist; did you mean photos?\n[]\n'
