"""The json file that rows are written to as soon as they are measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.running.provenance import now

from .rows import Row

ORIGIN = ('commit', 'device', 'driver', 'torch', 'cuda', 'cudnn')


class Record:
    """Results of rows, each with the commit, device and versions that it was measured with.

    Args:
        path: The json file; its folder is created if it is missing.
        origin: Commit, device and versions of this run.
        any_commit: Whether results of other commits count as well.

    Raises:
        SetupError: The file is not one that this class has written.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any], any_commit: bool = False) -> None:
        self.path, self.any_commit = path, any_commit
        self.origin = {name: origin[name] for name in ORIGIN if name in origin}
        self.rows = read_rows(path) if path.exists() else []

    def find(self, row: Row) -> dict[str, Any] | None:
        """Return the result of a row that was measured with this device, commit and these settings, if any."""
        return next((entry for entry in self.rows if self._is_of(entry, row)), None)

    def _is_of(self, entry: dict[str, Any], row: Row) -> bool:
        return (
            (entry['part'], entry['name']) == (row.part, row.name)
            and entry['settings'] == _json(row.settings)
            and (self.any_commit or entry['origin']['commit'] == self.origin['commit'])
            and (not row.needs_gpu or entry['origin'].get('device') == self.origin.get('device'))
        )

    def add(self, row: Row, seconds: float, **outcome: Any) -> dict[str, Any]:
        """Write a row to the file, in the place of an earlier result.

        Args:
            row: The row.
            seconds: How long it took.
            outcome: ``result`` or ``error``, and ``finished=False`` if it is to go on.
        """
        entry: dict[str, Any] = dict(
            part=row.part, name=row.name, settings=_json(row.settings), origin=self.origin, date=now()
        )
        entry.update(seconds=round(seconds, 1), **outcome)
        same_device = entry['origin'].get('device') if row.needs_gpu else None
        self.rows = [
            other
            for other in self.rows
            if (other['part'], other['name']) != (row.part, row.name)
            or (row.needs_gpu and other['origin'].get('device') != same_device)
        ]
        self.rows.append(entry)
        write_json(self.path, dict(rows=self.rows))
        return entry


def _json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are read back from json, without paths, which differ between machines."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.items()
        if not isinstance(value, Path)
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows in a file.

    Raises:
        SetupError: The file has none.
    """
    if not path.exists():
        raise SetupError(f'{path} does not exist')
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get('rows'), list):
        raise SetupError(f'{path} is not a record of tools/gpu_check.py: move it away, or choose another --out')
    return content['rows']
