"""``lewel report``: a page about a run, or about several."""

import contextlib
import io
import os
from pathlib import Path

from lewel_plugins.planning.arguments import optional_path, path_list

from .outputs import check_output

_ENDINGS = ('.html', '.htm')  # names of reports end so


def report(*runs: str | os.PathLike, out: str | os.PathLike | None = None, images: bool = True) -> Path:
    """Write the report of a run, finished or not, or one that compares several.

    Args:
        *runs: Folders of runs, of this package's command or of ``tools/train.py``.
        out: File to write; by default ``report.html`` in the folder of a single run, or ``comparison.html`` here.
        images: Whether to show images of the folder.

    Returns:
        The file, which needs no network and runs no script.

    Raises:
        SetupError: A folder is not that of a training, the file cannot be written, or it is a file of a run, but no
            earlier report.
    """
    folders, file = [Path(run) for run in path_list('RUN', runs)], optional_path('--out', out)
    if file is not None:
        check_output('--out', Path(file), lambda path: path.suffix in _ENDINGS)
    with contextlib.redirect_stdout(io.StringIO()):  # libraries print while they are imported
        from lewel_plugins.reporting.report import write_report

        return write_report(folders, None if file is None else Path(file), images)
