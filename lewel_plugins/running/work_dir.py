"""What a training leaves in its work dir."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json_lines

LAST_CHECKPOINT = 'last_checkpoint'  # mmengine's name for the file that names the last checkpoint
STOPPED = 'stopped.pth'  # the checkpoint of a run that was stopped within an epoch, until the next regular one
EARLIER = 'earlier_checkpoints.json'  # those that were there when torchrun started, see `restarts`
STOPPED_STATUS = 75  # exit status of a run that was stopped; EX_TEMPFAIL of sysexits.h: try again later
_NO_METRICS = ('step', 'time', 'data_time')
_CHECKPOINT = re.compile(r'(epoch|iter)_\d+\.pth|best_.*\.pth')


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is, by its name, a checkpoint that a training has written."""
    named = path.name == STOPPED or _CHECKPOINT.fullmatch(path.name) is not None
    return named or path == find_last_checkpoint(path.parent)


def holds_training(folder: Path) -> bool:
    """Return whether a folder is the work dir of a training that has started."""
    return (folder / LAST_CHECKPOINT).is_file() or any(folder.glob('*/vis_data'))


def find_last_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the path of a run's last checkpoint; None before the first.

    The file ``last_checkpoint`` holds the path as it was when the checkpoint was written. If the folder has moved
    since, the checkpoint is expected in the folder.
    """
    note = Path(work_dir) / LAST_CHECKPOINT
    try:
        recorded = Path(note.read_text(encoding='utf-8').strip())
    except (OSError, UnicodeDecodeError):
        return None
    if not recorded.name:  # a file system without room has left an empty note
        return None
    beside = note.with_name(recorded.name)
    return recorded if recorded.is_file() and not beside.is_file() else beside


def list_checkpoints(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints of a run that is to be resumed: the last one, then the others, newest first.

    Without ``last_checkpoint``, which a kill can remove on a file system that does not rename over files, the newest
    one counts as the last.
    """
    last = find_last_checkpoint(work_dir)
    folder = last.parent if last else Path(work_dir)
    others = (path for path in folder.glob('*.pth') if path != last and path.is_file())
    return [*filter(None, [last]), *sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)]


def last_checkpoint(work_dir: str | Path) -> Path:
    """Return the path of a run's last checkpoint, see :func:`find_last_checkpoint`.

    Raises:
        SetupError: There is none.
    """
    path = find_last_checkpoint(work_dir)
    if path is None:
        raise SetupError(f'{work_dir} has no {LAST_CHECKPOINT}')
    return path


def _records(work_dir: str | Path) -> Iterator[dict[str, Any]]:
    """Yield what all starts of a run have logged, in the order of the starts."""
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        yield from (record for record in read_json_lines(file) if isinstance(record, dict))


def _is_validation(record: dict[str, Any]) -> bool:
    return 'lr' not in record and 'iter' not in record  # one of them is in all that is logged in training


def has_validation(work_dir: str | Path, step: int) -> bool:
    """Return whether a run has logged a validation at a step, which is an epoch or an iteration as its logger counts.

    Args:
        work_dir: Folder of the run.
        step: Number of the step.
    """
    return any(_is_validation(record) and record.get('step') == step for record in _records(work_dir))


def last_metrics(work_dir: str | Path) -> dict[str, float]:
    """Return the metrics of a run's last validation.

    Raises:
        SetupError: There was none.
    """
    metrics: dict[str, float] = {}
    for record in _records(work_dir):
        if _is_validation(record):
            metrics = {name: value for name, value in record.items() if name not in _NO_METRICS}
    if not metrics:
        raise SetupError(f'{work_dir} has no validation in */vis_data/scalars.json')
    return metrics


def metric_curve(work_dir: str | Path, name: str) -> dict[int, float]:
    """Return a metric of validation by iteration, over all starts of a run.

    Args:
        work_dir: Folder of the run.
        name: Name of the metric, such as ``knn/top1_k20``.
    """
    points = {record['step']: record[name] for record in _records(work_dir) if name in record}
    return dict(sorted(points.items()))
