"""Leave out the labeled images that cannot be decoded, before the training and its measurements meet them."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.decoding import inspect_files
from lewel_plugins.planning.findings import refuse_errors, show
from lewel_plugins.planning.pixels import broken_findings

from .labels import LabeledImage, Labels

SAMPLE = 2000  # images to train on that are decoded, as in a pretraining, whose hooks replace the others
_IN_THIS_PROCESS = 64  # images up to which further processes do not pay
_MOST_WORKERS = 8
_LONG = 10**9  # seconds: however long it takes


def without_broken(labels: Labels, cores: int, say: Callable[[str], None]) -> Labels:
    """Decode all images to measure on, and up to 2,000 of those to train on, and leave out the broken ones.

    Args:
        labels: The labels.
        cores: Cores that this process may use.
        say: Receives a line with the counts.

    Raises:
        SetupError: More than 1% are broken, or no labeled image is left on a side; names the first one.
    """
    sample = sorted((image.path for image in labels.train), key=_hash)[:SAMPLE]
    paths = sorted({image.path for image in labels.val}.union(sample))
    total = len({image.path for image in (*labels.train, *labels.val)})
    workers = min(cores, _MOST_WORKERS) if len(paths) > _IN_THIS_PROCESS else 0
    inspections = inspect_files(paths, _LONG, workers)
    reasons = {path: inspection.reason for path, inspection in inspections.items() if inspection.reason}
    say(f'decoded {len(paths):,} of {total:,} labeled images, {len(reasons):,} broken')
    if not reasons:
        return labels
    findings = broken_findings(reasons, len(paths), total, listed='check.json')
    refuse_errors(findings)
    train, val = (tuple(image for image in part if image.path not in reasons) for part in (labels.train, labels.val))
    for part, use in ((train, 'train'), (val, 'measure')):
        _check_labels(part, use, reasons)
    return replace(labels, train=train, val=val, findings=(*findings, *labels.findings))


def _hash(path: str) -> tuple[bytes, str]:
    return hashlib.blake2b(os.fsencode(os.path.basename(path)), digest_size=8).digest(), path


def _check_labels(images: Sequence[LabeledImage], use: str, reasons: dict[str, str]) -> None:
    if not any(image.mask or not all(box.is_ignored for box in image.boxes) for image in images):
        path = min(reasons)
        raise SetupError(
            f'no image with labels to {use} on can be decoded; the first broken one is {show(path)}: {reasons[path]}'
        )
