"""The report of a suite: markdown and json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lewel_plugins.comparison.run import flatten
from lewel_plugins.files import write_json, write_text

from .suite import option_text

_NO_MEASURES = ('seed', 'seconds')


def write_suite_report(record: dict[str, Any], pictures: Sequence[Path], out: Path) -> str:
    """Write evaluation.md and evaluation.json.

    Args:
        record: The results, and where they come from.
        pictures: Pictures to show, in ``out``.
        out: Folder of the report.

    Returns:
        The markdown.
    """
    text = suite_markdown(record, [picture.relative_to(out) for picture in pictures])
    write_text(out / 'evaluation.md', text)
    write_json(out / 'evaluation.json', record)
    return text


def suite_markdown(record: dict[str, Any], pictures: Sequence[Path]) -> str:
    """Return the table of results, where they come from, and the pictures, by their paths from the markdown file."""
    lines = [f'# Evaluation of {record["checkpoint"]}', '', '| protocol | measure | value |', '|---|---|---|']
    for name, metrics in record['evaluation'].items():
        numbers = flatten({key: value for key, value in metrics.items() if key not in _NO_MEASURES})
        lines += [f'| {name} | {measure} | {_cell(measure, value)} |' for measure, value in numbers.items()]
    lines += ['', *_origin_lines(record), '']
    if record['options']:
        options = ', '.join(f'{key}={option_text(value)}' for key, value in record['options'].items())
        lines += [f'With {options}, each only in the configs of its own protocols.', '']
    lines += [f'- {name} failed: {reason}' for name, reason in record['failed'].items()]
    lines += [f'![{picture.stem}](<{picture.as_posix()}>)' for picture in pictures]
    return '\n'.join(lines) + '\n'


def _origin_lines(record: dict[str, Any]) -> list[str]:
    """Return the seed, and commit, machine and date: one for all protocols, or a list if they differ."""
    dates: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for name in record['evaluation']:
        origin = record['origins'].get(name)
        source = f'{origin["commit"]}; {origin["machine"]}' if origin else 'by a version that recorded no commit'
        names.setdefault(source, []).append(name)
        dates[source] = max(dates.get(source, ''), f'; {origin["date"]}' if origin else '')
    seed = f'Seed {record["seed"]}'
    if len(names) == 1:
        return [f'{seed}; {source}{dates[source]}.' for source in names]
    return [f'{seed}.', '', *(f'- {", ".join(group)}: {source}{dates[source]}' for source, group in names.items())]


def _cell(measure: str, value: float) -> str:
    """Format percent with two digits and fractions with three. −1 in COCO means that there was nothing to measure."""
    if measure.startswith('coco/') and value < 0:
        return '–'
    return f'{value:.2f}' if abs(value) >= 1 else f'{value:.3f}'
