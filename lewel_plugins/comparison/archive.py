"""Finished runs of a comparison in one small file, so that they count on another machine, too.

The file has all that a report reads of a run: notes, results, sessions, the resolved config and the scalars of the
training. It has no checkpoints. So a comparison can be made in pieces on machines that are lent, and its numbers can be
checked, and further rows added, without training the finished ones again. Several comparisons can write to one file at
the same time; ``FILE.lock`` beside it keeps them apart.
"""

import io
import lzma
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_bytes
from lewel_plugins.running.jobs import lock

from .run import Run

_PATTERNS = ('*.json', 'launch/*.py', '*/vis_data/scalars.json')
_PATIENCE = 60.0  # seconds to wait for another process that adds its runs, which takes a few
_COMMENT = 'runs of lewel_plugins, version 1'


def write_archive(runs: Iterable[Run], path: Path) -> int:
    """Add the finished runs to a file. Those in it that are of other configs, seeds or rows stay.

    Args:
        runs: The runs of a comparison.
        path: The file, a tar archive that xz compresses. Equal runs give equal bytes.

    Returns:
        The number of finished runs.

    Raises:
        SetupError: There is a file that is no archive of runs, or another process is writing it.
    """
    done = [run for run in runs if run.is_done()]
    # Another comparison may add its runs to the same file, and must not do so between reading and writing.
    descriptor = lock(path.with_name(f'{path.name}.lock'), _PATIENCE)
    if descriptor is None:
        raise SetupError(f'{path} is being written by another process; run it again with --report-only to add the runs')
    try:
        contents = _read(path)
        contents.update({_name(run): _files(run.work_dir) for run in done})
        write_bytes(path, _pack(contents))
    finally:
        os.close(descriptor)
    return len(done)


def _pack(contents: Mapping[str, Mapping[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:xz', pax_headers=dict(comment=_COMMENT)) as tar:
        for run, files in sorted(contents.items()):
            for name, content in sorted(files.items()):
                entry = tarfile.TarInfo(f'{run}/{name}')
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def read_archive(runs: Iterable[Run], path: Path, for_report: Path | None = None) -> tuple[int, int]:
    """Unpack those runs of an archive that have not been started here.

    The name of a run's folder has the digest of its config, so a run of another config is another run. A run that is
    trained, but misses a post command or had another one, is left out, because the archive has no checkpoint for it.

    Args:
        runs: The runs of a comparison.
        path: The archive. A missing file is one without runs.
        for_report: Folder for the runs that are otherwise left out, as long as no more than a report is made of them.

    Returns:
        The number of runs that were taken, and of those that were left out.

    Raises:
        SetupError: The file is no archive of runs.
    """
    contents = _read(path)
    new = [run for run in runs if _name(run) in contents and not run.work_dir.is_dir()]
    left_out = 0
    for run in new:
        if not _unpack(contents[_name(run)], run):
            if for_report is None:
                left_out += 1
            else:
                _write(contents[_name(run)], for_report / _name(run))
                run.use(for_report / _name(run))
    return len(new) - left_out, left_out


def _read(path: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each run by their names in its folder."""
    contents: dict[str, dict[str, bytes]] = {}
    if not path.exists():
        return contents
    try:
        with tarfile.open(path, 'r:xz') as tar:
            if tar.pax_headers.get('comment') != _COMMENT:
                raise SetupError(f'{path} is not an archive of runs; tools/compare.py --archive writes one')
            for entry in tar:
                row, folder, name = entry.name.split('/', 2)
                content = tar.extractfile(entry) if entry.isfile() and _is_of_run(name) else None
                if content is None:
                    raise SetupError(f'{path} is not an archive of runs: it has {entry.name!r}')
                contents.setdefault(f'{row}/{folder}', {})[name] = content.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise SetupError(f'{path} is not an archive of runs: {error}') from None
    return contents


def _is_of_run(name: str) -> bool:
    """Return whether a file can be one of a run, and so lies in its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts:
        return False
    # `match` compares the end of a path.
    return any(path.match(pattern) and len(path.parts) == pattern.count('/') + 1 for pattern in _PATTERNS)


def _unpack(files: Mapping[str, bytes], run: Run) -> bool:
    """Write the files of a run if it is done. A kill leaves its whole folder or none."""
    folder = run.work_dir
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own, so that no file of a killed process gets into the run, nor of one that unpacks it as well.
    with tempfile.TemporaryDirectory(prefix='.', suffix='.partial', dir=folder.parent) as temporary:
        partial = Path(temporary) / folder.name
        _write(files, partial)
        if not all(run.steps_done(partial)):
            return False
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # Another process has unpacked it first.
    return True


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        write_bytes(folder / name, content)


def _name(run: Run) -> str:
    return f'{run.row_folder}/{run.work_dir.name}'


def _files(folder: Path) -> dict[str, bytes]:
    paths = {path for pattern in _PATTERNS for path in folder.glob(pattern)}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
