import hashlib
from typing import NamedTuple


class Inspection(NamedTuple):
    """What the pixels of a file are like.

    Attributes:
        reason: Why it cannot be decoded; empty if it can.
        is_gray: Whether all channels are equal.
        bits: Bits that the values of a 16-bit image use if these are at most 12, otherwise 0.
        difference_hash: Whether neighbors in a row of the image, reduced to 9 × 8, become brighter, as 64 bits.
        digest: Digest of the file's content, see :func:`content_digest`; empty if it cannot be decoded.
    """

    reason: str = ''
    is_gray: bool = False
    bits: int = 0
    difference_hash: int = 0
    digest: str = ''


def content_digest(data: bytes) -> str:
    """Return the digest of the content of a file as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
