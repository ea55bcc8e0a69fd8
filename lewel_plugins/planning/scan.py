"""A folder of images as facts and findings: listed, headers read, a draw decoded, copies found.

Nothing is written, and no file of the user is changed. Images are drawn by the hash of their name, so that the same
folder gives the same draw; only the time may shorten it, and then findings name how many were tried.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lewel_plugins.image_files.inspection import Inspection

from .copies import Scenes, copy_findings, find_copies, find_scenes, scene_findings
from .decoding import inspect_files
from .drawing import ContentDraw
from .facts import Folder
from .findings import Finding, plural
from .headers import Headers, header_findings, read_headers
from .listing import Listing, check_count, list_images, listing_findings
from .pixels import broken_findings, pixel_findings

# Shares of the time for the whole check.
_HEADERS, _DECODING, _COPIES, _SCENES = 1 / 6, 1 / 4, 1 / 12, 1 / 12
_LARGE, _WORKERS = 64, 2  # images from which further processes decode, and how many


@dataclass(frozen=True)
class Scan:
    """What was found in the images that the user named.

    Args:
        images: Sorted paths of the images to use: without copies, and without files that are known to be broken.
        folder: Numbers for the plan.
        findings: What the user should know; :func:`size_findings` has the rest, once the size of views is known.
        listing: All files.
        headers: Their headers, for :func:`size_findings`.
        left_out: Broken and too large files, with the reason: the lines of ``broken_images.txt``.
        copies: Copies with their originals, the rows of ``duplicates.csv``.
        distinct: One image per scene, the lines of ``distinct.txt``; None unless many images are nearly identical.
        draw: Draws images by their content.
        digests: Digests of the content of the images that were decoded.
    """

    images: list[str]
    folder: Folder
    findings: list[Finding]
    listing: Listing
    headers: Headers
    left_out: dict[str, str]
    copies: dict[str, str]
    distinct: list[str] | None
    draw: ContentDraw = field(default_factory=ContentDraw, compare=False)
    digests: Mapping[str, str] = field(default_factory=dict)


def scan(
    arguments: Sequence[str | os.PathLike],
    seconds: float = 120,
    num_headers: int = 20_000,
    num_decoded: int = 2000,
    workers: int | None = None,
    progress: Callable[[str, str], None] = lambda part, text: None,
) -> Scan:
    """Look at the images that a user names.

    Args:
        arguments: Folders, image files, ``.txt`` lists.
        seconds: Time for a whole check, of which this takes at most about 60%.
        num_headers: Headers to read.
        num_decoded: Images to decode.
        workers: Processes that decode; 0 to decode in this one. By default two, and none for a small folder.
        progress: Receives name and result of each part that is over.

    Raises:
        SetupError: Something does not exist or cannot be read, or there are fewer than two images.
    """
    listing = list_images(arguments)
    total = len(listing.paths)
    progress('list', f'{plural(total, "image")} in {listing.title}')
    if workers is None:
        workers = _WORKERS if total >= _LARGE else 0
    draw = listing.draw(max(num_headers, num_decoded))
    headers = read_headers(draw[:num_headers], total, time.monotonic() + _HEADERS * seconds)
    progress('headers', f'{headers.tried:,} of {total:,} files')
    draw = [path for path in draw if path not in headers.too_large]
    inspections = inspect_files(draw[:num_decoded], time.monotonic() + _DECODING * seconds, workers)
    broken = {**headers.broken, **_reasons(inspections)}
    progress('decode', f'{len(inspections):,} of {total:,} files, {len(broken):,} broken')
    usable = [path for path in listing.paths if path not in broken and path not in headers.too_large]
    copies = find_copies(usable, time.monotonic() + _COPIES * seconds)
    images = [path for path in usable if path not in copies.originals]
    scenes, further = _scenes(images, draw, inspections, time.monotonic() + _SCENES * seconds, workers)
    broken.update(further)
    images = [path for path in images if path not in further]
    progress('copies', plural(len(copies.originals), 'copy', 'copies'))
    decodable = total - len(headers.too_large)
    findings = [
        *listing_findings(listing),
        *header_findings(headers),
        *broken_findings(_reasons(inspections), len(inspections), decodable, broken),
        *pixel_findings(inspections, decodable),
        *copy_findings(copies, total),
        *scene_findings(scenes),
    ]
    if not any(finding.level == 'error' for finding in findings):
        check_count(listing.title, len(images), 'image that can be used')
    share = len(_reasons(inspections)) / max(1, len(inspections))
    folder = Folder(
        num_images=len(images),
        num_files=total,
        num_broken=max(len(broken), round(share * decodable)),
        num_copies=len(copies.originals),
        median_short_side=headers.median_short_side,
    )
    left_out = {**headers.too_large, **broken}
    digests = {path: inspection.digest for path, inspection in inspections.items() if inspection.digest}
    return Scan(
        images, folder, findings, listing, headers, left_out, copies.originals, scenes.distinct, digests=digests
    )


def _reasons(inspections: Mapping[str, Inspection]) -> dict[str, str]:
    return {path: inspection.reason for path, inspection in inspections.items() if inspection.reason}


def _scenes(
    images: list[str], draw: Sequence[str], inspections: Mapping[str, Inspection], deadline: float, workers: int
) -> tuple[Scenes, dict[str, str]]:
    """Return the scenes, and files that turn out to be broken on the way, with the reason."""
    known = dict(inspections)

    def hashes(paths: Sequence[str]) -> dict[str, int | None]:
        known.update(inspect_files([path for path in paths if path not in known], deadline, workers))
        results = {path: known[path] for path in paths if path in known}
        return {path: None if result.reason else result.difference_hash for path, result in results.items()}

    scenes = find_scenes(images, draw, hashes)
    return scenes, {path: reason for path, reason in _reasons(known).items() if path not in inspections}
