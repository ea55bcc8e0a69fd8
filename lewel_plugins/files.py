"""Write files such that a kill at any moment leaves a whole file or none."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

from lewel_plugins.errors import SetupError

_PARTIAL = '.partial'
# Some file systems, such as those of FUSE, cannot wait for a folder.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
# Errors of file systems that do not rename over a file; after any other one, such as EIO, the old file stays.
_NO_REPLACE = (errno.EEXIST, errno.EPERM, errno.EACCES, errno.ENOTSUP)
_OPENED = ('/dev/fd/', '/dev/stderr', '/dev/stdout', '/proc/')


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file in one step: yield a temporary path to write to, and rename it to ``path`` when the block ends.

    A kill, a full disk or a power cut leaves either the old file or the new one. If the block raises, the old file
    stays and the temporary one is removed.

    Args:
        path: File to write or replace. Its folder is created if it is missing. A symbolic link stays, and what it leads
            to is replaced.

    Raises:
        SetupError: The path is a device or a pipe.

    Yields:
        The temporary path, in the same folder. After a kill the file remains there, and :func:`leftovers` lists it.
    """
    path = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise SetupError(f'{path} is a device or a pipe, not a file that can be replaced')
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}{_PARTIAL}')
    try:
        yield partial
        _sync(partial)
        _rename(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno and error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _rename(partial: Path, path: Path) -> None:
    try:
        os.replace(partial, path)
        return
    except OSError as error:
        if error.errno not in _NO_REPLACE or not path.is_file():
            raise
    # Some network file systems do not rename over a file. A kill between these lines leaves no file of this name, but
    # the old one beside it.
    old = path.with_name(f'.{path.name}.{os.getpid()}.old')
    os.rename(path, old)
    try:
        os.rename(partial, path)
    except OSError:
        os.rename(old, path)
        raise
    old.unlink()


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def is_stream(path: str | Path) -> bool:
    """Return whether a path names a pipe, a device, or a file that a process has opened, as ``/dev/stdout`` does."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(mode) and (not stat.S_ISREG(mode) or os.path.abspath(path).startswith(_OPENED))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, see :func:`replacing`, or to the end of a stream, see :func:`is_stream`."""
    if is_stream(path):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), 'wb') as stream:
            stream.write(content)
        return
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, see :func:`replacing`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write a json file, see :func:`replacing`."""
    write_text(path, json.dumps(content, indent=1) + '\n')


def write_checkpoint(path: str | Path, content: Any) -> None:
    """Write a file with ``torch.save``, see :func:`replacing`. Equal contents give equal bytes under any file name."""
    import torch  # here, because tools that only write text should start fast

    # torch gets an open file, because it stores the name of a file that it opens itself: here the temporary name.
    with replacing(path) as partial, partial.open('wb') as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # after an error of the disk, torch complains about its position in the file
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def leftovers(folder: str | Path, ending: str) -> list[Path]:
    """Return the partial files that killed writers of files with this ending have left behind in a folder.

    The list includes partial files of writers that are still running.
    """
    return sorted(Path(folder).glob(f'*{ending}*{_PARTIAL}'))


def read_json(path: str | Path) -> Any:
    """Return the content of a json file; None if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None


def read_json_lines(path: str | Path) -> Iterator[Any]:
    """Yield the values of a file with one json text per line; a line that a killed process has torn is left out."""
    for line in Path(path).read_text(encoding='utf-8', errors='replace').splitlines():
        with suppress(ValueError, RecursionError):
            yield json.loads(line)


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, reading 1 MiB at a time."""
    with open(path, 'rb') as file:
        return stream_digest(file)


def stream_digest(file: IO[bytes] | RawIOBase) -> str:
    """Return the SHA-256 of the rest of an open file, see :func:`file_digest`."""
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()
