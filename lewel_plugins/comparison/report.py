"""The report of a comparison: markdown, json and picture."""

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lewel_plugins.files import write_json, write_text
from lewel_plugins.running import provenance

from .claims import claims_table, judge
from .figure import draw_curves, draw_rows, draw_series
from .progress import duration
from .run import Run
from .spec import Comparison, Row
from .table import Results, as_json, collect, markdown_tables, series_tables


def write_report(comparison: Comparison, seeds: Sequence[int], runs: Sequence[Run], command: str, out: Path) -> Path:
    """Write ``<out>.md``, ``<out>.json`` and ``<out>.png``: curves, or the last values if there is no more than these.

    Args:
        comparison: The comparison.
        seeds: Its seeds, or others.
        runs: All its runs, whether they have finished or not.
        command: The command line, for the record.
        out: Path without suffix.

    Returns:
        The markdown file.
    """
    results = collect(comparison, seeds, runs)
    markdown, picture = _with_suffix(out, '.md'), _with_suffix(out, '.png')
    has_picture = _draw(results, picture)
    if not has_picture:
        picture.unlink(missing_ok=True)
    sessions = [session for run in runs if run.is_trained() for session in run.sessions()]
    record = dict(
        name=comparison.name,
        title=comparison.title,
        question=comparison.question,
        command=command,
        date=provenance.now(),
        commits=sorted({session['commit'] for session in sessions}),
        machines=sorted({session['machine'] for session in sessions}),
        baseline=comparison.baseline,
        seeds=list(seeds),
        rows=as_json(results),
        claims=[
            dict(
                vars(verdict.claim),
                difference=verdict.difference and verdict.difference._asdict(),
                half_interval=verdict.half,
                verdict=verdict.word,
            )
            for verdict in judge(comparison.claims, results)
        ],
    )
    write_json(_with_suffix(out, '.json'), record)
    lines = _markdown(comparison, results, runs, record, picture if has_picture else None)
    write_text(markdown, '\n'.join(lines) + '\n')
    return markdown


def _draw(results: Results, picture: Path) -> bool:
    if any(row.series for row in results.rows):
        return draw_series(results, picture)
    logged = (curve for row in results.rows for curves in row.curves.values() for curve in curves.items())
    panels = {metric.key for metric in results.metrics if metric.curve}
    if any(key in panels and len(iterations) > 1 for key, (iterations, _) in logged):
        return draw_curves(results, picture)
    return draw_rows(results, picture)


def _with_suffix(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


def _markdown(
    comparison: Comparison, results: Results, runs: Sequence[Run], record: dict, picture: Path | None
) -> list[str]:
    unfinished = [str(run) for run in runs if not run.is_done()]
    lines = [f'# {comparison.title}', '']
    if comparison.question:
        lines += [comparison.question.strip(), '']
    if unfinished:
        lines += [f'**Partial: {len(unfinished)} of {len(runs)} runs are missing:** {"; ".join(unfinished)}.', '']
    lines += [f'Mean ± sample standard deviation over seeds {", ".join(map(str, results.seeds))}.']
    lines += series_tables(results)
    if comparison.claims:
        lines += ['', '## Claims of the papers', '', *claims_table(judge(comparison.claims, results)), '', '## Rows']
    lines += ['', *markdown_tables(results)]
    if picture is not None:
        lines += ['', f'![{comparison.title}]({picture.name})']
    return [*lines, *_provenance(runs, record), *_configs(comparison.rows)]


def _provenance(runs: Sequence[Run], record: dict) -> list[str]:
    trained = [run for run in runs if run.is_trained()]
    return [
        '',
        '## How it was run',
        '',
        '```',
        record['command'],
        '```',
        '',
        f'- Date: {record["date"]}',
        f'- Commit: {_commits(run.sessions() for run in trained) or "none has run"}',
        f'- Machine: {"; or ".join(record["machines"]) or "none has run"}',
        f'- Time of all runs together: {duration(sum(run.seconds() for run in trained))}',
        '',
    ]


def _configs(rows: Sequence[Row]) -> list[str]:
    headings, has_published = ['row', 'config', 'changes'], any(row.published for row in rows)
    if has_published:
        headings.append('published by others, not measured here')
    lines = []
    for row in rows:
        cells = [row.name, f'`{_public_path(row.config)}`', _changes(row)]
        lines.append([*cells, row.published or '—'] if has_published else cells)
    head, *body = [f'| {" | ".join(cells)} |' for cells in (headings, *lines)]
    return [head, '|---' * len(headings) + '|', *body]


def _commits(sessions: Iterable[list[dict]]) -> str:
    """Return the commits of each run, several if it has been continued under another, and how many runs have them."""
    commits = Counter(' then '.join(dict.fromkeys(start['commit'] for start in run)) for run in sessions if run)
    if len(commits) == 1:
        return next(iter(commits))
    return ', '.join(f'{commit} ({count} runs)' for commit, count in sorted(commits.items()))


def _public_path(path: Path) -> str:
    """Return the path from the repository's root, or a name, because results must not name folders of a machine."""
    resolved = Path(os.path.abspath(path))
    return str(resolved.relative_to(provenance.ROOT)) if resolved.is_relative_to(provenance.ROOT) else resolved.name


def _changes(row: Row) -> str:
    if row.command:
        return f'not trained: `{shlex.join(row.command)}`' + (f', entry `{row.select}`' if row.select else '')
    return ', '.join(f'`{key}={value!r}`' for key, value in row.options.items())
