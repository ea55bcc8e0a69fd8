"""The tables of a paper, number by number, and a table of it as a comparison.

``configs/<method>/paper.yml`` has one entry per row of each table, with its figures and with what repeats it here:

- ``recipe``: the name of a pretraining recipe;
- ``row``, with ``comparison`` and ``data`` of the row or of its table: a row of a file under ``configs/comparisons`` on
  other data;
- or ``missing``: why nothing here repeats it.

``setting`` is the batch, length, optimizer and rate that the paper prints, or our reading of them. A row whose recipe
has others needs ``differs``, which names them. ``figures`` are the printed numbers by protocol and metric; null where
the paper draws a curve without numbers. ``quoted`` are rows that the paper takes from others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running.commands import python_command

from .run import recipe_processes
from .spec import Comparison, Metric, Post, Row, load_comparison


class Printed(float):
    """A number as it is printed, with its trailing zeros."""

    def __new__(cls, text: str) -> 'Printed':
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


class _Loader(yaml.SafeLoader):
    """Reads decimal numbers as :class:`Printed`."""


_Loader.add_constructor('tag:yaml.org,2002:float', lambda loader, node: Printed(loader.construct_scalar(node)))

Figures = Mapping[str, Mapping[str, Printed | None]]
_KEYS: dict[str, dict[str, str]] = {
    'classification': {'top 1': 'top1', 'top 5': 'top5'},
    'svm': {'mAP': 'full/map'},
    'mmdetection': {
        'AP': 'pascal_voc/mAP', 'AP50': 'pascal_voc/AP50', 'AP75': 'pascal_voc/AP75',
        'box AP': 'coco/bbox_mAP', 'box AP50': 'coco/bbox_mAP_50', 'box AP75': 'coco/bbox_mAP_75',
        'mask AP': 'coco/segm_mAP', 'mask AP50': 'coco/segm_mAP_50', 'mask AP75': 'coco/segm_mAP_75',
    },
    'mmsegmentation': {'mIoU': 'mIoU', 'mAcc': 'mAcc'},
    'knn': {'5-NN': 'knn/top1_k5', '20-NN': 'knn/top1_k20', '200-NN': 'knn/top1_k200'},
    'alignment_uniformity': {
        'alignment': 'neck/alignment', 'uniformity': 'neck/uniformity',
        '1 − L_align': 'backbone/alignment', '−L_uniform': 'backbone/uniformity',
    },
}  # fmt: skip
_NEEDED = ('method', 'title', 'architectures', 'protocols', 'tables')
_TOOLS = dict(linear='classification', semi='classification')


@dataclass(frozen=True)
class Protocol:
    """How a figure is measured.

    Args:
        name: Its name in the file.
        task: Task, as in metafiles.
        dataset: Data set, as in metafiles.
        config: File under ``configs/benchmarks``.
        tool: ``classification``, ``svm``, ``mmdetection`` or ``mmsegmentation``, which follow from the config's folder,
            ``knn`` or ``alignment_uniformity``, which have none.
        reading: What is our reading.
        options: For ``knn``, ``--cfg-options`` of ``tools/test.py``, in its syntax.
    """

    name: str
    task: str
    dataset: str
    config: str = ''
    tool: str = ''
    reading: str = ''
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> str:
        """Name of the command, which protocols with the same config share."""
        return Path(self.config).stem or self.tool

    def key(self, metric: str) -> str:
        """Return where the command's json has a metric.

        Raises:
            SetupError: The protocol does not measure it.
        """
        keys = _KEYS[self.tool]
        if metric not in keys:
            raise SetupError(f'protocol {self.name!r} has no metric {metric!r}; known are {", ".join(keys)}')
        return keys[metric]

    def in_units_of_the_paper(self, metric: str, value: float) -> float:
        """Convert a measured number: fractions to percent, and losses to the similarities that MPCL prints."""
        key = self.key(metric)
        if key.startswith(('coco/', 'pascal_voc/')):
            return 100 * value
        return {'1 − L_align': 1 - value, '−L_uniform': -value}.get(metric, value)

    def command(self, benchmarks: Path, processes: int) -> tuple[str, ...]:
        """Return the command that measures a checkpoint, with placeholders.

        Args:
            benchmarks: The folder ``configs/benchmarks``, which holds the config.
            processes: The most processes that it may use.

        Raises:
            SetupError: The config builds on a package that is not installed.
        """
        if self.tool == 'alignment_uniformity':
            script = '{tools}/analysis/alignment_uniformity.py'
            return ('{python}', script, '{config}', '{checkpoint}', '--seed', '{seed}', '--out', '{json}')
        folder = f'{{work_dir}}/{self.step}'
        words: tuple[str, ...]
        if self.tool == 'knn':
            words = ('{tools}/test.py', '{config}', '{checkpoint}', '--work-dir', folder, '--out', '{json}')
            if self.options:
                words += ('--cfg-options', *(f'{name}={value}' for name, value in self.options.items()))
            return python_command(words, processes)
        config = f'{{tools}}/../configs/benchmarks/{self.config}'
        if self.tool == 'svm':
            script = '{tools}/benchmarks/voc_svm.py'
            return ('{python}', script, config, '{checkpoint}', '--seed', '{seed}', '--json', '{json}')
        try:
            recipe = Config.fromfile(benchmarks / self.config)
        except ModuleNotFoundError as error:  # its base is in mmdet or mmseg
            raise SetupError(
                f'protocol {self.name!r} needs {benchmarks.name}/{self.config}, and {error}; see docs/install.md'
            ) from None
        count = min(processes, recipe_processes(recipe))
        common = ('--seed', '{seed}', '--auto-scale-lr', '--work-dir', folder)
        if self.tool == 'classification':
            words = ('{tools}/benchmarks/classification.py', config, '{checkpoint}', *common, '--json', '{json}')
            return python_command(words, count)
        words = ('{tools}/transfer.py', '{checkpoint}', config, *common, '--out', '{json}', '--processes', str(count))
        return ('{python}', *words)


@dataclass(frozen=True)
class PaperRow:
    """A row of a table; see the module's docstring for its entries.

    Args:
        copies: For how many rows of the paper it stands, where our copy of the paper does not tell them apart.
        reading: What is our reading.
    """

    name: str
    setting: Mapping[str, Any]
    figures: Figures
    recipe: str = ''
    comparison: str = ''
    data: str = ''
    row: str = ''
    missing: str = ''
    differs: str = ''
    reading: str = ''
    copies: int = 1


@dataclass(frozen=True)
class PaperTable:
    """A table or figure of a paper.

    Args:
        table: Its number in the paper, or ``Fig. N``.
        title: What it shows.
        rows: The rows that the paper measured itself.
        readings: What is our reading.
        quoted: Rows that the paper takes from others, by name, in the order of ``quoted_columns``.
        quoted_columns: Headings of the quoted numbers.
        same_as: Another table with the same rows and numbers.
    """

    table: str
    title: str
    rows: tuple[PaperRow, ...]
    readings: tuple[str, ...] = ()
    quoted: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    quoted_columns: tuple[str, ...] = ()
    same_as: str = ''

    @property
    def heading(self) -> str:
        """``Table N`` or ``Fig. N``."""
        return self.table if self.table.startswith('Fig') else f'Table {self.table}'


@dataclass(frozen=True)
class Paper:
    """All tables of a paper.

    Args:
        path: The file.
        method: The method's name.
        title: Title of the paper.
        url: Address of the paper.
        architectures: Kinds of backbones.
        protocols: Protocols by name.
        tables: The tables.
        readings: What is our reading in all tables.
        pictures: Figures and tables without results, and what they are.
    """

    path: Path
    method: str
    title: str
    architectures: tuple[str, ...]
    protocols: Mapping[str, Protocol]
    tables: tuple[PaperTable, ...]
    readings: tuple[str, ...] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)
    url: str = ''

    @property
    def configs(self) -> Path:
        """The folder ``configs``."""
        return self.path.parent.parent

    def find_table(self, table: str) -> PaperTable:
        """Return a table by its number.

        Raises:
            SetupError: There is none. Names those that there are.
        """
        for entry in self.tables:
            if entry.table == table:
                return self.find_table(entry.same_as) if entry.same_as else entry
        raise SetupError(
            f'{self.path} has no table {table!r}; it has {", ".join(entry.table for entry in self.tables)}'
        )

    def recipe(self, name: str) -> Path:
        """Return the file of a recipe.

        Raises:
            SetupError: There is none.
        """
        files = sorted(self.configs.glob(f'*/{name}.py'))
        if not files:
            raise SetupError(f'{self.path}: there is no recipe {name!r} under {self.configs}')
        return files[0]

    def resolve(self, row: PaperRow) -> Row:
        """Return a row as one of a comparison: its config and options.

        Raises:
            SetupError: Its recipe or its row in a comparison does not exist, or nothing repeats it.
        """
        if row.recipe:
            return Row(row.name, self.recipe(row.recipe), {})
        if row.missing:
            raise SetupError(f'{self.path}: row {row.name!r} is not repeated here: {row.missing}')
        same = self.comparison_row(row)
        return Row(row.name, same.config, same.options)

    def comparison_row(self, row: PaperRow) -> Row:
        """Return the row of a comparison that repeats a row.

        Raises:
            SetupError: The comparison has no such row.
        """
        file = self.configs / 'comparisons' / f'{row.comparison}.py'
        rows = _rows_of(file, row.data)
        if row.row not in rows:
            raise SetupError(f'{self.path}: {file.name} on {row.data} has no row {row.row!r}; rows are {list(rows)}')
        return rows[row.row]


@cache
def _rows_of(file: Path, data: str) -> dict[str, Row]:
    return {row.name: row for row in load_comparison(file, data=data or None).rows}


def load_paper(path: str | Path) -> Paper:
    """Read the tables of a paper.

    Raises:
        SetupError: The file does not exist, is no YAML, or an entry of it is unknown or missing.
    """
    path = Path(path)
    entries = _read(path)
    entries.pop('settings', None)  # anchors
    protocols = {name: _protocol(name, entry, path) for name, entry in entries['protocols'].items()}
    tables = tuple(_table(entry, path) for entry in entries['tables'])
    for table in tables:
        for row in table.rows:
            _check_row(row, table, protocols, path)
    lists: dict[str, Any] = {name: tuple(entries[name]) for name in ('readings', 'architectures') if name in entries}
    return _make(Paper, {**entries, **lists, 'path': path, 'protocols': protocols, 'tables': tables}, str(path))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SetupError(f'file of a paper {str(path)!r} does not exist')
    try:
        entries = yaml.load(path.read_text(encoding='utf-8'), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # several lines, with an excerpt of the file
        raise SetupError(f'{path}: no YAML: {" ".join(str(error).split())}') from None
    if not isinstance(entries, dict):
        raise SetupError(f'{path}: not the file of a paper, which has {", ".join(_NEEDED)}: it is empty or no mapping')
    missing = [name for name in _NEEDED if name not in entries]
    if missing:
        raise SetupError(f'{path}: not the file of a paper, which has {", ".join(_NEEDED)}: no {", ".join(missing)}')
    return entries


def _protocol(name: str, entry: Mapping[str, Any], path: Path) -> Protocol:
    room = entry.get('config', '').partition('/')[0]
    tool = entry.get('tool', _TOOLS.get(room, room))
    if tool not in _KEYS:
        raise SetupError(f'{path}: protocol {name!r} has no tool for {entry}; known are {", ".join(_KEYS)}')
    if 'options' in entry and tool != 'knn':
        raise SetupError(f'{path}: protocol {name!r} has options, which only those with the tool knn have, not {tool}')
    return _make(Protocol, {**entry, 'name': name, 'tool': tool}, f'{path}: protocol {name!r}')


def _table(entry: Mapping[str, Any], path: Path) -> PaperTable:
    where = f'{path}: table {entry.get("table")}'
    common = {name: entry[name] for name in ('comparison', 'data') if name in entry}
    rows = tuple(_make(PaperRow, {**(common if 'row' in row else {}), **row}, where) for row in entry.get('rows', ()))
    own = {name: value for name, value in entry.items() if name not in common}
    lists: dict[str, Any] = {name: tuple(own[name]) for name in ('readings', 'quoted_columns') if name in own}
    quoted = {name: tuple(values) for name, values in own.get('quoted', {}).items()}
    return _make(PaperTable, {**own, **lists, 'rows': rows, 'quoted': quoted}, where)


def _make(kind: Any, entries: Mapping[str, Any], where: str) -> Any:
    unknown = sorted(set(entries) - {entry.name for entry in fields(kind)})
    if unknown:
        raise SetupError(f'{where}: unknown {", ".join(unknown)}')
    try:
        return kind(**entries)
    except TypeError as error:  # an entry is missing
        raise SetupError(f'{where}: {error}') from None


def _check_row(row: PaperRow, table: PaperTable, protocols: Mapping[str, Protocol], path: Path) -> None:
    where = f'{path}: {table.heading}, row {row.name!r}'
    if sum(map(bool, (row.recipe or row.row, row.missing))) != 1:
        raise SetupError(f'{where} needs a recipe or a row of a comparison, or else `missing`')
    if row.row and not row.comparison:
        raise SetupError(f'{where} names the row {row.row!r} of no comparison')
    for name, figures in row.figures.items():
        if name not in protocols:
            raise SetupError(f'{where}: no protocol {name!r}; protocols are {", ".join(protocols)}')
        for metric in figures:
            protocols[name].key(metric)


def table_comparison(
    path: str | Path, table: str, cfg_options: Mapping[str, Any] | None = None, processes: int = 1
) -> Comparison:
    """Return a table of a paper as a comparison: its rows pretrain, and its protocols measure the checkpoints.

    Args:
        path: The paper's file.
        table: Number of the table.
        cfg_options: Overrides of every row's config.
        processes: The most processes that a training or a measurement may use.

    Raises:
        SetupError: There is no such table, nothing of it is repeated here, or it is measured with mmdet or mmseg, which
            are not installed.
    """
    paper = load_paper(path)
    source = paper.find_table(table)
    rows = [row for row in source.rows if not row.missing]
    if not rows:
        raise SetupError(f'{path}: nothing of {source.heading} is repeated here')
    resolved = [paper.resolve(row) for row in rows]
    return Comparison(
        name=comparison_name(paper, source),
        title=f'{source.heading} of {paper.method}: {source.title}',
        question='',
        rows=tuple(Row(row.name, row.config, {**row.options, **(cfg_options or {})}) for row in resolved),
        seeds=(0,),
        metrics=_metrics(paper, rows),
        baseline=rows[0].name,
        post=_posts(paper, rows, processes),
    )


def comparison_name(paper: Paper, table: PaperTable) -> str:
    """Return the name of a table's comparison, and so of its results."""
    return f'{paper.method.lower()}_{table.heading.lower().replace(" ", "-").replace(".", "")}'


def metric_key(protocol: Protocol, metric: str) -> str:
    """Return the name of a figure among the results of a table's comparison."""
    return f'{protocol.step}/{protocol.key(metric)}'


def _metrics(paper: Paper, rows: list[PaperRow]) -> tuple[Metric, ...]:
    metrics = {}
    for row in rows:
        for name, figures in row.figures.items():
            protocol = paper.protocols[name]
            for metric in figures:
                key = metric_key(protocol, metric)
                metrics[key] = Metric(key, f'{protocol.step}: {metric}', curve=False)
    return tuple(metrics.values())


def _posts(paper: Paper, rows: list[PaperRow], processes: int) -> tuple[Post, ...]:
    users: dict[str, list[str]] = {}
    protocols: dict[str, Protocol] = {}
    for row in rows:
        for name in row.figures:
            protocol = paper.protocols[name]
            same = protocols.setdefault(protocol.step, protocol)
            if same.options != protocol.options:
                raise SetupError(
                    f'{paper.path}: protocols {same.name!r} and {protocol.name!r} of a table need the same options'
                )
            if row.name not in users.setdefault(protocol.step, []):
                users[protocol.step].append(row.name)
    benchmarks = paper.configs / 'benchmarks'
    return tuple(
        Post(step, protocols[step].command(benchmarks, processes), tuple(names), prefix=step)
        for step, names in users.items()
    )
