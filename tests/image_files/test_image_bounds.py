"""A file that announces more than a worker can decode is refused before a decoder sees it."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lewel_plugins.image_files import decode
from lewel_plugins.image_files.bounds import (
    MAX_PIXELS,
    Coding,
    UndecodableError,
    check_pixels,
    read_orientation,
    read_tags,
)
from lewel_plugins.image_files.decode import decode_bgr
from lewel_plugins.transforms import BrokenImageError, LoadRGB, LoadViews

pytestmark = pytest.mark.core

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
GRAY_16 = PICTURE[..., 0].astype(np.uint16) * 257


def encode(file_format: str, image: np.ndarray = PICTURE, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, file_format, **options)
    return buffer.getvalue()


FILES = {
    Coding.JPEG: encode('JPEG'),
    Coding.PROGRESSIVE_JPEG: encode('JPEG', progressive=True),
    Coding.CMYK_JPEG: encode('JPEG', mode='CMYK'),
    Coding.PNG: encode('PNG'),
    Coding.PNG_16: encode('PNG', GRAY_16),
    Coding.WEBP: encode('WEBP'),
    Coding.EXTENDED_WEBP: encode('WEBP', exif=Image.Exif().tobytes()),
    Coding.RAW: encode('TIFF'),
    Coding.GIF: encode('GIF'),
    Coding.TIFF_16: cv2.imencode('.tif', np.dstack([GRAY_16] * 3))[1].tobytes(),
}


@pytest.mark.parametrize('coding', FILES, ids=lambda coding: coding.name)
def test_no_decoder_sees_an_image_with_too_many_pixels(coding, monkeypatch):
    data = FILES[coding]
    monkeypatch.setattr(decode, 'check_file_size', lambda size, max_pixels: None)
    share = coding.value[1]
    enough = -int(-60 * 80 // share)
    assert decode_bgr(data, enough).shape == (60, 80, 3)
    monkeypatch.setattr(cv2, 'imdecode', None)
    monkeypatch.setattr(Image.Image, 'load', None)
    monkeypatch.setattr(decode, '_bgr_of', None)
    with pytest.raises(UndecodableError, match=rf'^80 x 60 = 4800 pixels are too many: at most \d+ are .*{enough - 8}'):
        decode_bgr(data, enough - 8)


def test_other_codings_and_kinds_of_files_are_refused():
    arithmetic = FILES[Coding.JPEG].replace(b'\xff\xc0', b'\xff\xc9')
    for data in (arithmetic, encode('PPM'), encode('EPS'), encode('PNG')[:8] + bytes(4) + encode('PNG')[12:][:2]):
        with pytest.raises(UndecodableError, match='not supported|it is not a|does not start'):
            decode_bgr(data)
    run_length = bytearray(encode('BMP'))
    run_length[30] = 1
    with pytest.raises(UndecodableError, match='run-length'):
        decode_bgr(bytes(run_length))


def many_scans(number: int, height: int = 60) -> bytes:
    plain = encode('JPEG', np.full((height, 80), 128, np.uint8), progressive=True)
    last = plain[plain.rfind(b'\xff\xda') : -2]
    return plain[:-2] + last * number + b'\xff\xd9'


def test_progressive_jpegs_have_a_bounded_number_of_passes():
    usual = many_scans(0).count(b'\xff\xda')
    pixels = 10_000  # smaller images count as if they had as many
    assert decode.read_jpeg_header(many_scans(3)).scans == usual + 3
    assert decode_bgr(many_scans(3), pixels * 3).shape == (60, 80, 3)
    with pytest.raises(UndecodableError, match=f'in {usual + 30} scans takes too long to decode: at most 30 scans'):
        decode_bgr(many_scans(30), pixels * 3)
    assert decode.read_jpeg_header(FILES[Coding.JPEG]).scans == 0  # ordinary ones are not searched


def test_headers_of_jpegs_are_bounded():
    plain = FILES[Coding.JPEG]
    with pytest.raises(UndecodableError, match='more than 10000 segments'):
        decode_bgr(plain[:2] + b'\xff\xfe\0\2' * 10_001 + plain[2:])
    with pytest.raises(UndecodableError, match='more than 10000 segments'):
        decode_bgr(plain[:2] + b'\xff' * 10_001 + plain[2:])


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def test_compressed_texts_of_pngs_are_bounded():
    plain = FILES[Coding.PNG]
    text = png_chunk(b'zTXt', b'key\0\0' + zlib.compress(bytes(1000)))
    assert np.array_equal(decode_bgr(plain[:33] + text * 30 + plain[33:]), decode_bgr(plain))
    with pytest.raises(UndecodableError, match='31 compressed texts, at most 30 are read'):
        decode_bgr(plain[:33] + text * 31 + plain[33:])


def directory(*tags: tuple[int, int, int, int], tail: bytes = bytes(100)) -> bytes:
    entries = b''.join(struct.pack('<HHII', *tag) for tag in tags)
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + bytes(4) + tail


def test_tags_are_read_and_bounded():
    assert read_tags(directory((256, 4, 1, 70_000), (257, 3, 1, 9))) == {256: 70_000, 257: 9}
    assert read_tags(directory((256, 3, 1, 9), (256, 3, 1, 8)))[256] == 9
    assert read_orientation(b'Exif\0\0' + directory((0x112, 3, 1, 6))) == 6
    assert read_orientation(directory((0x112, 3, 1, 9))) == read_orientation(b'nothing') == 1
    large = [(i, 1, 1_000_000, 8) for i in range(17)]
    with pytest.raises(UndecodableError, match='its tags are too large: 1000000 values of tag 16'):
        read_tags(directory(*large))
    with pytest.raises(UndecodableError, match='200000 values of tag 273'):
        read_tags(directory((273, 4, 200_000, 8)))
    nested = directory((0x8769, 4, 1, 26), tail=directory(*large)[8:])
    with pytest.raises(UndecodableError, match='too large'):
        read_tags(nested)
    for damaged in (b'II*\0', b'II*\0\xff\xff\xff\xff', b'II+\0' + b'\xff' * 20):
        with pytest.raises(UndecodableError, match='damaged'):
            read_tags(damaged)


def test_a_tile_counts_with_the_memory_that_a_decoder_takes_for_it():
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (322, 4, 1, 60_000), (323, 4, 1, 60_000)]
    with pytest.raises(UndecodableError, match='60000 x 60000'):
        decode_bgr(directory(*tags))


def test_files_that_are_no_files_or_too_large_are_not_read(tmp_path):
    os.mkfifo(tmp_path / 'pipe.jpg')
    os.symlink('/dev/zero', tmp_path / 'zero.jpg')
    for name in ('pipe.jpg', 'zero.jpg'):
        with pytest.raises(BrokenImageError, match=f'{name}: it is not a regular file'):
            LoadRGB()(dict(img_path=str(tmp_path / name)))
    with open(tmp_path / 'sparse.jpg', 'wb') as file:
        file.truncate(2**40)
    with pytest.raises(BrokenImageError, match='a file of 1099511627776 bytes is too large: at most 89478485'):
        LoadRGB()(dict(img_path=str(tmp_path / 'sparse.jpg')))


def test_both_transforms_have_the_setting(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(FILES[Coding.JPEG])
    view = dict(size=4, crop_scale=(1.0, 1.0))
    small = dict(img_path=str(path))
    bound = 6000  # 2/3 of it are fewer than the 4800 pixels of the file
    assert len(path.read_bytes()) < bound
    with pytest.raises(BrokenImageError, match='4800 pixels are too many: at most 4000 are decoded from a JPEG '):
        LoadRGB(max_pixels=bound)(dict(small))
    assert LoadRGB(max_pixels=bound, may_halve=True)(dict(small))['ori_shape'] == (30, 40)
    assert np.array_equal(LoadRGB(may_halve=True)(dict(small))['img'], LoadRGB()(dict(small))['img'])
    for size in (4, 60):  # decoded at 1/2, also where the view alone would not allow it
        results = LoadViews([dict(view, size=size)], max_pixels=bound)(dict(small))
        assert results['img'][0].shape == (size, size, 3) and results['ori_shape'] == (60, 80)
    path.write_bytes(FILES[Coding.PROGRESSIVE_JPEG])  # which is never decoded at reduced size
    for transform in (LoadRGB(max_pixels=bound, may_halve=True), LoadViews([view], max_pixels=bound)):
        with pytest.raises(BrokenImageError, match='takes too long to decode'):
            transform(dict(small))
    for kind in (LoadRGB, lambda **options: LoadViews([view], **options)):
        with pytest.raises(ValueError, match='max_pixels must be at least 1, got 0'):
            kind(max_pixels=0)


def test_the_default_is_pillows_bound():
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    check_pixels(Coding.REDUCED_JPEG, 1, MAX_PIXELS, MAX_PIXELS)
    with pytest.raises(UndecodableError):
        check_pixels(Coding.REDUCED_JPEG, 1, MAX_PIXELS + 1, MAX_PIXELS)
