"""A measurement's table, printed row by row, and its files."""

from pathlib import Path
from typing import Any

from lewel_plugins.files import write_json, write_text
from lewel_plugins.running import provenance


class Report:
    """Rows of a measurement with the commit, machine and date of its start.

    Args:
        title: Title of the markdown file.
        columns: Heads of the table's columns.
    """

    def __init__(self, title: str, *columns: str) -> None:
        self.title = title
        self.origin = provenance.record()
        self.rows: list[dict[str, Any]] = []
        self.lines = [f'| {" | ".join(columns)} |', '|---' * len(columns) + '|']
        print('\n'.join(self.lines), flush=True)

    def add(self, row: dict[str, Any], *cells: object) -> None:
        """Add a row: all its figures for the json file, and the cells of the table."""
        self.rows.append(row)
        self.lines.append(f'| {" | ".join(map(str, cells))} |')
        print(self.lines[-1], flush=True)

    def write(self, out: Path | None, legend: str, **settings: Any) -> None:
        """Write a json file with all figures and settings, and beside it the table in markdown.

        Args:
            out: The json file; None for no files.
            legend: What the table shows; a module's docstring without its first line.
            settings: Settings of the measurement, for the json file.
        """
        if out is None:
            return
        write_json(out, dict(**self.origin, **settings, rows=self.rows))
        table, legend = '\n'.join(self.lines), ' '.join(legend.split())
        notes = '\n'.join(f'- {name}: {value}' for name, value in self.origin.items())
        write_text(out.with_suffix('.md'), f'# {self.title}\n\n{table}\n\n{legend}\n\n{notes}\n')
