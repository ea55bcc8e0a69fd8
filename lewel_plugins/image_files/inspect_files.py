"""What the pixels of an image file are like; as a program, for the paths that another process sends.

The program keeps a decoder that crashes, or never returns, out of the process that starts it. It writes a line when
it is ready, and then reads one path per line and writes one :class:`Inspection` per line, both as json.
"""

import json
import sys

import cv2
import numpy as np

from .decode import BrokenImageError, decode_bgr, decode_jpeg, naming_broken_image, read_file
from .headers import is_jpeg, read_jpeg_header
from .inspection import Inspection, content_digest

_ENOUGH = 256  # pixels that a side keeps if a JPEG is decoded at reduced size
_GRAY = 2  # least difference of two channels that is a color
_TWELVE_BITS = 4095


def inspect(path: str) -> Inspection:
    """Decode a file as training does, within the same bounds, and describe its pixels."""
    try:
        with naming_broken_image(path):
            data = read_file(path)
            bgr = _decode(data)
    except BrokenImageError as error:
        return Inspection(error.reason)
    except MemoryError:
        return Inspection('decoding it needs more memory than there is')
    spread = cv2.absdiff(bgr[..., 0], bgr[..., 1]).max(), cv2.absdiff(bgr[..., 1], bgr[..., 2]).max()
    is_gray = bool(max(spread) < _GRAY)
    return Inspection('', is_gray, _used_bits(data, bgr), difference_hash(bgr), content_digest(data))


def difference_hash(bgr: np.ndarray) -> int:
    """Return the difference hash of an image (H, W, 3), which changes little if the image does."""
    gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), 'big')


def _decode(data: bytes) -> np.ndarray:
    """Return BGR; a large JPEG at reduced size, where the decoder still reads every byte of it."""
    if not is_jpeg(data):
        return decode_bgr(data)
    header = read_jpeg_header(data)
    side = min(header.height, header.width)
    reduction = max(factor for factor in (1, 2, 4, 8) if factor == 1 or side // factor >= _ENOUGH)
    return decode_jpeg(data, header, reduction)


def _used_bits(data: bytes, bgr: np.ndarray) -> int:
    if bgr.max() > (_TWELVE_BITS + 128) // 257 or is_jpeg(data):
        return 0
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.max() > _TWELVE_BITS:
        return 0
    return max(1, int(raw.max()).bit_length())


def main() -> None:
    """Inspect the files whose paths arrive, until there are no more."""
    cv2.setNumThreads(0)
    print('ready', flush=True)
    for line in sys.stdin.buffer:
        print(json.dumps(inspect(json.loads(line))), flush=True)


if __name__ == '__main__':
    main()
