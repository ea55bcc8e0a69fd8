"""Write the report of a training, or of several."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json, write_text

from .page import judge_run, render
from .pictures import Pictures, make_pictures
from .run_data import read_runs
from .verdicts import Verdict

MOST_BYTES = 3_000_000
MOST_RUNS = 24
PAGE, VERDICTS = 'report.html', 'verdicts.json'
QUALITIES = (60, 35, 15)  # qualities of the thumbnails, until the page is small enough


def write_report(runs: str | Path | Sequence[str | Path], out: str | Path | None = None, images: bool = True) -> Path:
    """Write a page about a training, finished or interrupted, or one that compares several.

    It is one file of at most 3 MB that needs no network and runs no script. Beside ``report.html`` in the folder of its
    run, ``verdicts.json`` has the verdicts.

    Args:
        runs: Folder of a run, or several.
        out: File to write. By default ``report.html`` in the folder of the first run, or ``comparison.html`` in the
            current folder for several.
        images: Whether to show images, which takes the last checkpoint and the images of the config. A report of
            several runs has none.

    Returns:
        Path of the file.

    Raises:
        SetupError: A folder is not that of a training, there are too many, or the file cannot be written.
    """
    folders = [runs] if isinstance(runs, (str, Path)) else list(runs)
    if not 1 <= len(folders) <= MOST_RUNS:
        raise SetupError(f'a report is about 1 to {MOST_RUNS} runs, got {len(folders)}')
    data = read_runs(folders)
    own = Path(folders[0]) / PAGE
    default = own if len(data) == 1 else Path('comparison.html')
    path = default if out is None else Path(out)
    if path.is_dir():
        raise SetupError(f'{path} is a folder; name a file such as {path / PAGE}')
    pictures = make_pictures(data[0]) if images and len(data) == 1 else None
    page = _small_page(data, pictures)
    try:
        write_text(path, page)
        if len(data) == 1 and path.resolve() == own.resolve():
            verdicts = [asdict(verdict) for verdict in judge_run(data[0], pictures).verdicts]
            write_json(own.with_name(VERDICTS), dict(steps=data[0].steps, verdicts=verdicts))
    except OSError as error:
        raise SetupError(f'cannot write {path}: {error.strerror or error}') from None
    return path


def main_verdict(run: str | Path) -> Verdict:
    """Return the gravest verdict on a run: that of its report, or by its curves alone without one of its last step.

    Args:
        run: The folder of the run.

    Raises:
        SetupError: It is not that of a training.
    """
    (data,) = read_runs([run])
    recorded = read_json(Path(run) / VERDICTS)
    with suppress(KeyError, IndexError, TypeError):  # in a file that this package has not written
        if recorded['steps'] == data.steps:
            return Verdict(**recorded['verdicts'][0])
    return judge_run(data, None).main


def _small_page(data: list, pictures: Pictures | None) -> str:
    """Return the page with the best thumbnails with which it is small enough, or else without any."""
    for quality in QUALITIES if pictures else ():
        page = render(data, pictures, quality)
        if len(page.encode()) <= MOST_BYTES:
            return page
    return render(data, None)
