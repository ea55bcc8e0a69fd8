"""Decoded images equal those of Pillow for every format, and every kind of damage is detected."""

import io
import pickle
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from lewel_plugins.image_files.bounds import UndecodableError
from lewel_plugins.image_files.decode import BrokenImageError, decode_bgr, naming_broken_image

pytestmark = pytest.mark.core

RAMP = np.linspace(0, 255, 48 * 40).reshape(48, 40)
PICTURE = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 60)], -1).astype(np.uint8)
PICTURE[:10, :12] = (250, 10, 20)  # with this image, every orientation and channel order shows


def picture(mode: str = 'RGB') -> Image.Image:
    image = Image.fromarray(PICTURE)
    if mode == 'RGBA':
        image.putalpha(Image.fromarray(RAMP.astype(np.uint8)))
    return image.convert(mode)


def encode(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = value
    return exif.tobytes()


def decode(data: bytes) -> np.ndarray:
    """Decode a file's content and turn it to RGB."""
    img = decode_bgr(data)
    assert img.dtype == np.uint8 and img.ndim == 3 and img.shape[2] == 3
    return img[..., ::-1]


FILES = {
    'jpeg': encode(picture(), 'JPEG'),
    'jpeg-progressive': encode(picture(), 'JPEG', progressive=True),
    'jpeg-gray': encode(picture('L'), 'JPEG'),
    'jpeg-cmyk': encode(picture('CMYK'), 'JPEG'),
    'png': encode(picture(), 'PNG'),
    'png-gray': encode(picture('L'), 'PNG'),
    'png-1-bit': encode(picture('1'), 'PNG'),
    'png-gray-alpha': encode(picture('LA'), 'PNG'),
    'png-rgba': encode(picture('RGBA'), 'PNG'),
    'png-palette': encode(picture('P'), 'PNG'),
    'png-palette-transparent': encode(picture('P'), 'PNG', transparency=3),
    'webp': encode(picture(), 'WEBP'),
    'webp-rgba': encode(picture('RGBA'), 'WEBP', lossless=True, exact=True),
    'bmp': encode(picture(), 'BMP'),
    'tiff': encode(picture(), 'TIFF'),
    'tiff-cmyk': encode(picture('CMYK'), 'TIFF'),
    'gif': encode(picture(), 'GIF'),
    **{
        f'{file_format}-turned-{value}': encode(picture(), file_format, exif=orientation(value))
        for file_format in ('JPEG', 'PNG', 'WEBP', 'TIFF')
        for value in (3, 5, 6, 8)
    },
}


@pytest.mark.parametrize('name', FILES)
def test_equals_pillow(name):
    with Image.open(io.BytesIO(FILES[name])) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert('RGB')).astype(int)
    decoded = decode(FILES[name])
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= 1  # decoders may round differently


def test_png_turned_as_imagemagick_writes_it():
    """ImageMagick writes EXIF as hexadecimal digits in a text chunk."""
    exif = orientation(6)
    info = PngImagePlugin.PngInfo()
    info.add_text('Raw profile type exif', f'\nexif\n{len(exif):8}\n{exif.hex()}\n', zip=True)
    file = encode(picture(), 'PNG', pnginfo=info)
    with Image.open(io.BytesIO(file)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert expected.shape != np.asarray(picture()).shape
    assert np.array_equal(decode(file), expected)


@pytest.mark.parametrize(('suffix', 'channels'), [('.png', 1), ('.png', 3), ('.png', 4), ('.tif', 1), ('.tif', 3)])
def test_16_bit_is_scaled(suffix, channels):
    gray = np.linspace(0, 65535, 48 * 40).reshape(48, 40).round().astype(np.uint16)
    wide = gray if channels == 1 else np.dstack([gray, gray[::-1], gray[:, ::-1], gray][:channels])
    expected = np.round(wide / 257)
    expected = np.dstack([expected] * 3) if channels == 1 else expected[..., 2::-1]
    decoded = decode(cv2.imencode(suffix, wide)[1].tobytes())
    assert np.abs(decoded - expected).max() <= 1
    assert decoded.max() == 255 and decoded.min() == 0


def tiff(planes: np.ndarray, photometric: int, planar: int = 1) -> bytes:
    """Encode an uncompressed TIFF of 16 bits, with one strip for each plane."""
    count, height, width = (1, *planes.shape[:2]) if planar == 1 else planes.shape
    samples = planes.shape[2] if planar == 1 and planes.ndim == 3 else count
    first = 8 + 2 + 10 * 12 + 4
    tables = first + 2 * samples + 8 * count
    size = 2 * height * width * (samples if planar == 1 else 1)
    lists = [[16] * samples, [tables + i * size for i in range(count)], [size] * count]
    kinds = ['H', 'I', 'I']
    tags = {256: width, 257: height, 259: 1, 262: photometric, 277: samples, 278: height, 284: planar}
    entries = {tag: struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items()}
    extra = b''
    for tag, values, kind in zip((258, 273, 279), lists, kinds):
        packed = struct.pack(f'<{len(values)}{kind}', *values)
        inline = len(packed) <= 4
        value = packed.ljust(4, b'\0') if inline else struct.pack('<I', first + len(extra))
        extra += b'' if inline else packed
        entries[tag] = struct.pack('<HHI', tag, 3 if kind == 'H' else 4, len(values)) + value
    head = struct.pack('<2sHIH', b'II', 42, 8, len(entries)) + b''.join(entries[tag] for tag in sorted(entries))
    return (head + bytes(4) + extra).ljust(tables, b'\0') + planes.astype('<u2').tobytes()


@pytest.mark.parametrize(('photometric', 'is_negative'), [(0, True), (1, False)])
def test_gray_of_16_bits_is_white_at_the_right_end(photometric, is_negative):
    gray = np.linspace(0, 65535, 48 * 40).reshape(48, 40).round().astype(np.uint16)
    decoded = decode(tiff(65535 - gray if is_negative else gray, photometric))
    assert np.abs(decoded - np.round(gray / 257)[..., None]).max() <= 1


def test_planes_of_16_bits_are_refused():
    wide = PICTURE.astype(np.uint16) * 257
    assert np.array_equal(decode(tiff(wide, 2)), PICTURE)
    with pytest.raises(UndecodableError, match='16 bits in separate planes are not supported'):
        decode(tiff(wide.transpose(2, 0, 1), 2, planar=2))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
THUMBNAIL = encode(picture(), 'JPEG')
WITH_THUMBNAIL = b''.join(
    [
        encode(NOISE, 'JPEG')[:2],
        b'\xff\xe1' + (len(THUMBNAIL) + 2).to_bytes(2, 'big') + THUMBNAIL,
        encode(NOISE, 'JPEG')[2:],
    ]
)
BROKEN = {
    'empty': b'',
    'text': b'this is no image',
    'jpeg-without-end': encode(NOISE, 'JPEG')[:-2],
    'jpeg-with-whole-thumbnail': WITH_THUMBNAIL[: len(WITH_THUMBNAIL) // 2],
    'png-signature': b'\x89PNG\r\n\x1a\neXIfIEND',
    'tiff-of-32-bits': encode(Image.fromarray(np.full((8, 8), 70000, np.int32)), 'TIFF'),
    'float-tiff': cv2.imencode('.tif', RAMP.astype(np.float32))[1].tobytes(),
    **{
        f'{file_format}-cut-at-{share}': encode(NOISE, file_format)[: int(share * len(encode(NOISE, file_format)))]
        for file_format in ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF')
        for share in (0.01, 0.5, 0.95)
    },
    **{
        f'{file_format}-half-zeros': encode(NOISE, file_format)[: len(encode(NOISE, file_format)) // 2] + bytes(9999)
        for file_format in ('JPEG', 'PNG')
    },
}


@pytest.mark.parametrize('name', BROKEN)
def test_broken_files_are_named(name):
    with pytest.raises(BrokenImageError) as error, naming_broken_image('folder/broken'):
        decode(BROKEN[name])
    assert error.value.path == 'folder/broken'
    assert str(error.value) == f'{error.value.path}: {error.value.reason}' and error.value.reason


def test_whole_files_with_a_thumbnail_or_a_tail_are_not_broken():
    plain = decode(encode(NOISE, 'JPEG'))
    assert np.array_equal(decode(WITH_THUMBNAIL), plain)
    assert np.array_equal(decode(encode(NOISE, 'JPEG') + bytes(100)), plain)


def test_error_survives_a_worker():
    error = pickle.loads(pickle.dumps(BrokenImageError('a.jpg', 'empty')))
    assert (error.path, error.reason) == ('a.jpg', 'empty')
