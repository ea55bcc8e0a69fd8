"""The content of a file under ``configs/comparisons``."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError

from .variants import apply_base, apply_variant

_FIELDS = (
    'name', 'title', 'question', 'base', 'options', 'rows', 'seeds', 'metrics', 'baseline', 'post', 'claims', 'shared',
    'variants',
)  # fmt: skip
_RUN_FILES = ('train', 'command', 'done', 'sessions')  # names of a run's own logs and notes


@dataclass(frozen=True)
class Metric:
    """A column of the table, and a panel of the figure if it was logged during training.

    Args:
        key: Name as in ``scalars.json``, or path of names, joined by ``/``, in the json of a command. No other metric
            may have it.
        label: Heading; the key by default.
        value: ``last`` or ``best`` of the logged values, or of several values in the json of a command, such as those
            of all learning rates with the key ``evaluation/linear/top1_by_rate``.
        higher_is_better: Whether ``best`` is the highest.
        digits: Decimals in the table.
        curve: Whether to draw it in the figure.
    """

    key: str
    label: str = ''
    value: str = 'last'
    higher_is_better: bool = True
    digits: int = 2
    curve: bool = True

    def __post_init__(self) -> None:
        if self.value not in ('last', 'best'):
            raise SetupError(f"metric {self.key!r}: value must be 'last' or 'best', got {self.value!r}")

    @property
    def heading(self) -> str:
        """What is measured: the heading of a panel."""
        return self.label or self.key

    @property
    def column(self) -> str:
        """Heading of the column, which also states that values are the best."""
        return self.heading if self.value == 'last' or 'best' in self.heading else f'{self.heading}, best'


@dataclass(frozen=True)
class Row:
    """A config with overrides, trained once per seed, or a command that writes a json file, run once per seed.

    Args:
        name: Heading of the row.
        config: The config file.
        options: Overrides of the config, with dotted keys as in ``--cfg-options``, and any values.
        command: If given, this is run instead of a training.
        select: Entry of the command's json, names joined by ``/``, that holds the metrics; all of it by default.
        per_seed: False if the seed makes no difference. The row then runs once and is compared with every seed.
        baseline: Row to compare this one with; by default the baseline of the comparison.
        series: Rows of one series differ in one number, ``value``: the report also has them side by side.
        value: That number, such as the learning rate.
        published: Figures of others for this row, which the report prints beside its config.
    """

    name: str
    config: Path
    options: Mapping[str, Any]
    command: tuple[str, ...] = ()
    select: str = ''
    per_seed: bool = True
    baseline: str = ''
    series: str = ''
    value: float | None = None
    published: str = ''


@dataclass(frozen=True)
class Post:
    """A command that runs after every training and writes a json file with further metrics.

    Args:
        name: Name of the log and the json file of the command, in the folder of the run.
        command: Command line with placeholders, see :class:`lewel_plugins.comparison.run.Run`.
        rows: Rows to run it for; all trained ones if empty.
        prefix: Name in front of its metrics, for commands whose metrics have the same names.
    """

    name: str
    command: tuple[str, ...]
    rows: tuple[str, ...] = ()
    prefix: str = ''


@dataclass(frozen=True)
class Claim:
    """An order of two rows that a paper states.

    Args:
        source: The paper with its table or section.
        better: The row that is better in the paper.
        worse: The other row.
        metric: Key of the measure.
        figure: The difference in the paper, with its unit or data, for the reader.
    """

    source: str
    better: str
    worse: str
    metric: str
    figure: str = ''


@dataclass(frozen=True)
class Comparison:
    """A checked comparison file."""

    name: str
    title: str
    question: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    baseline: str
    post: tuple[Post, ...]
    claims: tuple[Claim, ...] = ()


def load_comparison(
    path: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    data: str | None = None,
    base: str | Path | None = None,
) -> Comparison:
    """Read a comparison file.

    Paths in the file are relative to it, as in ``_base_``. Its ``options`` apply to every row; options of a row take
    precedence. ``shared`` is for files that inherit from it and is not read.

    Args:
        path: The file, in mmengine's config syntax.
        cfg_options: Overrides of every row's config, which take precedence over the options of the row.
        data: Name of one of the file's ``variants``, to run the rows on other data.
        base: Config to run the rows on instead of the file's ``base``.

    Raises:
        SetupError: Names the entry that is wrong and what is accepted.
    """
    path = Path(path)
    entries = _read(path)
    if data is not None and base is not None:
        raise SetupError(f'either --data {data} or --base {base}, not both')
    if data is not None:
        entries = apply_variant(entries, data, path)
    elif base is not None:
        entries = apply_base(entries, base, path)
    _check_entries(entries, path)
    common = entries.get('options', {})
    rows = tuple(_row(entry, entries.get('base'), common, path, cfg_options or {}) for entry in entries.get('rows', ()))
    comparison = Comparison(
        name=entries.get('name', path.stem),
        title=entries.get('title', path.stem),
        question=entries.get('question', ''),
        rows=rows,
        seeds=tuple(entries.get('seeds', (0, 1, 2))),
        metrics=tuple(_metric(entry) for entry in entries.get('metrics', ())),
        baseline=entries.get('baseline', rows[0].name if rows else ''),
        post=tuple(_post(entry) for entry in entries.get('post', ())),
        claims=tuple(Claim(**entry) for entry in entries.get('claims', ())),
    )
    _check(comparison, path)
    return comparison


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SetupError(f'comparison file {str(path)!r} does not exist')
    try:
        entries = Config.fromfile(str(path)).to_dict()
    except Exception as error:  # the file is Python, which may raise anything
        raise SetupError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    _refuse_unknown(entries, _FIELDS, str(path))
    _check_entries(entries, path)  # before a variant changes them
    return entries


def _check_entries(entries: Mapping[str, Any], path: Path) -> None:
    for name in ('rows', 'seeds', 'metrics', 'post', 'claims'):
        values = entries.get(name, ())
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise SetupError(f'{path}: {name} must be a list, got {values!r}')
    row_fields = [*_names(Row), 'bound_to_base']
    for name, where, known, needed in (
        ('rows', 'a row', row_fields, ['name']),
        ('metrics', 'a metric', _names(Metric), _names(Metric, needed=True)),
        ('post', 'a post command', _names(Post), _names(Post, needed=True)),
        ('claims', 'a claim', _names(Claim), _names(Claim, needed=True)),
    ):
        for entry in entries.get(name, ()):
            if name != 'metrics' or not isinstance(entry, str):  # a metric may be its key alone
                _check_entry(entry, known, needed, f'{where} of {path}')


def _names(kind: type[Any], needed: bool = False) -> list[str]:
    """Return the fields of a dataclass, all or those without a default."""
    return [field.name for field in fields(kind) if not needed or field.default is MISSING]


def _check_entry(entry: Any, known: Sequence[str], needed: Sequence[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise SetupError(f'{where} must be a dict, got {entry!r}')
    _refuse_unknown(entry, known, where)
    missing = [name for name in needed if name not in entry]
    if missing:
        raise SetupError(f'{where} has no {", ".join(missing)}: {entry}')


def _row(entry: dict, base: str | None, common: Mapping[str, Any], path: Path, cfg_options: Mapping[str, Any]) -> Row:
    config = entry.get('config', base)
    if config is None:
        raise SetupError(f'{path}: row {entry["name"]!r} has no config, and there is no `base`')
    config = path.parent / config
    if not config.is_file():
        raise SetupError(f'{path}: row {entry["name"]!r}: config {str(config)!r} does not exist')
    options = {**common, **entry.get('options', {}), **cfg_options}
    entry = {name: value for name, value in entry.items() if name != 'bound_to_base'}  # only for apply_base
    return Row(**{**entry, 'config': config, 'options': options, 'command': _words(entry.get('command', ()))})


def _metric(entry: str | dict) -> Metric:
    return Metric(entry) if isinstance(entry, str) else Metric(**entry)


def _post(entry: dict) -> Post:
    return Post(**{**entry, 'command': _words(entry['command']), 'rows': tuple(entry.get('rows', ()))})


def _words(command: str | Sequence[str]) -> tuple[str, ...]:
    """Split a command line into words. Placeholders are filled in later, so that spaces in values split no words."""
    try:
        return tuple(shlex.split(command)) if isinstance(command, str) else tuple(command)
    except ValueError as error:
        raise SetupError(f'command {command!r}: {error}') from None


def file_name(name: str) -> str:
    """Return the name of a row or a post command as it appears in the folders of runs."""
    return ''.join(c if c.isalnum() or c in '-_.' else '_' for c in name)


def _refuse_unknown(entries: Mapping, known: Sequence[str], where: str) -> None:
    unknown = sorted(set(entries) - set(known))
    if unknown:
        raise SetupError(f'{where}: unknown {", ".join(unknown)}; known are {", ".join(known)}')


def _check(comparison: Comparison, path: Path) -> None:
    names = [row.name for row in comparison.rows]
    keys = [metric.key for metric in comparison.metrics]
    for what, values in (
        ('rows', names),
        ('seeds', comparison.seeds),
        ('metrics', [metric.heading for metric in comparison.metrics]),
        ('keys of metrics', keys),  # results have one value for each
    ):
        if not values:
            raise SetupError(f'{path}: no {what}')
        if len(set(values)) < len(values):
            raise SetupError(f'{path}: {what} must differ from each other, got {list(values)}')
    for baseline in (comparison.baseline, *(row.baseline for row in comparison.rows if row.baseline)):
        if baseline not in names:
            raise SetupError(f'{path}: baseline {baseline!r} is not a row; rows are {names}')
    for claim in comparison.claims:
        for what, value, known in (
            ('row', claim.better, names),
            ('row', claim.worse, names),
            ('metric', claim.metric, keys),
        ):
            if value not in known:
                raise SetupError(f'{path}: a claim of {claim.source} names the {what} {value!r}; there are {known}')
    for row in comparison.rows:
        if bool(row.series) != (row.value is not None):
            raise SetupError(f'{path}: row {row.name!r} needs both series and value, or neither')
    for post in comparison.post:
        missing = set(post.rows) - set(names)
        if missing:
            raise SetupError(f'{path}: post {post.name!r} names {sorted(missing)}; rows are {names}')
    _check_post_names(comparison.post, path)


def _check_post_names(posts: Sequence[Post], path: Path) -> None:
    """Refuse names by which a post command would write over the files of the run, or of another command."""
    for index, post in enumerate(posts):
        name = file_name(post.name)
        if name in _RUN_FILES or name.endswith('.done'):
            known = ', '.join(_RUN_FILES)
            raise SetupError(
                f"{path}: post {post.name!r} needs another name: {known} and *.done are the run's own files"
            )
        for other in posts[:index]:
            shares_rows = not post.rows or not other.rows or set(post.rows) & set(other.rows)
            if shares_rows and name == file_name(other.name):
                raise SetupError(f'{path}: posts {other.name!r} and {post.name!r} would both write {name}.json')
