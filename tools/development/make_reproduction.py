"""Write docs/reproduce.md and the metafiles of configs/ from the tables of the papers.

python tools/development/make_reproduction.py            # after a change of a paper.yml, of recipes or of results
python tools/development/make_reproduction.py --check    # write nothing; fail if a file is out of date

The papers' tables are configs/METHOD/paper.yml; lewel_plugins/comparison/paper.py explains their entries. "Ours" is
read from docs/results, where tools/compare.py writes the results of a table. A figure of a paper enters a metafile if a
recipe has the setting that the paper prints.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.comparison.paper import (
    Paper,
    PaperRow,
    PaperTable,
    Protocol,
    comparison_name,
    load_paper,
    metric_key,
    table_comparison,
)
from lewel_plugins.comparison.run import recipe_processes, resolved_configs
from lewel_plugins.comparison.spec import load_comparison

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
RESULTS = ROOT / 'docs' / 'results'
PAGE = ROOT / 'docs' / 'reproduce.md'
METHODS = ('lewel', 'smog', 'mpcl', 'msbreg')
NONE = '–'
DATA = {
    'in1k': 'ImageNet-1k', 'in100': 'ImageNet-100', 'stl10': 'STL-10', 'stl10-64px': 'STL-10', 'cifar10': 'CIFAR-10',
    'image-folder': 'a folder of images', 'garment-scenes': 'garment scenes',
}  # fmt: skip
MEASURED = CONFIGS / 'comparisons' / 'all-methods_garment-scenes.py'
MEASURED_METRICS = (
    ('k-NN Classification', 'garment scenes', {'20-NN': 'knn/top1_k20'}),
    ('Linear Classification', 'garment scenes', {'top 1': 'linear/top1'}),
    ('Semi-supervised Classification', 'garment scenes 1 %', {'top 1': 'semi_1pct/top1'}),
    ('Semi-supervised Classification', 'garment scenes 10 %', {'top 1': 'semi_10pct/top1'}),
    (
        'Object Detection',
        'garment scenes of several garments, Mask R-CNN',
        {
            'box AP': 'mask_rcnn/coco/bbox_mAP',
            'box AP50': 'mask_rcnn/coco/bbox_mAP_50',
            'box AP75': 'mask_rcnn/coco/bbox_mAP_75',
        },
    ),
    (
        'Instance Segmentation',
        'garment scenes of several garments, Mask R-CNN',
        {'mask AP': 'mask_rcnn/coco/segm_mAP'},
    ),
    ('Semantic Segmentation', 'garment scenes of several garments, FCN', {'mIoU': 'fcn/mIoU'}),
)


def papers() -> list[Paper]:
    """Read the tables of all papers."""
    return [load_paper(CONFIGS / method / 'paper.yml') for method in METHODS]


# The page.


def status(row: PaperRow) -> str:
    """Return how a row is repeated here: ``recipe``, ``ablation`` or ``missing``."""
    return 'missing' if row.missing else 'recipe' if row.recipe else 'ablation'


def cells(row: PaperRow) -> Iterator[tuple[str, str, float | None]]:
    """Return protocol, metric and figure of each number in a row."""
    for name, figures in row.figures.items():
        for metric, value in figures.items():
            yield name, metric, value


def counts(paper: Paper) -> Counter[str]:
    """Count the numbers of a paper by how they are repeated here."""
    count: Counter[str] = Counter()
    for table in paper.tables:
        for row in paper.find_table(table.table).rows:
            for _, _, value in cells(row):
                count[status(row)] += row.copies
                count['no number'] += row.copies * (value is None)
        count['quoted'] += sum(value is not None for values in table.quoted.values() for value in values)
    return count


def count_table(all_papers: list[Paper]) -> list[str]:
    """Return the table of the counts."""
    kinds = ('recipe', 'ablation', 'missing', 'quoted')
    headings = ('paper', 'by a recipe', 'by a row of an ablation', 'not here', 'quoted by the paper')
    lines = [row_of(headings), row_of(['---'] * len(headings))]
    total: Counter[str] = Counter()
    for paper in all_papers:
        count = counts(paper)
        total += count
        lines.append(
            row_of([paper.method, *(str(count[kind]) for kind in ('recipe', 'ablation', 'missing', 'quoted'))])
        )
    lines.append(row_of(['all', *(str(total[kind]) for kind in kinds)]))
    return [
        *lines,
        '',
        f'Of these, {total["no number"]} are in pictures without printed numbers, or not legible in our copy.',
    ]


def row_of(values: Iterable[str]) -> str:
    """Return a row of a markdown table."""
    return f'| {" | ".join(values)} |'


def link(path: Path, text: str) -> str:
    """Return a link from the page to a file."""
    return f'[{text}](../{path.relative_to(ROOT).as_posix()})'


def measured_here(paper: Paper, table: PaperTable) -> dict[str, dict[str, Any]]:
    """Return the results of a table by its rows, if it was run."""
    path = RESULTS / f'{comparison_name(paper, table)}.json'
    if not path.is_file():
        return {}
    return {row['name']: row['summary'] for row in json.loads(path.read_text(encoding='utf-8'))['rows']}


def ours(protocol: Protocol, metric: str, summary: dict[str, Any]) -> str:
    """Return a measured number in the units of the paper."""
    result = summary.get(metric_key(protocol, metric))
    return f'{protocol.in_units_of_the_paper(metric, result["mean"]):.2f}' if result else ''


def pretraining(paper: Paper, row: PaperRow) -> str:
    """Return links to what pretrains a row."""
    if row.missing:
        return f'not here: {row.missing}'
    if row.recipe:
        path = paper.recipe(row.recipe)
        return link(path, path.stem)
    file = paper.configs / 'comparisons' / f'{row.comparison}.py'
    return f'{link(file, row.comparison)}, `--data {row.data}`, row "{row.row}"'


def evaluation(protocol: Protocol) -> str:
    """Return a link to what measures a number."""
    if protocol.config:
        return link(CONFIGS / 'benchmarks' / protocol.config, protocol.step)
    tools = dict(knn='tools/test.py', alignment_uniformity='tools/analysis/alignment_uniformity.py')
    text = link(ROOT / tools[protocol.tool], Path(tools[protocol.tool]).name)
    return f'{text}, {protocol.reading}' if protocol.reading else text


def table_section(paper: Paper, table: PaperTable) -> list[str]:
    """Return the section of a table."""
    lines = [f'### {paper.method}, {table.heading}: {table.title}', '']
    if table.same_as:
        return [*lines, f'The same rows and numbers as Table {table.same_as}.', '']
    processes = table_processes(paper, table)
    number = f'"{table.table}"' if ' ' in table.table else table.table
    command = f'python tools/compare.py configs/{paper.path.parent.name}/paper.yml --table {number}'
    lines += [f'    {command}' + (f' --processes {processes}' if processes > 1 else ''), '']
    lines += [f'- {reading}' for reading in table.readings]
    lines += [''] if table.readings else []
    headings = ('row', 'metric', 'paper', 'ours', 'pretraining', 'evaluation', 'our reading')
    lines += [row_of(headings), row_of(['---'] * len(headings))]
    for row in table.rows:
        lines += row_lines(paper, row, measured_here(paper, table).get(row.name, {}))
    return [*lines, '', *quoted(table)]


def row_lines(paper: Paper, row: PaperRow, summary: dict[str, Any]) -> list[str]:
    """Return a line per number of a row. What is as in the line above is left out."""
    lines: list[str] = []
    above = ''
    reading = '; '.join(filter(None, (row.differs, row.reading)))
    start = (row.name, pretraining(paper, row), reading)
    for name, metric, value in cells(row):
        protocol = paper.protocols[name]
        printed = NONE if value is None else str(value)
        label, pretrained, note = ('', '', '') if lines else start
        measured_by = '' if protocol.step == above else evaluation(protocol)
        above = protocol.step
        data = f'{protocol.dataset}: {metric}'
        lines.append(row_of((label, data, printed, ours(protocol, metric, summary), pretrained, measured_by, note)))
    return lines


def table_processes(paper: Paper, table: PaperTable) -> int:
    """Return the most processes that a row of a table is for."""
    comparison = table_comparison(paper.path, table.table)
    return max(recipe_processes(config) for config in resolved_configs(comparison).values())


def quoted(table: PaperTable) -> list[str]:
    """Return the rows that the paper takes from others."""
    if not table.quoted:
        return []
    rows = '; '.join(
        f'{name} {" / ".join(NONE if value is None else str(value) for value in values)}'
        for name, values in table.quoted.items()
    )
    return [f'Quoted by the paper ({" / ".join(table.quoted_columns)}): {rows}.', '']


def page(all_papers: list[Paper]) -> str:
    """Return the text of docs/reproduce.md."""
    lines = [INTRODUCTION, *count_table(all_papers), '']
    for paper in all_papers:
        lines += [f'## {paper.method}', '', f'*{paper.title}.* {paper.url}'.rstrip(), '']
        lines += [f'- {reading}' for reading in paper.readings]
        lines += [''] if paper.readings else []
        for table in paper.tables:
            lines += table_section(paper, table)
        lines += [f'- {name}: {text}.' for name, text in paper.pictures.items()]
        lines += ['']
    return '\n'.join(lines).rstrip('\n') + '\n'


INTRODUCTION = """# Reproduce the papers

This page lists every number that the four papers print in their tables and figures, and what repeats it here. It is
generated from `configs/*/paper.yml` by `tools/development/make_reproduction.py`.

**One command per table.** `tools/compare.py configs/METHOD/paper.yml --table N` pretrains every row of a table,
measures each checkpoint by the protocols of the table, and writes `docs/results/METHOD_table-N.md`. After a kill, the
same command goes on.

- `--only ROW` runs single rows, and `--list` prints what the rows resolve to without running them.
- `--processes N` is the number of GPUs that a run may use. The batch of each recipe determines how many it needs: with
  fewer GPUs, set larger batches by `--cfg-options train_dataloader.batch_size=B`.
- A training that several tables need runs once.
- Data sets and where they lie: [evaluation.md](evaluation.md#all-protocols-at-once).

The command of an ablation trains the rows of a file under `configs/comparisons` on the data of the paper. That file
runs in minutes on garment scenes. A file whose rows are options that suit any network also runs on any other config, by
`--base`:

    python tools/compare.py configs/comparisons/lewel_ablations_garment-scenes.py
    python tools/compare.py configs/comparisons/lewel_ablations_garment-scenes.py --data in100 --processes 8
    python tools/compare.py configs/comparisons/msbreg_weights_garment-scenes.py \\
        --base configs/msbreg/msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10.py

**Columns.** Each line has one number of the paper. Where a cell is empty, it is as in the line above. "Ours" is empty
until the table was run. "Our reading" and the lists above the tables name what the paper leaves open. Rows that a paper
quotes from others are listed below its tables; nothing here repeats them.

[reproduction.md](results/reproduction.md) counts the rows that run: each was trained for two steps on random images.

## Counts

Numbers by what repeats them:
"""


# The metafiles.


def same(a: float, b: float) -> bool:
    """Return whether two printed numbers are equal, to the decimals of the coarser one."""
    decimals = min(len(str(value).partition('.')[2]) for value in (a, b))
    return abs(round(a, decimals) - round(b, decimals)) < 1e-9


def figures_by_recipe(all_papers: list[Paper]) -> dict[str, list[dict[str, Any]]]:
    """Return the results of metafiles by the name of the recipe.

    Tables that repeat a number of an earlier table are left out. A table that prints another number for the same recipe
    has a result of its own.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    for paper in all_papers:
        for table in paper.tables:
            twins = [other.table for other in paper.tables if other.same_as == table.table]
            number = f'Tables {table.table} and {twins[0]}' if twins else table.heading
            for row in table.rows:
                if not row.recipe or row.differs:
                    continue
                where = results.setdefault(row.recipe, [])
                source = f'{number}, {row.name}'
                if paper.recipe(row.recipe).parent != paper.path.parent:
                    source += f' ({paper.method})'
                where += _new_results(paper, row, source, where)
    return results


def _new_results(paper: Paper, row: PaperRow, source: str, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    new = []
    for name, figures in row.figures.items():
        protocol = paper.protocols[name]
        seen: dict[str, list[float]] = {}
        for result in known:
            if (result['Task'], result['Dataset']) == (protocol.task, protocol.dataset):
                for metric, value in result['Metrics'].items():
                    seen.setdefault(metric, []).append(value)
        metrics = {f'Paper {metric}': value for metric, value in figures.items() if value is not None}
        if any(not any(same(value, other) for other in seen.get(metric, ())) for metric, value in metrics.items()):
            new.append(dict(Task=protocol.task, Dataset=protocol.dataset, Source=source, Metrics=metrics))
    return new


def measured_by_recipe() -> dict[Path, dict[str, Any]]:
    """Return metadata and results of the comparison of all methods on garment scenes, by the recipe's file."""
    path = RESULTS / f'{MEASURED.stem}.json'
    record = json.loads(path.read_text(encoding='utf-8'))
    rows = {row['name']: row['summary'] for row in record['rows']}
    entries: dict[Path, dict[str, Any]] = {}
    (base,) = Config._get_base_files(str(MEASURED))
    for row in load_comparison(MEASURED).rows:
        if row.command or row.name not in rows:
            continue
        metadata = {
            'Epochs': row.options['train_cfg.max_epochs'],
            'Command': record['command'],
            'Row': row.name,
            'Options': f'those of configs/comparisons/{Path(base).as_posix()}',
            'Seeds': record['seeds'],
            'Commit': ', '.join(record['commits']),
            'Machine': '; '.join(record['machines']),
        }
        results = [
            {
                'Task': task,
                'Dataset': dataset,
                'Metrics': {
                    f'Measured {name}': rows[row.name][f'evaluation/{key}']['mean'] for name, key in keys.items()
                },
            }
            for task, dataset, keys in MEASURED_METRICS
        ]
        entries[row.config.resolve()] = dict(metadata=metadata, results=results)
    return entries


def metafile(folder: Path, all_papers: list[Paper]) -> str:
    """Return the metafile of a folder of recipes."""
    paper = next((paper for paper in all_papers if paper.path.parent == folder), None)
    figures, measured = figures_by_recipe(all_papers), measured_by_recipe()
    lines = [*METAFILE_NOTE.format(folder=folder.relative_to(ROOT).as_posix()).splitlines(), 'Collections:']
    lines += collection(paper)
    lines += ['', 'Models:']
    order = list(figures)
    recipes = sorted(
        folder.glob('*.py'),
        key=lambda path: (order.index(path.stem) if path.stem in figures else len(order), path.stem),
    )
    for path in recipes:
        lines += model(path, paper, figures.get(path.stem, []), measured.get(path.resolve()))
    return '\n'.join(lines) + '\n'


def collection(paper: Paper | None) -> list[str]:
    """Return the entry of a metafile's collection: a method, or the baselines."""
    name, folder = (paper.method, paper.path.parent.name) if paper else ('Baselines', 'baselines')
    lines = [f'  - Name: {name}', '    Metadata:', '      Training Data: ImageNet-1k', '      Architecture:']
    lines += [f'        - {architecture}' for architecture in (paper.architectures if paper else ('ResNet',))]
    if paper:
        lines += ['    Paper:', f'      Title: {paper.title}', *([f'      URL: {paper.url}'] if paper.url else [])]
    return [*lines, f'    README: configs/{folder}/README.md']


def model(path: Path, paper: Paper | None, figures: list[dict[str, Any]], measured: dict[str, Any] | None) -> list[str]:
    """Return the entry of a recipe in a metafile."""
    cfg = Config.fromfile(path)
    metadata = {
        'Epochs': cfg.train_cfg.max_epochs,
        'Batch Size': cfg.auto_scale_lr.base_batch_size,
        'Training Data': DATA[path.stem.rpartition('_')[2]],
        **(measured['metadata'] if measured else {}),
    }
    lines = [
        f'  - Name: {path.stem}',
        f'    In Collection: {paper.method if paper else "Baselines"}',
        f'    Config: {path.relative_to(ROOT).as_posix()}',
        '    Metadata:',
        *(f'      {name}: {value}' for name, value in metadata.items()),
    ]
    results = [*figures, *(measured['results'] if measured else ())]
    lines += ['    Results:'] if results else []
    for result in results:
        lines += [f'      - Task: {result["Task"]}', f'        Dataset: {result["Dataset"]}']
        lines += [f'        Source: {result["Source"]}'] if 'Source' in result else []
        lines += ['        Metrics:']
        for name, value in result['Metrics'].items():
            lines.append(f'          {name}: {metafile_number(name, value)}')
    return lines


def metafile_number(name: str, value: float) -> str:
    """Return a number of a metafile: the paper's number as printed, ours with one decimal or, below 1, three."""
    if name.startswith('Measured '):
        return f'{value:.1f}' if value > 1 else f'{value:.3f}'
    return str(value)


METAFILE_NOTE = """\
# Generated by tools/development/make_reproduction.py from paper.yml, docs/results and the recipes in {folder}.
# A metric named "Paper ..." is a figure of the paper for the backbone that the config pretrains; accuracies are in
# percent. The config has the batch, length and optimizer that the paper prints, or our reading of them
# (docs/reproduce.md). None of these figures was measured with this code. Source names the table and row of the paper.
# A metric named "Measured ..." is ours: the mean over the seeds, by the command beside it."""


def files() -> dict[Path, str]:
    """Return all generated files and their texts."""
    all_papers = papers()
    folders = [CONFIGS / name for name in (*METHODS, 'baselines')]
    return {PAGE: page(all_papers), **{folder / 'metafile.yml': metafile(folder, all_papers) for folder in folders}}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a file is out of date')
    args = parser.parse_args(argv)
    outdated = []
    for path, text in files().items():
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            outdated.append(path)
            print(f'{"out of date" if args.check else "written"}: {path.relative_to(ROOT)}')
            if not args.check:
                path.write_text(text, encoding='utf-8')
    if args.check and outdated:
        print('run python tools/development/make_reproduction.py', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
