"""What the headers of the images announce: sizes, channels, files that are too large or no images."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median_low

from lewel_plugins.image_files.bounds import MAX_PIXELS, Coding, UndecodableError, pixel_limit
from lewel_plugins.image_files.headers import Header, read_header
from lewel_plugins.image_files.packed import image_status

from .findings import Finding, among, plural, show

_LEAST = 100  # headers that are read whatever the time


@dataclass
class Headers:
    """The headers of the images that were drawn.

    Attributes:
        total: Number of images of which they were drawn.
        headers: Headers by path.
        broken: Files without a readable header, with the reason.
        too_large: Files with more pixels or bytes than are decoded, with the reason.
    """

    total: int
    headers: dict[str, Header] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    too_large: dict[str, str] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """Number of files whose header was read."""
        return len(self.headers) + len(self.broken) + len(self.too_large)

    @property
    def median_short_side(self) -> int:
        """Median of the shorter sides; 0 without any image."""
        return median_low([min(h.width, h.height) for h in self.headers.values()]) if self.headers else 0


def read_headers(paths: Sequence[str], total: int, deadline: float) -> Headers:
    """Read the headers of files, the first ones if the time is short.

    Args:
        paths: The files, in the order of the draw.
        total: Number of files of which they were drawn.
        deadline: Time by ``time.monotonic`` after which no further one is read.
    """
    result = Headers(total)
    for number, path in enumerate(paths):
        if number >= _LEAST and time.monotonic() > deadline:
            break
        try:
            header = read_header(path)
        except OSError as error:
            result.broken[path] = f'cannot be read ({error.strerror or error})'
        except UndecodableError as error:
            if (size := image_status(path).size) > MAX_PIXELS:
                result.too_large[path] = f'has {size:,} bytes, more than the limit of {_million(None)}'
            else:
                result.broken[path] = str(error)
        else:
            if header.width * header.height > pixel_limit(header.coding):
                sides = f'{header.width:,} × {header.height:,} pixels'
                limit = _million(header.coding if header.width * header.height <= MAX_PIXELS else None)
                result.too_large[path] = f'claims {sides}, more than the limit of {limit}'
            else:
                result.headers[path] = header
    return result


def _million(coding: Coding | None) -> str:
    if coding is None:
        return f'{MAX_PIXELS / 1e6:.0f} million'
    return f'{pixel_limit(coding) / 1e6:.0f} million for {coding.value[0]}'


def header_findings(headers: Headers) -> list[Finding]:
    """Describe what the headers announce, but for sizes."""
    findings = []
    strange = [path for path, header in headers.headers.items() if not header.has_supported_channels]
    if strange:
        path = min(strange)
        rest = f' (and {plural(len(strange) - 1, "other file")})' if len(strange) > 1 else ''
        channels = plural(headers.headers[path].channels, 'channel')
        text = f'{show(path)}{rest} has {channels}; 1, 3 and 4 (RGBA, CMYK) are supported'
        findings.append(Finding('error', 'channels', text, tuple(sorted(strange))))
    if headers.too_large:
        path = min(headers.too_large)
        others = len(headers.too_large) - 1
        rest = f', as {"is" if others == 1 else "are"} {plural(others, "other file")}' if others else ''
        text = f'{show(path)} {headers.too_large[path]}; left out{rest}'
        findings.append(Finding('warning', 'pixels', text, tuple(sorted(headers.too_large))))
    cmyk = tuple(sorted(path for path, header in headers.headers.items() if header.is_cmyk))
    transparent = tuple(sorted(path for path, header in headers.headers.items() if header.is_transparent))
    parts = [f'{plural(len(cmyk), "CMYK image")} {"is" if len(cmyk) == 1 else "are"} converted to RGB'] if cmyk else []
    parts += [f'transparency in {plural(len(transparent), "image")} is dropped'] if transparent else []
    if parts:
        draw = '' if headers.tried >= headers.total else f'of {among(headers.tried, headers.total)}, '
        findings.append(Finding('note', 'colors', draw + '; '.join(parts), cmyk + transparent))
    return findings


def size_findings(headers: Headers, view: int) -> list[Finding]:
    """Describe the sizes of the images beside that of the views, which the plan derives from them.

    Args:
        headers: The headers.
        view: Side of the views in pixels.
    """
    sizes = {path: (header.width, header.height) for path, header in headers.headers.items()}
    if not sizes:
        return []
    findings = []
    smallest, largest = (pick(sizes.values(), key=lambda size: size[0] * size[1]) for pick in (min, max))
    if largest[0] * largest[1] >= 2 * smallest[0] * smallest[1]:
        span = ' to '.join(f'{width:,} × {height:,}' for width, height in (smallest, largest))
        findings.append(Finding('note', 'sizes', f'images range from {span}; each view is a {view} × {view} crop'))
    small = tuple(sorted(path for path, size in sizes.items() if 2 * min(size) < view))
    if small:
        draw = '' if headers.tried >= headers.total else ' tried'
        count = f'{len(small):,} of {len(sizes):,} images{draw}'
        verb = 'is' if len(small) == 1 else 'are'
        text = (
            f'{count} {verb} under {(view + 1) // 2} px on a side and {verb} enlarged more than twofold '
            '(small_images.txt)'
        )
        findings.append(Finding('note', 'small', text, small))
    return findings
