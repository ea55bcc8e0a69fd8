"""Write the tables in the README files of ``configs/``.

python tools/development/make_recipe_tables.py            # after a change of recipes, metafiles or results
python tools/development/make_recipe_tables.py --check    # write nothing; fail if a table is out of date

The tables stand between markers, ``<!-- table: NAME -->`` and ``<!-- end of table -->``. All else is written by hand.
Recipes are read from the configs, the papers' figures from the metafiles, and measurements from the metafiles and from
``docs/results/``.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
RESULTS = ROOT / 'docs' / 'results'
METHODS = ('lewel', 'smog', 'mpcl', 'msbreg', 'baselines')
DATA = ('in1k', 'in100', 'stl10', 'stl10-64px', 'cifar10', 'image-folder', 'garment-scenes')
TABLE = re.compile(r'<!-- table: (?P<name>[a-z-]+) -->\n.*?<!-- end of table -->', re.DOTALL)
NONE = '–'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [headings, ['---'] * len(headings), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def link(path: Path, folder: Path, text: str = '') -> str:
    """Return a markdown link from a README in ``folder`` to a file."""
    up = len(folder.relative_to(ROOT).parts)
    target = path.relative_to(folder) if path.is_relative_to(folder) else Path(*['..'] * up, path.relative_to(ROOT))
    return f'[{text or path.stem}]({target.as_posix()})'


@dataclass(frozen=True)
class Recipe:
    """A pretraining recipe: its config, and its entry in the metafile, if it has one."""

    path: Path
    config: Config
    entry: dict[str, Any]

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        backbone = self.config.model.backbone
        kind = backbone.type.removeprefix('lewel_plugins.')
        if kind == 'SwinTransformer':
            return f'Swin-{backbone.arch[0].upper()}'
        if kind == 'MoCoV3ViT':
            arch = backbone.arch
            small = isinstance(arch, dict)
            size = f' of {arch.num_layers} layers' if small else f'-{arch.split("-")[-1][0].upper()}'
            return f'ViT{size}, patches of {backbone.patch_size}'
        width = backbone.get('base_channels', 64) // 64
        name = f'ResNet-{backbone.get("depth", 10)}' + (f' × {width}' if width > 1 else '')
        return f'{name}, 3 × 3 stem' if kind == 'ResNet_CIFAR' else name

    @property
    def batch(self) -> str:
        """GPUs × images."""
        images, base = self.config.train_dataloader.batch_size, self.config.auto_scale_lr.base_batch_size
        return f'{base // images} × {images}'

    @property
    def optimizer(self) -> str:
        """Name and rate of the optimizer."""
        optimizer = self.config.optim_wrapper.optimizer
        return f'{optimizer.type.removeprefix("lewel_plugins.")}, {optimizer.lr:g}'

    def figures(self, kind: str) -> list[tuple[dict[str, Any], str]]:
        """Return the results that have figures of a kind, ``Paper`` or ``Measured``, and the figures as text."""
        pairs = []
        for result in self.entry.get('Results', ()):
            metrics = {
                name.removeprefix(f'{kind} '): value
                for name, value in result['Metrics'].items()
                if name.startswith(f'{kind} ')
            }
            if metrics:
                pairs.append((result, ', '.join(f'{name} {value}' for name, value in metrics.items())))
        return pairs


def recipes(folder: Path) -> list[Recipe]:
    """Read the recipes of a method's folder."""
    metafile = folder / 'metafile.yml'
    models = yaml.safe_load(metafile.read_text(encoding='utf-8'))['Models'] if metafile.is_file() else []
    entries = {model['Name']: model for model in models}
    paths = sorted(folder.glob('*.py'), key=lambda path: (DATA.index(path.stem.rsplit('_', 1)[1]), path.stem))
    return [Recipe(path, Config.fromfile(path), entries.get(path.stem, {})) for path in paths]


def comparisons() -> dict[Path, Config]:
    """Read the comparisons by their files."""
    return {path: Config.fromfile(path) for path in sorted((CONFIGS / 'comparisons').glob('*.py'))}


def result_page(comparison: Path) -> Path | None:
    """Return the page with the results of a comparison, if it was run."""
    page = RESULTS / f'{comparison.stem}.md'
    return page if page.is_file() else None


def pages_by_recipe() -> dict[Path, list[Path]]:
    """Return the pages of ``docs/results`` that have a training by a recipe, by the recipe's file."""
    pages: dict[Path, list[Path]] = {}
    for path, comparison in comparisons().items():
        page = result_page(path)
        if page is None:
            continue
        rows = json.loads(page.with_suffix('.json').read_text(encoding='utf-8'))['rows']
        measured = {row['name'] for row in rows if row['values']}  # a report lists the rows without a run, too
        for row in comparison.rows:
            if 'command' in row:  # not a training
                continue
            recipe = (path.parent / row.get('config', comparison.get('base'))).resolve()
            if row.name in measured and page not in pages.setdefault(recipe, []):
                pages[recipe].append(page)
    return pages


def measured_cell(recipe: Recipe, pages: list[Path], folder: Path) -> str:
    """Return the figures measured with a recipe, as the metafile has them, and the pages that have more."""
    names = {'k-NN Classification': '', 'Linear Classification': 'linear '}
    figures = [
        names[result['Task']] + text.removeprefix('top 1 ')
        for result, text in recipe.figures('Measured')
        if result['Task'] in names
    ]
    text = f'{", ".join(figures)} after {recipe.entry["Metadata"]["Epochs"]} epochs' if figures else ''
    links = [link(page, folder, page.stem.removesuffix('_garment-scenes')) for page in pages]
    return '; '.join(filter(None, [text, ', '.join(links)])) or NONE


def headline(recipe: Recipe) -> tuple[str, str]:
    """Return the tables of the paper that a recipe is for, and the first figure."""
    figures = recipe.figures('Paper')
    if not figures:
        return NONE, NONE
    tables = dict.fromkeys(re.sub('^Tables? ', '', result['Source'].split(',')[0]) for result, _ in figures)
    result, text = figures[0]
    return ', '.join(tables), f'{result["Task"].split()[0].lower()} {text.split(", ")[0]}'


def recipe_table(folder: Path) -> str:
    """Return the table of a method's recipes."""
    pages = pages_by_recipe()
    has_figures = (folder / 'metafile.yml').is_file()
    rows = []
    for recipe in recipes(folder):
        cells = [link(recipe.path, folder), recipe.backbone, recipe.batch, recipe.optimizer]
        cells.append(str(recipe.config.train_cfg.max_epochs))
        cells += headline(recipe) if has_figures else ()
        rows.append([*cells, measured_cell(recipe, pages.get(recipe.path, []), folder)])
    headings = ['recipe', 'backbone', 'GPUs × images', 'optimizer, rate', 'epochs']
    headings += ["the paper's table", "the paper's figure"] if has_figures else []
    return table([*headings, 'measured here'], rows)


def figure_table(folder: Path) -> str:
    """Return the table of all figures of a method's paper."""
    rows = [
        [link(recipe.path, folder), result['Task'], result['Dataset'], result['Source'], text]
        for recipe in recipes(folder)
        for result, text in recipe.figures('Paper')
    ]
    return table(['recipe', 'task', 'data', 'source in the paper', "the paper's figures, %"], rows)


def first_sentence(path: Path) -> str:
    """Return the first sentence of the comment that a config begins with."""
    comment: list[str] = []
    for line in path.read_text(encoding='utf-8').split('\n'):
        if not line.startswith('#'):
            break
        comment.append(line.removeprefix('#').strip())
    text = ' '.join(comment)
    end = re.search(r'(?<!Sec)(?<!Fig)(?<!Eq)(?<!App)(?<! al)\.(?=\s|$)|:(?=\s+(python|tools/)|$)', text)
    return text[: end.start()] if end else text


def benchmark_table(folder: Path) -> str:
    """Return the index of the configs of evaluation and transfer."""
    paths = [path for path in sorted(folder.rglob('*.py')) if '_base_' not in path.parts]
    paths.sort(key=lambda path: (len(path.relative_to(folder).parts), path))
    return table(
        ['config', 'what it does'],
        [[link(path, folder, path.relative_to(folder).as_posix()), first_sentence(path)] for path in paths],
    )


def comparison_table(folder: Path) -> str:
    """Return the index of the comparisons."""
    rows = []
    for path, comparison in comparisons().items():
        page = result_page(path)
        result = link(page, folder, 'results') if page else NONE
        size = f'{len(comparison.rows)} × {len(comparison.get("seeds", (0, 1, 2)))}'
        rows.append([link(path, folder), comparison.title, size, result])
    return table(['comparison', 'what it compares', 'rows × seeds', 'results'], rows)


def needs_table(folder: Path) -> str:
    """Return the table of what a training step of the ImageNet recipes needs, from ``docs/results/dry_run.json``."""
    document = json.loads((RESULTS / 'dry_run.json').read_text(encoding='utf-8'))
    rows = []
    for row in document['rows']:
        path = ROOT / row['config']
        if path.parent == folder:
            gib, (low, high) = row['gib'], row['images_per_second']
            memory = [f'{gib["activations"]:.1f}', f'{gib["need"]:.0f}', str(row['largest_batch'])]
            work = [f'{row["tflop"]:.1f}', f'{row["calls"]:,}', f'{low:,} – {high:,}']
            rows.append([link(path, folder), f'{row["gpus"]} × {row["batch"]}', *memory, *work])
    headings = ['recipe', 'GPUs × images', 'activations, GiB', 'need, GiB', 'largest batch in 80 GiB']
    return table([*headings, 'TFLOP per GPU and step', 'aten calls', 'images/s, H100'], rows)


TABLES = {
    'recipes': recipe_table,
    'needs': needs_table,
    'figures': figure_table,
    'benchmarks': benchmark_table,
    'comparisons': comparison_table,
}


def with_tables(text: str, folder: Path) -> str:
    """Return the text of a folder's README with its tables up to date."""

    def write(match: re.Match[str]) -> str:
        name = match['name']
        return f'<!-- table: {name} -->\n{TABLES[name](folder)}<!-- end of table -->'

    return TABLE.sub(write, text)


def readmes() -> list[Path]:
    """Return the README files with tables."""
    return [CONFIGS / folder / 'README.md' for folder in (*METHODS, 'benchmarks', 'comparisons')]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a table is out of date')
    args = parser.parse_args(argv)
    outdated = []
    for readme in readmes():
        text = readme.read_text(encoding='utf-8')
        current = with_tables(text, readme.parent)
        if current != text:
            outdated.append(readme)
            print(f'{"out of date" if args.check else "written"}: {readme.relative_to(ROOT)}')
            if not args.check:
                readme.write_text(current, encoding='utf-8')
    if args.check and outdated:
        print('run python tools/development/make_recipe_tables.py', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
