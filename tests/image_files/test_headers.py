"""A header announces what decoding gives, whatever the format, without reading the whole file."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from lewel_plugins.image_files.bounds import Coding, UndecodableError
from lewel_plugins.image_files.decode import decode_bgr
from lewel_plugins.image_files.headers import Header, format_of, read_header

pytestmark = pytest.mark.core
RGBA = np.random.default_rng(0).integers(0, 256, (30, 50, 4), dtype=np.uint8)
DEEP = RGBA.astype(np.uint16) * 257


def encode(file_format: str, mode: str = 'RGB', **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(RGBA if 'A' in mode else RGBA[..., :3])
    picture.convert(mode).save(buffer, file_format, **options)
    return buffer.getvalue()


def turned(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


FILES = {
    'jpeg': (encode('JPEG'), Header(Coding.REDUCED_JPEG, 50, 30)),
    'turned jpeg': (encode('JPEG', exif=turned()), Header(Coding.REDUCED_JPEG, 30, 50, orientation=6)),
    'mirrored jpeg': (encode('JPEG', exif=turned(2)), Header(Coding.REDUCED_JPEG, 50, 30, orientation=2)),
    'gray jpeg': (encode('JPEG', 'L'), Header(Coding.REDUCED_JPEG, 50, 30, 1)),
    'progressive jpeg': (encode('JPEG', progressive=True), Header(Coding.PROGRESSIVE_JPEG, 50, 30)),
    'cmyk jpeg': (encode('JPEG', 'CMYK'), Header(Coding.CMYK_JPEG, 50, 30, 4, is_cmyk=True)),
    'jpeg with a long profile': (encode('JPEG', icc_profile=bytes(200_000)), Header(Coding.REDUCED_JPEG, 50, 30)),
    'png': (encode('PNG'), Header(Coding.PNG, 50, 30)),
    'gray png': (encode('PNG', 'L'), Header(Coding.PNG, 50, 30, 1)),
    'palette png': (encode('PNG', 'P'), Header(Coding.PNG, 50, 30, 3)),
    'clear palette': (encode('PNG', 'P', transparency=0), Header(Coding.PNG, 50, 30, 3, is_transparent=True)),
    'png with alpha': (encode('PNG', 'RGBA'), Header(Coding.PNG, 50, 30, 4, is_transparent=True)),
    'gray png with alpha': (encode('PNG', 'LA'), Header(Coding.PNG, 50, 30, 2, is_transparent=True)),
    'deep png': (cv2.imencode('.png', DEEP[..., :3])[1].tobytes(), Header(Coding.PNG_16, 50, 30, 3, 16)),
    'webp': (encode('WEBP'), Header(Coding.WEBP, 50, 30)),
    'lossless webp': (encode('WEBP', lossless=True), Header(Coding.WEBP, 50, 30)),
    'webp with alpha': (encode('WEBP', 'RGBA'), Header(Coding.EXTENDED_WEBP, 50, 30, is_transparent=True)),
    'lossless webp with alpha': (
        encode('WEBP', 'RGBA', lossless=True),
        Header(Coding.WEBP, 50, 30, is_transparent=True),
    ),
    'tiff': (encode('TIFF'), Header(Coding.RAW, 50, 30)),
    'gray tiff': (encode('TIFF', 'L'), Header(Coding.RAW, 50, 30, 1)),
    'palette tiff': (encode('TIFF', 'P'), Header(Coding.RAW, 50, 30, 3)),
    'cmyk tiff': (encode('TIFF', 'CMYK'), Header(Coding.RAW, 50, 30, 4, is_cmyk=True)),
    'tiff with alpha': (encode('TIFF', 'RGBA'), Header(Coding.RAW, 50, 30, 4, is_transparent=True)),
    'deep tiff': (cv2.imencode('.tif', DEEP[..., :3])[1].tobytes(), Header(Coding.TIFF_16, 50, 30, 3, 16)),
    'deep gray tiff': (cv2.imencode('.tif', DEEP[..., 0])[1].tobytes(), Header(Coding.RAW, 50, 30, 1, 16)),
    'turned png': (encode('PNG', exif=turned()), Header(Coding.PNG, 30, 50, orientation=6)),
    'half turned png': (encode('PNG', exif=turned(3)), Header(Coding.PNG, 50, 30, orientation=3)),
    'turned webp': (encode('WEBP', exif=turned(8)), Header(Coding.EXTENDED_WEBP, 30, 50, orientation=8)),
    'turned tiff': (encode('TIFF', exif=turned()), Header(Coding.RAW, 30, 50, orientation=6)),
    'tiff of no orientation': (encode('TIFF', exif=turned(9)), Header(Coding.RAW, 50, 30)),
    'bmp': (encode('BMP'), Header(Coding.RAW, 50, 30)),
    'gif': (encode('GIF'), Header(Coding.GIF, 50, 30)),
}


@pytest.mark.parametrize('name', FILES)
def test_a_header_announces_what_is_decoded(tmp_path, name):
    data, expected = FILES[name]
    (tmp_path / 'image').write_bytes(data)
    header = read_header(str(tmp_path / 'image'))
    assert header == expected and header.has_supported_channels
    assert decode_bgr(data).shape == (header.height, header.width, 3)


@pytest.mark.parametrize(
    'name', [name for name in FILES if 'tif' not in name and name not in ('jpeg with a long profile', 'turned webp')]
)
def test_the_end_of_a_file_is_not_needed(tmp_path, name):
    data, expected = FILES[name]
    position = len(data) - 200 if 'jpeg' in name else 100 + data.find(b'IDAT')
    (tmp_path / 'image').write_bytes(data[:position])
    assert read_header(str(tmp_path / 'image')) == expected


@pytest.mark.parametrize('name', FILES)
def test_any_beginning_of_a_file_is_a_header_or_an_error(tmp_path, name):
    data = FILES[name][0]
    for length in range(0, min(len(data), 700), 7):
        (tmp_path / 'image').write_bytes(data[:length])
        with contextlib.suppress(UndecodableError):
            assert read_header(str(tmp_path / 'image')).width > 0


def test_files_that_are_no_images(tmp_path):
    for content, reason in ((b'', 'the file is empty'), (b'RIFF0000WAVE', 'it is not a JPEG, PNG, WebP')):
        with pytest.raises(UndecodableError, match=reason):
            format_of(content)
    with pytest.raises(OSError):
        read_header(str(tmp_path / 'missing'))


@pytest.mark.parametrize('size', [60, 300])
def test_the_orientation_of_a_png_may_follow_its_pixels(tmp_path, size):
    data = encode('PNG', exif=turned())
    start = data.find(b'eXIf') - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], 'big')]
    picture = np.random.default_rng(0).integers(0, 256, (size, 2 * size, 3), dtype=np.uint8)
    plain = cv2.imencode('.png', picture)[1].tobytes()  # the larger one does not fit into what is read at first
    moved = plain[:-12] + chunk + plain[-12:]
    (tmp_path / 'a.png').write_bytes(moved)
    header = read_header(str(tmp_path / 'a.png'), reads_end=True)
    assert (header.width, header.height, header.orientation) == (size, 2 * size, 6)
    assert decode_bgr(moved).shape == (2 * size, size, 3)
    assert read_header(str(tmp_path / 'a.png')).orientation == (6 if size == 60 else 1)
