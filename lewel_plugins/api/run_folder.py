"""A folder of a run: the request, the plan, the images, and how far the training is."""

import ast
import csv
import gzip
import io
import os
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import leftovers, read_json, write_bytes, write_json, write_text
from lewel_plugins.image_files.packed import image_status
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.image_files.tree import RUN_LOCK, RUN_NOTES
from lewel_plugins.planning.arguments import path_text, place_from, same_place, seen_from
from lewel_plugins.planning.findings import show
from lewel_plugins.running.jobs import holder, lock

if TYPE_CHECKING:
    from mmengine.config import Config

PLAN, BEGUN = RUN_NOTES  # the plan, and the request while the folder is first written
CONFIG, IMAGES, CHECK = 'config.py', 'images.txt.gz', 'check.json'
BROKEN, DUPLICATES, DISTINCT, HOLDOUT = 'broken_images.txt', 'duplicates.csv', 'distinct.txt', 'holdout.txt'
LOG, LOCK, FINISHED, SESSIONS = 'train.log', RUN_LOCK, 'finished.json', 'sessions.json'
MONITORED, START, BACKBONE, REPORT = 'monitored.txt', 'start/weights.pth', 'backbone.safetensors', 'report.html'
SMALL, BANK, QUERIES = 'small_images.txt', 'labeled_bank.txt', 'labeled_queries.txt'
_FOLDER = '{{ fileDirname }}'
_ADVICE = 'put back a copy of it, or choose another --out'
_VARIABLE = re.compile(r'\{\{\s*(\$|_base_\.|file[A-Z])')  # what mmengine replaces in the text of a config
_PATHS = ('images', 'labels', 'from', 'weights', 'pretrained', 'start', 'data')  # options that name files


@contextmanager
def reading(file: Path, advice: str = _ADVICE) -> Iterator[None]:
    """Turn whatever a damaged file of a run leads to into one line that names it.

    Args:
        file: The file, which the block reads and takes apart.
        advice: What the user can do.

    Raises:
        SetupError: The block has raised an error.
    """
    try:
        yield
    except SetupError:
        raise
    except Exception as error:  # gzip, csv, json and Python each have their own
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, (KeyError, AttributeError)):
            reason = f'it lacks {reason}'
        raise SetupError(f'{show(file)} cannot be read: {reason}; {advice}') from None


class RunFolder:
    """A folder that one run has to itself.

    Args:
        path: The folder, which need not exist.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path_text('--out', path))

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def is_new(self) -> bool:
        """Whether there is no run in it yet."""
        return not (self / PLAN).is_file()

    @property
    def is_finished(self) -> bool:
        """Whether its training has ended."""
        return (self / FINISHED).is_file()

    @property
    def summary(self) -> Path:
        """What there is to look at: the report, or else the folder."""
        return self / REPORT if (self / REPORT).is_file() else self.path

    def record(self) -> dict[str, Any]:
        """Return what ``plan.json`` records.

        Raises:
            SetupError: It cannot be read.
        """
        return self._read(PLAN)

    def planned(self, name: str) -> Any:
        """Return the value of a setting of the plan.

        Raises:
            SetupError: ``plan.json`` cannot be read, or has no such setting.
        """
        with reading(self / PLAN):
            return self.record()['plan'][name]['value']

    def config(self) -> 'Config':
        """Return the config.

        Raises:
            SetupError: It cannot be read.
        """
        from mmengine.config import Config

        with reading(self / CONFIG):
            return Config.fromfile(self / CONFIG)

    def _read(self, name: str) -> dict[str, Any]:
        content = read_json(self / name)
        if not isinstance(content, dict) or not isinstance(content.get('request'), dict):
            raise SetupError(f'{show(self / name)} cannot be read; {_ADVICE}')
        return content

    def check_place(self) -> None:
        """Refuse a place where no folder can be.

        Raises:
            SetupError: It lies in a file, its name is too long, or nothing can be written there.
        """
        path = self.path.absolute()
        try:
            existing = next(place for place in (path, *path.parents) if place.exists())
        except OSError as error:
            raise SetupError(f'cannot write to {show(self.path)}: {(error.strerror or str(error)).lower()}') from None
        if existing == path and not path.is_dir():
            raise SetupError(f'{show(self.path)} is a file; choose another --out')
        if not existing.is_dir():
            raise SetupError(f'cannot write to {show(self.path)}: {show(existing)} is a file')
        if not os.access(existing, os.W_OK):
            is_read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
            reason = 'read-only file system' if is_read_only else 'permission denied'
            raise SetupError(f'cannot write to {show(self.path)}: {reason}')

    def check(self, request: Mapping[str, Any]) -> None:
        """Refuse a folder that holds something else.

        Args:
            request: The options that shape the run.

        Raises:
            SetupError: It holds another run, whose differences are named, or files that are of no run, or no config can
                name it.
        """
        check_config_path(self.path)
        is_begun = self.is_new and (self / BEGUN).is_file()
        if self.is_new and not is_begun:
            self.check_place()
            if self._holds_others():
                raise SetupError(f'{show(self.path)} is not empty and holds no run; choose another --out')
            return
        name = BEGUN if is_begun else PLAN
        record = self._read(name)
        with reading(self / name):
            places = self._places(record)
        changes = []
        for name, value in request.items():
            typed = record['request'].get(name)
            place = places.get(name, typed)
            if not _is_same(name, place, value):
                changes.append(f'{name} {_text(place if typed == value else typed)}, not {_text(value)}')
        if changes:
            raise SetupError(
                f'{show(self.path)} holds another run ({"; ".join(changes)}); choose another --out or delete the folder'
            )

    def write_record(self, request: Mapping[str, Any], name: str = PLAN, **rest: Any) -> None:
        """Write down the request, and where the files lie that it names, as seen from this folder.

        Args:
            request: The options that shape the run.
            name: The file.
            rest: What else the file holds.
        """
        folder = self.path.resolve()
        places = {option: seen_from(folder, request[option]) for option in _PATHS if option in request}
        write_json(self / name, dict(request=dict(request), places=places, **rest))

    def _places(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return where the files lie that a recorded request names, whatever the working folder is now.

        None of those that are not there, as after a move of this folder alone: they count as they were typed. So do all
        in runs of earlier versions, which recorded no places.
        """
        folder = self.path.resolve()
        places = {name: place_from(folder, place) for name, place in record.get('places', {}).items()}
        return {name: place for name, place in places.items() if _exists(place)}

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the run for this process, and yield the lock's descriptor.

        Raises:
            SetupError: Another process trains it, or the folder cannot be written to.
        """
        try:
            descriptor = lock(self / LOCK, patience=0.0)
        except OSError as error:
            raise SetupError(f'cannot write to {show(self.path)}: {(error.strerror or str(error)).lower()}') from None
        if descriptor is None:
            number = holder(self / LOCK)
            by = 'another process' if number is None else f'process {number}'
            raise SetupError(f'{show(self.path)} is being trained by {by}')
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _holds_others(self) -> bool:
        """Return whether there is more than what a start that was killed leaves before it has begun to write."""
        if not self.path.is_dir():
            return False
        own = {LOCK, *(path.name for path in leftovers(self.path, BEGUN))}
        return any(name not in own for name in os.listdir(self.path))

    @contextmanager
    def first_written(self, request: Mapping[str, Any], names: Sequence[str]) -> Iterator[None]:
        """Write a run to a folder that holds none, such that the same command goes on after a kill at any moment.

        The folder is locked, and was checked. The block writes ``plan.json`` last.

        Args:
            request: The options that shape the run.
            names: Files that the block may write: those of a start that was killed are removed.

        Raises:
            SetupError: Something was written to the folder since it was checked.
        """
        if not (self / BEGUN).is_file():
            if self._holds_others():
                raise SetupError(f'{self.path} is not empty and holds no run; choose another --out')
            self.write_record(request, BEGUN)
        for name in names:
            (self / name).unlink(missing_ok=True)
        for path in [self / name for name in (*names, BEGUN, PLAN)]:
            for partial in leftovers(path.parent, f'.{path.name}.'):
                partial.unlink()
        yield
        (self / BEGUN).unlink()

    def write_config(self, text: str) -> None:
        """Write a config that names files of this folder, which may move, as ``{{ fileDirname }}/…``."""
        quotes = _quotes(os.path.abspath(self.path))
        assert quotes is not None, 'check_config_path refuses the path'
        write_text(self / CONFIG, _quoted(text, quotes))

    def write_images(self, paths: Sequence[str], root: str, digests: Mapping[str, str]) -> None:
        """Write the list of images to train on, by which :mod:`snapshot` notices changes.

        Args:
            paths: The images.
            root: Folder that the paths in the list start from. Size in bytes, digest and time of the last change in
                nanoseconds follow them.
            digests: Digests of the content of some of them.
        """
        lines = []
        for path in paths:
            status = image_status(path)
            columns = status.size, digests.get(path, ''), status.time
            lines.append(path_line(os.path.relpath(path, root), *columns))
        write_bytes(self / IMAGES, gzip.compress(encode_lines(lines), mtime=0))

    def write_paths(self, name: str, paths: Iterable[str]) -> None:
        """Write a list of paths, one per line."""
        write_bytes(self / name, encode_lines(map(path_line, paths)))

    def write_labeled(self, name: str, rows: Iterable[tuple[str, int]], root: str) -> None:
        """Write a list of images with the numbers of their classes."""
        write_bytes(self / name, encode_lines(path_line(os.path.relpath(path, root), label) for path, label in rows))

    def write_findings(self, findings: Sequence[Any], left_out: Mapping[str, str], copies: Mapping[str, str]) -> None:
        """Write what the scan has found."""
        rows = [dict(level=f.level, code=f.code, text=f.text, files=list(f.files)) for f in findings]
        write_json(self / CHECK, dict(findings=rows))
        if left_out:
            lines = [path_line(path, reason) for path, reason in left_out.items()]
            write_bytes(self / BROKEN, encode_lines(lines))
        for finding in findings:
            if finding.code == 'small':
                self.write_paths(SMALL, finding.files)
        if copies:
            table = io.StringIO(newline='')
            csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator='\n').writerows(
                [('copy', 'original'), *copies.items()]
            )
            write_bytes(self / DUPLICATES, encode_lines([table.getvalue()]))


def check_config_path(path: str | os.PathLike) -> None:
    """Refuse a folder of a run whose path cannot be pasted into the text of a config, as mmengine does.

    Args:
        path: The folder.

    Raises:
        SetupError: Its absolute path holds something that mmengine or Python would change or not accept.
    """
    text = os.path.abspath(path)
    checks = {
        'a backslash': '\\' in text,
        'a carriage return': '\r' in text,
        'bytes that are no text': any('\udc80' <= character <= '\udcff' for character in text),
        'a variable of mmengine': _VARIABLE.search(text),
        'quotation marks of both kinds': _quotes(text) is None,
    }
    kind = next((kind for kind, is_there in checks.items() if is_there), None)
    if kind is not None:
        raise SetupError(f'{show(text)} holds {kind}, which no config can name; choose another --out')


def check_data_root(path: str) -> None:
    """Refuse a folder of images that mmengine would replace by another one.

    Raises:
        SetupError: Its path holds a variable of mmengine.
    """
    if _VARIABLE.search(path):
        raise SetupError(f'{show(path)} holds a variable of mmengine, which no config can name; rename the folder')


def _quotes(path: str) -> str | None:
    """Return quotes that a path does not close; None if it closes both."""
    fitting = (quotes for quotes in ('"""', "'''") if quotes not in path and path[-1:] != quotes[0])
    return next(fitting, None)


def _quoted(text: str, quotes: str) -> str:
    """Put the folder of a config in quotes that the path of none closes; mmengine pastes it into the text.

    Args:
        text: Text of the config.
        quotes: Quotes of three characters.
    """
    lines = text.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type != tokenize.STRING or _FOLDER not in token.string:
            continue
        rest = ast.literal_eval(token.string).removeprefix(_FOLDER)
        (row, start), (_, end) = token.start, token.end
        line = lines[row - 1]
        lines[row - 1] = f'{line[:start]}r{quotes}{_FOLDER}{quotes} {rest!a}{line[end:]}'
    return ''.join(lines)


def _is_same(name: str, recorded: Any, value: Any) -> bool:
    return same_place(recorded, value) if name in _PATHS else bool(recorded == value)


def _exists(paths: Any) -> bool:
    several = paths if isinstance(paths, list) else [paths]
    return all(isinstance(path, str) and os.path.exists(path) for path in several)


def _text(value: Any) -> str:
    return 'none' if value is None else str(value)
