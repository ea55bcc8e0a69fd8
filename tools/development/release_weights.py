"""Release the backbone of a finished run of a comparison: its weights and a model card in ``lewel_plugins/weights``.

python tools/development/release_weights.py configs/comparisons/NAME.py --row ROW --name WEIGHTS
python tools/development/release_weights.py configs/comparisons/NAME.py --row ROW --name WEIGHTS --figures

The run is the one that tools/compare.py made for the present recipe, and the figures on the card are those of
docs/results/NAME.json, which must be figures of that run. Running it twice writes the same bytes. When further seeds
have run, --figures writes the figures of a card anew, without a checkpoint.
"""

import argparse
import contextlib
import importlib.util
import io
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lewel_plugins.checkpoints import load_pretrained, read_tensors
from lewel_plugins.checkpoints.released import FOLDER, SCHEME
from lewel_plugins.comparison.run import Run, plan_runs
from lewel_plugins.comparison.spec import Comparison, Metric, Row, load_comparison
from lewel_plugins.comparison.table import collect
from lewel_plugins.errors import SetupError
from lewel_plugins.files import file_digest, read_json, write_bytes, write_text
from lewel_plugins.models.classifiers.pretrained_classifier import feature_width
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.work_dir import last_checkpoint

TOOLS = Path(__file__).resolve().parents[1]
ROOT = TOOLS.parent
MAX_BYTES = 2_000_000
NAME = re.compile(r'[a-z0-9][a-z0-9._-]*')


class Source(NamedTuple):
    """What a card is written from.

    Attributes:
        file: The comparison's file.
        comparison: The comparison.
        run: The finished run of a row of it.
        results: Content of the comparison's json file.
        report: Path of that file.
    """

    file: Path
    comparison: Comparison
    run: Run
    results: dict[str, Any]
    report: Path

    @property
    def entry(self) -> dict[str, Any]:
        """Results of the row."""
        rows = self.results.get('rows', [])
        return next((row for row in rows if row['name'] == self.run.row.name), dict(values={}, summary={}))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('comparison', type=Path, help='file under configs/comparisons')
    parser.add_argument('--row', required=True, help='row of the comparison')
    parser.add_argument('--name', required=True, help='name of the weights, such as lewel-b_resnet10_cifar10')
    parser.add_argument('--seed', type=int, help='seed of the run (default: the first of the results)')
    parser.add_argument('--results', type=Path, metavar='FILE', help='json file (default: docs/results/NAME.json)')
    parser.add_argument('--work-dir', type=Path, help='folder of the runs, as given to tools/compare.py')
    parser.add_argument('--out', type=Path, default=FOLDER, metavar='DIR', help='folder to write to')
    parser.add_argument('--figures', action='store_true', help='only write the figures of an existing card anew')
    args = parser.parse_args(argv)
    if not NAME.fullmatch(args.name):
        parser.error(f'--name takes lower-case letters, digits, ".", "_" and "-", got {args.name!r}')
    return args


def find_source(args: argparse.Namespace) -> Source:
    """Find the run and its figures.

    Raises:
        SetupError: There is no such row or run, it has not finished, or the results are not those of the run.
    """
    comparison = load_comparison(args.comparison)
    row = next((row for row in comparison.rows if row.name == args.row and not row.command), None)
    if row is None:
        names = ', '.join(row.name for row in comparison.rows if not row.command)
        raise SetupError(f'{args.comparison} trains no row {args.row!r}; rows are {names}')
    report = args.results or Path('docs/results') / f'{comparison.name}.json'
    results = read_json(report)
    if not isinstance(results, dict) or not results.get('seeds'):
        raise SetupError(f'{report} does not exist, or holds no results of tools/compare.py')
    seed = results['seeds'][0] if args.seed is None else args.seed
    if seed not in results['seeds']:
        raise SetupError(f'--seed {seed}: {report} has the seeds {", ".join(map(str, results["seeds"]))}')
    run = _find_run(args, comparison, row, results['seeds'], seed)
    source = Source(args.comparison, comparison, run, results, report)
    _check_figures(source)
    return source


def _find_run(args: argparse.Namespace, comparison: Comparison, row: Row, seeds: list[int], seed: int) -> Run:
    runs = Path('work_dirs/compare')
    others = None if args.work_dir else runs
    planned = plan_runs(comparison, seeds, args.work_dir or runs / comparison.name, TOOLS / 'train.py', others)
    run = next(run for run in planned if run.row is row and (run.seed == seed or not row.per_seed))
    if not run.is_done():
        raise SetupError(f'the run of {run} has not finished, or had another recipe: {run.work_dir} is not complete')
    return run


def _check_figures(source: Source) -> None:
    run = source.run
    own = collect(source.comparison, [run.seed], [run]).row(run.row.name).values[run.seed]
    figures = source.entry['values'].get(str(run.seed), {})
    differing = [m.key for m in source.comparison.metrics if own.get(m.key) != figures.get(m.key)]
    if differing:
        raise SetupError(
            f'{source.report} has other figures than the run {run.work_dir} ({", ".join(differing)}): write it again '
            'with tools/compare.py --report-only'
        )


def export(checkpoint: Path, out: Path) -> None:
    """Write the backbone of a checkpoint as safetensors, by tools/export_backbone.py.

    Raises:
        SetupError: The export has failed, or the file is too large.
    """
    spec = importlib.util.spec_from_file_location('export_backbone', TOOLS / 'export_backbone.py')
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with contextlib.redirect_stdout(io.StringIO()):  # which names a temporary file
        tool.main([str(checkpoint), '--to', 'safetensors', '--out', str(out)])
    size = out.stat().st_size
    if size > MAX_BYTES:
        raise SetupError(f'the backbone of {checkpoint} has {size:,} bytes, and weights may have {MAX_BYTES:,}')


def cifar10(dataset: dict[str, Any]) -> str:
    """Return the section of a card on CIFAR-10, with the kind of its files."""
    folder = Path(dataset['data_root']) / 'train'
    kinds = {path.suffix.lower() for path in folder.glob('*/*') if path.is_file()}
    if kinds & {'.jpg', '.jpeg'}:
        files = (
            'This network saw a copy whose images were encoded as JPEG, so its pixels differ from the published ones.'
        )
    elif kinds or (folder.parent / 'cifar-10-batches-py').is_dir():
        files = 'The network saw the published pixels.'
    else:
        raise SetupError(f'{folder.parent} does not hold the images, whose kind of files the card names')
    split = dataset.get('split', 'train')
    parts = {'train': 'the 50,000 training images', 'fit': '45,000 of the training images'}
    return (
        f'CIFAR-10, {parts.get(split, f"split {split!r}")}, without their labels.\n{files}\n\n'
        'CIFAR-10 has no formal license. Its authors ask for a citation: Alex Krizhevsky, *Learning Multiple Layers of '
        'Features from Tiny\nImages*, 2009 (https://www.cs.toronto.edu/~kriz/cifar.html). Its images come from the web.'
    )


DATA: dict[str, Callable[[dict[str, Any]], str]] = {'lewel_plugins.CIFAR10': cifar10}


def data_section(config: Any) -> str:
    """Return the section of a card on the images of a training and their license.

    Raises:
        SetupError: There is no text for the data set.
    """
    dataset = config.train_dataloader.dataset
    dataset = dataset.get('dataset', dataset)
    if dataset['type'] not in DATA:
        raise SetupError(f'no text on the license of {dataset["type"]}; there is one for {", ".join(DATA)}')
    return DATA[dataset['type']](dataset)


def recipe(row: Row) -> str:
    """Return the path of a row's config in the repository.

    Raises:
        SetupError: It is elsewhere, so that nobody else could train it.
    """
    path = row.config.resolve()
    if not path.is_relative_to(ROOT / 'configs'):
        raise SetupError(f'row {row.name!r}: {row.config} is not in {ROOT / "configs"}')
    return path.relative_to(ROOT).as_posix()


def figures_table(source: Source) -> str:
    """Return the figures of the network, and means and standard deviations over seeds."""
    values, seed = source.entry['values'][str(source.run.seed)], source.run.seed
    lines = [f'| | this network, seed {seed} | all seeds: mean ± standard deviation |', '|---|--:|--:|']
    for metric in source.comparison.metrics:
        if metric.key in values:
            column = metric.column.replace('|', r'\|')
            lines.append(f'| {column} | {values[metric.key]:.{metric.digits}f} | {_mean(source, metric)} |')
    return '\n'.join(lines)


def _mean(source: Source, metric: Metric) -> str:
    summary, digits = source.entry['summary'][metric.key], metric.digits
    spread = '' if summary['std'] is None else f' ± {summary["std"]:.{digits}f}'
    return f'{summary["mean"]:.{digits}f}{spread} ({summary["n"]})'


def training_table(source: Source, meta: dict[str, Any]) -> str:
    """Return recipe, options, seed, commit and machine of the training."""
    row, run, sessions = source.run.row, source.run, source.run.sessions()
    length, unit = run.total()
    options = ', '.join(f'`{name}={value!r}`' for name, value in row.options.items())
    facts = {
        'recipe': f'`{recipe(row)}`',
        'options': options or 'none',
        'method': f'{row.name} (`{meta["method"]}`)',
        'length': f'{length} {unit}{"" if length == 1 else "s"}, {run.seconds() / 60:.0f} minutes with validations',
        'seed': str(run.seed),
        'commit': ', '.join(dict.fromkeys(session['commit'] for session in sessions)),
        'machine': ', '.join(dict.fromkeys(session['machine'] for session in sessions)),
        'date': sessions[0]['start'] if sessions else '',
        'command': f'`{_command(source)}`',
    }
    return '\n'.join(['| | |', '|---|---|', *(f'| {name} | {text} |' for name, text in facts.items())])


def _command(source: Source) -> str:
    """Return the command that trains this network alone."""
    file = source.file.resolve()
    shown = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name
    words = ['python', 'tools/compare.py', shown, '--seeds', str(source.run.seed), '--only', source.run.row.name]
    return shlex.join(words)


CARD = """# {name}

Backbone ({arch}, {parameters:,} parameters) that was trained with {row} on {size} × {size} images, without labels.

```python
import lewel_plugins

backbone = lewel_plugins.load_pretrained('{name}')
x = backbone.preprocess(images)  # a PIL image or several, or uint8 RGB (N, 3, H, W)
features = backbone(x)[-1].mean((2, 3))  # (N, {width})
```

In configs of OpenMMLab:

```python
backbone = dict(
    {backbone},
    init_cfg=dict(type='Pretrained', checkpoint='{scheme}{name}', prefix='backbone.'),
)
```

## Use

A small network, trained for minutes: for tests, tutorials and teaching. It is not meant for use in products, and its
features of larger photographs or of other motifs were not measured.

## Figures

From the comparison `{comparison}`; the number of seeds is in brackets.

{figures}

## Training

{training}

## Input

{size} × {size} pixels in the order RGB, on the scale 0 to 255, less the mean {mean},
divided by the standard deviation {std}.

## Data

{data}

## File

| | |
|---|---|
| file | `{name}.safetensors`, {bytes:,} bytes |
| SHA-256 | `{sha256}` |
| checkpoint | SHA-256 `{source_sha256}`, epoch {epoch} |
| exported by | lewel_plugins {version} |
| license of the weights | Apache-2.0, that of lewel_plugins |
"""


def card(name: str, file: Path, source: Source) -> str:
    """Return the model card of an exported backbone."""
    meta = read_tensors(file)['meta']
    backbone = load_pretrained(file)
    size = backbone.preprocess.size
    if size is None:
        raise SetupError(f'the recipe of {source.run.row.name!r} does not name the size of its views')
    return CARD.format(
        name=name,
        arch=meta['arch'].removeprefix('lewel_plugins.'),
        backbone=', '.join(f'{key}={value!r}' for key, value in meta['backbone'].items()),
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        width=feature_width(backbone),
        row=source.run.row.name,
        comparison=source.comparison.name,
        scheme=SCHEME,
        size=size,
        mean=list(backbone.preprocess.mean),
        std=list(backbone.preprocess.std),
        figures=figures_table(source),
        training=training_table(source, meta),
        data=data_section(source.run.config),
        bytes=file.stat().st_size,
        sha256=file_digest(file),
        source_sha256=meta['source_sha256'],
        epoch=meta['epoch'],
        version=meta['lewel_plugins_version'],
    )


def update_figures(path: Path, source: Source) -> None:
    """Write the figures of a card anew.

    Raises:
        SetupError: There is no card, or it is that of another recipe or seed.
    """
    text = path.read_text(encoding='utf-8') if path.is_file() else ''
    for line in (f'| recipe | `{recipe(source.run.row)}` |', f'| seed | {source.run.seed} |'):
        if line not in text:
            raise SetupError(f'{path} is no card with the line {line!r}')
    table = re.compile(r'(?<=\n)\| \| this network, seed .*?(?=\n\n)', re.DOTALL)
    write_text(path, table.sub(lambda _: figures_table(source), text, count=1))
    print(f'{path}: figures of {source.report}')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    source = find_source(args)
    if args.figures:
        update_figures(args.out / f'{args.name}.md', source)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f'{args.name}.safetensors'
        export(last_checkpoint(source.run.work_dir), file)
        text = card(args.name, file, source)
        content = file.read_bytes()
    write_bytes(args.out / file.name, content)
    write_text((args.out / file.name).with_suffix('.md'), text)
    print(f'{args.out / file.name}: {len(content):,} bytes, and its card {args.name}.md')


if __name__ == '__main__':
    run_main(main)
