"""What a training leaves in its work dir."""

import json
from pathlib import Path

from lewel_plugins.errors import SetupError

LAST_CHECKPOINT = 'last_checkpoint'  # mmengine's name for the file that names the last checkpoint
STOPPED = 'stopped.pth'  # the checkpoint of a run that was stopped within an epoch, until the next regular one
STOPPED_STATUS = 75  # exit status of a run that was stopped; EX_TEMPFAIL of sysexits.h: try again later
_NO_METRICS = ('step', 'time', 'data_time')


def find_last_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the path of a run's last checkpoint; None before the first.

    The file ``last_checkpoint`` holds the path as it was when the checkpoint was written. If the folder has moved
    since, the checkpoint is expected in the folder.
    """
    note = Path(work_dir) / LAST_CHECKPOINT
    if not note.is_file():
        return None
    recorded = Path(note.read_text(encoding='utf-8').strip())
    beside = note.with_name(recorded.name)
    return recorded if recorded.is_file() and not beside.is_file() else beside


def list_checkpoints(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints of a run that is to be resumed: the last one, then the others, newest first.

    Without ``last_checkpoint``, which a kill can remove on a file system that does not rename over files, the newest
    one counts as the last.
    """
    last = find_last_checkpoint(work_dir)
    folder = last.parent if last else Path(work_dir)
    others = (path for path in folder.glob('*.pth') if path != last)
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


def last_metrics(work_dir: str | Path) -> dict[str, float]:
    """Return the metrics of a run's last validation.

    Raises:
        SetupError: There was none.
    """
    metrics: dict[str, float] = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            record = json.loads(line)
            if 'lr' not in record:
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
    points: dict[int, float] = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            record = json.loads(line)
            if name in record:
                points[record['step']] = record[name]
    return dict(sorted(points.items()))
