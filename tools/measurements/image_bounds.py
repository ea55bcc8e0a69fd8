"""Time and memory that a worker needs for the worst image files: the largest that are decoded, and those made to hurt.

Each file is loaded by ``LoadRGB`` in a process of its own, with one thread. Time is processor time, memory is the
largest increase of the resident set while the file is read and decoded.

python tools/measurements/image_bounds.py --out docs/results/image_bounds.md
"""

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lewel_plugins.files import write_text
from lewel_plugins.image_files.bounds import MAX_PIXELS, Coding
from lewel_plugins.running import provenance
from lewel_plugins.transforms import BrokenImageError, LoadRGB

MAX_SECONDS, MAX_MEGABYTES = 2.0, 500.0
Image.MAX_IMAGE_PIXELS = None


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time and memory of a worker for the worst image files.')
    parser.add_argument('--only', nargs='+', metavar='WORD', help='files with one of these words in their names')
    parser.add_argument('--out', type=Path, help='markdown file to write')
    parser.add_argument('--load', type=Path, help=argparse.SUPPRESS)  # what the processes are started with
    return parser.parse_args()


def picture(coding: Coding, channels: int = 3, noise: float = 0.0) -> np.ndarray:
    """Return a smooth picture, or one with noise, of as many pixels as are decoded from a coding."""
    side = int((coding.value[1] * MAX_PIXELS) ** 0.5)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (side // 16, side // 16, channels), dtype=np.uint8)
    image = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    if noise:
        tile = rng.integers(0, int(noise), (512, 512, channels), dtype=np.uint8)
        image = image + np.tile(tile, (side // 512 + 1, side // 512 + 1, 1))[:side, :side]
    return image


def pillow(image: np.ndarray, file_format: str, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if mode is None else Image.fromarray(image).convert(mode)).save(
        buffer, file_format, **options
    )
    return buffer.getvalue()


def opencv(suffix: str, image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, image, options)[1].tobytes()


def orientation() -> bytes:
    exif = Image.Exif()
    exif[0x112] = 6
    return exif.tobytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def png_with(chunks: bytes) -> bytes:
    plain = pillow(np.zeros((64, 64, 3), np.uint8), 'PNG')
    return plain[:33] + chunks + plain[33:]


def jpeg_of_many_scans(width: int, height: int, scans: int) -> bytes:
    plain = pillow(np.full((height, width), 128, np.uint8), 'JPEG', progressive=True)
    last = plain[plain.rfind(b'\xff\xda') : -2]
    return plain[:-2] + last * scans + b'\xff\xd9'


def jpeg_with(segments: bytes) -> bytes:
    plain = pillow(np.zeros((64, 64, 3), np.uint8), 'JPEG')
    return plain[:2] + segments + plain[2:]


def tiff(width: int, height: int, *tags: tuple[int, int, int, int], tail: bytes = b'') -> bytes:
    """Return a gray TIFF with further tags (number, type, count, value)."""
    usual = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries = b''.join(struct.pack('<HHII', *entry) for entry in sorted([*usual, *tags]))
    return b'II*\0' + struct.pack('<IH', 8, len(usual) + len(tags)) + entries + bytes(4) + tail


def announcing(data: bytes, place: int, size: bytes) -> bytes:
    """Return a file whose header announces another size."""
    return data[:place] + size + data[place + len(size) :]


_TEXT = zlib.compress(bytes(7_900_000), 9)
_HUGE = struct.pack('>II', 60_000, 60_000)
_SMALL = np.zeros((64, 64, 3), np.uint8)
LARGEST: dict[str, Callable[[], bytes]] = {
    'JPEG': lambda: opencv('.jpg', picture(Coding.JPEG, noise=30)),
    'JPEG, quality 100': lambda: opencv('.jpg', picture(Coding.JPEG), cv2.IMWRITE_JPEG_QUALITY, 100),
    'JPEG, turned': lambda: pillow(picture(Coding.JPEG), 'JPEG', exif=orientation()),
    'JPEG, progressive': lambda: pillow(
        picture(Coding.PROGRESSIVE_JPEG, noise=60), 'JPEG', progressive=True, quality=95, subsampling=0
    ),
    'JPEG, CMYK': lambda: pillow(picture(Coding.CMYK_JPEG, noise=60), 'JPEG', 'CMYK'),
    'PNG': lambda: opencv('.png', picture(Coding.PNG, noise=15)),
    'PNG, one color': lambda: opencv('.png', np.zeros_like(picture(Coding.PNG))),
    'PNG, RGBA, turned': lambda: pillow(picture(Coding.PNG, 4), 'PNG', exif=orientation(), compress_level=1),
    'PNG, palette': lambda: pillow(picture(Coding.PNG), 'PNG', 'P', compress_level=1),
    'PNG, 16 bits': lambda: opencv('.png', picture(Coding.PNG_16, noise=30).astype(np.uint16) * 257),
    'WebP': lambda: opencv('.webp', picture(Coding.WEBP, noise=30), cv2.IMWRITE_WEBP_QUALITY, 95),
    'WebP, lossless': lambda: pillow(picture(Coding.WEBP), 'WEBP', lossless=True, quality=0, method=0),
    'WebP, RGBA, turned': lambda: pillow(
        picture(Coding.EXTENDED_WEBP, 4), 'WEBP', lossless=True, quality=0, method=0, exif=orientation()
    ),
    'BMP': lambda: pillow(picture(Coding.RAW)[: MAX_PIXELS // 3 // 5500], 'BMP'),
    'TIFF, LZW, turned': lambda: pillow(picture(Coding.RAW), 'TIFF', compression='tiff_lzw', exif=orientation()),
    'TIFF, deflate': lambda: pillow(picture(Coding.RAW), 'TIFF', compression='tiff_deflate'),
    'TIFF, 16-bit gray': lambda: pillow(picture(Coding.RAW)[..., 0].astype(np.uint16) * 257, 'TIFF'),
    'TIFF, 16-bit color': lambda: opencv('.tif', picture(Coding.TIFF_16).astype(np.uint16) * 257),
    'GIF': lambda: pillow(np.zeros_like(picture(Coding.GIF)), 'GIF'),
}
HOSTILE: dict[str, Callable[[], bytes]] = {
    'JPEG of 60,000 x 60,000': lambda: announcing(
        jpeg_with(b''), jpeg_with(b'').find(b'\xff\xc0') + 5, struct.pack('>HH', 60_000, 60_000)
    ),
    'PNG of 60,000 x 60,000': lambda: announcing(png_with(b''), 16, _HUGE),
    'BMP of 60,000 x 60,000': lambda: announcing(pillow(_SMALL, 'BMP'), 18, struct.pack('<II', 60_000, 60_000)),
    'TIFF of 60,000 x 60,000': lambda: tiff(60_000, 60_000),
    'TIFF of 64 x 64, one tile of 60,000 x 60,000': lambda: tiff(64, 64, (322, 4, 1, 60_000), (323, 4, 1, 60_000)),
    'TIFF, 5,000 tags of the same 60 MB': lambda: tiff(
        64, 64, *((i + 300, 1, 60_000_000, 8) for i in range(5000)), tail=bytes(60_000_000)
    ),
    'TIFF of 1,000,000 strips': lambda: tiff(
        1, 1_000_000, (273, 4, 1_000_000, 122), (278, 3, 1, 1), (279, 4, 1_000_000, 122), tail=bytes(4_000_000)
    ),
    'GIF of 60,000 x 60,000': lambda: announcing(pillow(_SMALL, 'GIF'), 6, struct.pack('<HH', 60_000, 60_000)),
    'GIF, 20 MB of comments': lambda: pillow(_SMALL, 'GIF')[:-1] + b'!\xfe' + b'\1a' * 10_000_000 + b'\0;',
    'WebP of 16,383 x 16,383': lambda: announcing(opencv('.webp', _SMALL), 26, struct.pack('<HH', 16383, 16383)),
    'JPEG of 65,500 x 500, 8 more scans': lambda: jpeg_of_many_scans(65_500, 500, 8),
    'JPEG of 65,500 x 500, 1,000 more scans': lambda: jpeg_of_many_scans(65_500, 500, 1000),
    'JPEG of 500 x 375, 4,000 more scans': lambda: jpeg_of_many_scans(500, 375, 4000),
    'JPEG of 16 x 16, 80,000 more scans': lambda: jpeg_of_many_scans(16, 16, 80_000),
    'JPEG, 1,300 segments of EXIF': lambda: jpeg_with(
        (b'\xff\xe1\xff\xffExif\0\0MM\0*\0\0\0\x08\x15\x55' + b'\1\1\0\7\0\0\xea\x60\0\0\0\x08' * 5459 + bytes(9))
        * 1300
    ),
    'JPEG, 20,000,000 empty segments': lambda: jpeg_with(b'\xff\xfe\0\2' * 20_000_000),
    'PNG, 400 texts of 8 MB': lambda: png_with(
        b''.join(png_chunk(b'zTXt', b'k%d\0\0' % i + _TEXT) for i in range(400))
    ),
    'PNG, 30 texts of 8 MB': lambda: png_with(b''.join(png_chunk(b'zTXt', b'k%d\0\0' % i + _TEXT) for i in range(30))),
    'PNG, color profile of 1 GB': lambda: png_with(png_chunk(b'iCCP', b'p\0\0' + zlib.compress(bytes(10**9), 9))),
    'PNG, 3,000,000 empty chunks': lambda: png_with(png_chunk(b'abCd', b'') * 3_000_000),
    'any file of 100 MB': lambda: jpeg_with(b'') + bytes(100_000_000),
}


def load(path: Path) -> None:
    """Load a file, and print seconds, megabytes and answer."""
    cv2.setNumThreads(1)
    LoadRGB()(dict(img=_SMALL))
    LoadRGB()._load(str(path.parent / 'small.jpg'))
    Path('/proc/self/clear_refs').write_text('5')  # resets the peak
    before, start = memory('VmRSS'), time.process_time()
    try:
        height, width = LoadRGB()._load(str(path)).shape[:2]
        answer = f'decoded, {width} x {height}'
    except BrokenImageError as error:
        answer = error.reason
    print(json.dumps([time.process_time() - start, memory('VmHWM') - before, answer]))


def memory(name: str) -> float:
    """Return an entry of this process's status in megabytes."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def measure(only: list[str] | None) -> Iterator[tuple[str, float, float, float, str]]:
    """Yield name, megabytes of the file, seconds, megabytes of memory, and answer for each file."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'small.jpg').write_bytes(jpeg_with(b''))
        for name, make in {**LARGEST, **HOSTILE}.items():
            if only and not any(word in name for word in only):
                continue
            path = Path(folder) / 'file'
            path.write_bytes(make())
            command = [sys.executable, __file__, '--load', str(path)]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
            if done.returncode:
                raise SystemExit(f'error: {name}: {done.stderr[-2000:]}')
            yield name, path.stat().st_size / 1e6, *json.loads(done.stdout)


def main() -> None:
    args = parse_args()
    if args.load:
        return load(args.load)
    table = ['| file | MB | seconds | MB of memory | answer |', '|---|---|---|---|---|']
    print('\n'.join(table))
    worst = [0.0, 0.0]
    for name, size, seconds, megabytes, answer in measure(args.only):
        table.append(f'| {name} | {size:.1f} | {seconds:.2f} | {megabytes:.0f} | {answer} |')
        print(table[-1], flush=True)
        worst = [max(worst[0], seconds), max(worst[1], megabytes)]
    end = f'The most: {worst[0]:.2f} s and {worst[1]:.0f} MB. Bounds: {MAX_SECONDS:g} s and {MAX_MEGABYTES:g} MB.'
    print(end)
    if args.out:
        head = f'`python tools/measurements/image_bounds.py`, commit {provenance.commit()}, {provenance.machine()}.'
        write_text(args.out, '\n'.join(['# Bounds on image files', '', head, '', *table, '', end, '']))
    if worst[0] > MAX_SECONDS or worst[1] > MAX_MEGABYTES:
        raise SystemExit('error: a file takes more')


if __name__ == '__main__':
    main()
