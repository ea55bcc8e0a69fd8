"""The pages of docs/methods: every name exists, figures are those of the report beside them, configs build models."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers.equations import definitions
from helpers.tool_runs import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.cli.parser import build_parser
from lewel_plugins.models.necks.parallel_mlps import MLPSettings
from lewel_plugins.models.projector_balance import ProjectorBalance
from lewel_plugins.planning.compose import configs_folder
from lewel_plugins.planning.methods import METHODS, find_method
from lewel_plugins.registry import HOOKS
from lewel_plugins.running.command_line import parse_settings

FOLDER = ROOT / 'docs' / 'methods'
RESULTS = ROOT / 'docs' / 'results' / 'README.md'
PAGES = {path.stem: path.read_text(encoding='utf-8') for path in sorted(FOLDER.glob('*.md'))}
METHOD_PAGES = ['lewel', 'smog', 'mpcl', 'msbreg']
RECIPES = {
    'lewel': ['lewel-m_resnet50_8xb32-coslr-200e_in1k', 'lewel-b_resnet50_8xb64-lars-coslr-200e_in1k'],
    'smog': ['smog_resnet50_8xb512-lars-coslr-100e_in1k'],
    'mpcl': ['mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k'],
    'msbreg': ['msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k'],
}
PARTS = {'neck.mlp': MLPSettings, 'head.balance': ProjectorBalance}  # arguments that are no registered module
FIGURE = re.compile(r'[+−]?\d+\.\d+ ± \d+\.\d+')
LINK = re.compile(r'\]\(([^)#\s]+)(?:#[\w-]+)?\)')
CODE = re.compile(r'`([^`]+)`')
SVG_BYTES = 20_000
NOT_MEASURED = ('row', 'setting', 'seeds', 'paper', 'report')


def without_blocks(text: str) -> str:
    """Return a page without fenced and indented code."""
    return re.sub(
        r'^    .*$', '', re.sub(r'^```.*?^```$', '', text, flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE
    )


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return the rows of each table as dicts by the cells of its head."""
    blocks = []
    for block in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line.strip('|').split('|')] for line in block.splitlines())
        assert all(len(row) == len(head) for row in rows), block
        blocks.append([dict(zip(head, row)) for row in rows])
    return blocks


def with_column(name: str, page: str) -> list[dict[str, str]]:
    """Return the rows of all tables of a page that have a column."""
    return [row for table in tables(PAGES[page]) for row in table if name in row]


@cache
def report(path: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the figures of a report by row and column, the first table first, and the seeds that each row has."""
    text = path.read_text(encoding='utf-8')
    figures: dict[str, dict[str, str]] = {}
    for table in tables(text):
        for row in table:
            figures.setdefault(row.get('', ''), row)
    line = re.search(r'^Mean .* over seeds ([\d, ]+)\.$', text, re.MULTILINE)
    seeds = dict.fromkeys(figures, line[1] if line else '')
    # In a partial report, rows differ in their seeds.
    if each := re.search(r'^Each seed \(([\d, ]+)\):\n\n((?:\|.*\n)+)', text, re.MULTILINE):
        for row in tables(each[2])[0]:
            values = zip(*(cell.split(', ') for name, cell in row.items() if name))
            seeds[row['']] = ', '.join(n for n, cells in zip(each[1].split(', '), values) if set(cells) != {'—'})
    return figures, seeds


def linked(text: str, folder: Path = FOLDER) -> list[Path]:
    """Return the files that a text links to."""
    return [(folder / link).resolve() for link in LINK.findall(text) if '://' not in link]


@pytest.mark.parametrize('page', [*(FOLDER / f'{name}.md' for name in (*METHOD_PAGES, 'baselines')), RESULTS])
def test_results_are_those_of_their_reports(page):
    rows = [row for table in tables(page.read_text(encoding='utf-8')) for row in table if 'seeds' in row]
    assert rows
    for row in rows:
        (path,) = linked(row['report'], page.parent)
        figures, seeds = report(path)
        assert row['seeds'] == seeds[row['row']], row['row']
        measured = {name: cell for name, cell in row.items() if name not in NOT_MEASURED}
        assert any(cell != '–' for cell in measured.values())
        for name, cell in measured.items():
            assert cell in ('–', figures[row['row']].get(name, '').replace('-', '−')), (row['row'], name)


@pytest.mark.parametrize('page', METHOD_PAGES)
def test_the_papers_figures_are_those_in_results(page):
    readme = (ROOT / 'docs' / 'results' / 'measurements.md').read_text(encoding='utf-8')
    cells = [row['paper'].replace('ImageNet-1k', '') for row in with_column('seeds', page)]
    numbers = re.findall(r'[+−]?\d+(?:\.\d+)?', ' '.join(cells))
    assert numbers and all(number in readme for number in numbers)


@cache
def rows_of_cifar10() -> dict[str, str]:
    """Return the recipes of the comparison whose steps were timed, by row."""
    rows = Config.fromfile(ROOT / 'configs' / 'comparisons' / 'all-methods_cifar10.py').rows
    return {row['name']: row['config'] for row in rows}


@pytest.mark.parametrize('page', [*METHOD_PAGES, 'baselines'])
def test_ratios_of_steps_are_those_of_their_reports(page):
    rows = with_column('ratio', page)
    assert rows
    for row in rows:
        (path,) = linked(row['report'])
        document = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
        if 'row' in document['rows'][0]:  # a report by ``step.py rows``, whose ratios are over pairs of steps
            steps = {step['row']: step for step in document['rows']}
            step, baseline = steps[row['method']], steps[row['baseline']]
            assert (row['ResNet'], row['pixels']) == ('10', str(document['size']))
            assert '_resnet10_' in rows_of_cifar10()[row['method']] and step['baseline'] == row['baseline']
            assert (row['step, s'], row['its step, s']) == tuple(f'{s["seconds"]:.4f}' for s in (step, baseline))
            assert row['ratio'] == f'{step["ratio"]:.2f}'
            continue
        seconds = {
            step['method']: step['step, s']
            for table in tables(path.read_text(encoding='utf-8'))
            for step in table
            if (step['ResNet'], step['pixels']) == (row['ResNet'], row['pixels'])
        }
        assert (row['step, s'], row['its step, s']) == (seconds[row['method']], seconds[row['baseline']])
        assert row['ratio'] == f'{float(row["step, s"]) / float(row["its step, s"]):.2f}'


def test_the_ratios_on_the_first_page_are_the_extremes_of_the_others():
    columns = {'step over that of the baseline, 160 and 224 px': ('160', '224'), '32 and 64 px': ('32', '64')}
    rows = with_column('32 and 64 px', 'index')
    for row in rows[:-1]:  # the last row has the baselines
        kind = ', K = 4' if any('K = 4' in row[column] for column in columns) else ''
        name = re.sub(r'\[(\w+)\].*', r'\1', row['method']) + kind
        (page,) = linked(row['method'])
        for column, pixels in columns.items():
            ratios = {
                cost['ratio']
                for cost in with_column('ratio', page.stem)
                if (cost['method'] == name or name == 'MPCL' and 'MPCL' in cost['method']) and cost['pixels'] in pixels
            }
            assert re.findall(r'\d\.\d\d', row[column]) == sorted({min(ratios), max(ratios)}), (name, column)
    assert len(rows) == 6


@pytest.mark.parametrize('page', PAGES)
def test_figures_in_the_text_are_in_a_linked_file(page):
    prose = '\n'.join(line for line in without_blocks(PAGES[page]).splitlines() if not line.startswith('|'))
    rows = [line for line in PAGES[page].splitlines() if line.startswith('|') and '| seeds |' not in line]
    for block in [*re.split(r'\n\n|\n(?=- )', prose), *rows]:
        files = [path for path in linked(block) if path.suffix in ('.md', '.json') and 'results' in path.parts]
        texts = [path.read_text(encoding='utf-8').replace('-', '−') for path in files]
        for figure in FIGURE.findall(block):
            assert any(figure in text for text in texts), (figure, block)


@pytest.mark.parametrize('page', PAGES)
def test_links_and_pictures_exist(page):
    text = PAGES[page]
    missing = [path for path in linked(text) if not path.exists()]
    assert not missing
    for alt, link in re.findall(r'!\[([^\]]*)\]\(([^)]+)\)', text):
        assert len(alt) > 40, link
        if link.endswith('.svg'):
            picture = FOLDER / link
            tags = {element.tag.rsplit('}')[-1] for element in ElementTree.parse(picture).iter()}
            assert {'title', 'desc'} <= tags and picture.stat().st_size <= SVG_BYTES
            assert not re.search(r'href|url\((?!#)', picture.read_text(encoding='utf-8'))  # nothing from elsewhere
    assert page not in METHOD_PAGES or f'../images/method_{page}.svg' in text


@pytest.mark.parametrize('page', PAGES)
def test_linked_functions_are_in_their_files(page):
    names = re.findall(r'\[`([\w.]+)`\]\(([^)]+\.py)\)', PAGES[page])
    assert bool(names) == (page != 'index')
    for name, link in names:
        file = (FOLDER / link).resolve().relative_to(ROOT).as_posix()
        assert name in definitions(file), f'{name} in {file}'


@cache
def words_of_the_repository() -> frozenset[str]:
    files = [path for folder in ('lewel_plugins', 'tools', 'configs') for path in (ROOT / folder).rglob('*.py')]
    return frozenset(re.findall(r'[\w-]+', ' '.join(path.read_text(encoding='utf-8') for path in files)))


@pytest.mark.parametrize('page', PAGES)
def test_names_in_code_exist(page):
    """Each word of a code span is a file, or a word of the code; options and settings have tests of their own."""
    for span in CODE.findall(without_blocks(PAGES[page])):
        if span.startswith('lewel pretrain '):  # a command
            continue
        for word in re.findall(r'[A-Za-z_][\w/.-]*\w', span):
            parts = [part for part in re.split(r'[./]', word) if part]
            known = (ROOT / word).exists() or all(part in words_of_the_repository() for part in parts)
            assert known, f'{word} in `{span}`'


def commands(page: str) -> list[list[str]]:
    """Return the words of the commands on a page, in blocks and in the text."""
    lines = re.findall(r'^    ((?:lewel|python) .*)$|`(lewel pretrain .*?)`', PAGES[page], re.MULTILINE)
    return [shlex.split(''.join(pair)) for pair in lines]


@pytest.mark.parametrize('page', PAGES)
def test_commands_are_accepted(page):
    lines = commands(page)
    assert any(words[0] == 'lewel' for words in lines)
    for words in lines:
        if words[0] == 'python':
            assert (ROOT / words[1]).is_file()
            help_text = (ROOT / words[1]).read_text(encoding='utf-8')
            options = [word for word in words[2:] if word.startswith('--') and word != '--cfg-options']
            assert all(f"'{option}'" in help_text for option in options), words
            continue
        args = build_parser().parse(words[1:])
        model = Config.fromfile(configs_folder() / '_base_' / 'models' / f'{find_method(args.method).model}.py')
        for key, value in parse_settings(args.set, '--set').items():
            assert type(setting(model.model, key.removeprefix('model.'))) is type(value), key


def test_all_methods_have_a_command():
    methods = {words[words.index('--method') + 1] for page in PAGES for words in commands(page) if '--method' in words}
    methods |= {row['`--method`'].strip('`') for row in with_column('`--method`', 'baselines')}
    assert methods == set(METHODS)


def arguments(config: Config, owner: str) -> dict[str, Any]:
    """Return the arguments of a part of a model, such as ``head.balance``, with those that its config sets."""
    part: Any = config
    for name in owner.split('.') if owner else ():
        part = part.get(name) or {}
    kind = PARTS.get(owner) or MODELS.get(part['type'])
    defaults = {name: parameter.default for name, parameter in signature(kind).parameters.items()}
    return {**defaults, **{name: value for name, value in part.items() if name != 'type'}}


def setting(model: Config, name: str) -> Any:
    owner, _, last = name.rpartition('.')
    return arguments(model, owner)[last]


def knob(recipe: Config, name: str) -> Any:
    """Return the value of a knob in a recipe; KeyError if the method has none of that name."""
    owner, _, last = name.rpartition('.')
    if owner.endswith('Hook'):
        defaults = signature(HOOKS.get(f'lewel_plugins.{owner}')).parameters
        (own,) = (hook for hook in recipe.custom_hooks if hook['type'].endswith(owner))
        return own.get(last, defaults[last].default)
    return recipe[last] if not owner and last in recipe else setting(recipe.model, name)


def states(cell: str, value: Any) -> bool:
    """Whether a cell has a value, numbers by what they amount to."""
    if isinstance(value, (bool, str)) or value is None:
        return str(value) in cell
    return value in map(float, re.findall(r'\d+(?:\.\d+)?(?:e-?\d+)?', cell))


@pytest.mark.parametrize('page', METHOD_PAGES)
def test_knobs_exist_and_have_the_values_of_the_recipes(page):
    init_default_scope('mmpretrain')
    recipes = [Config.fromfile(ROOT / 'configs' / page / f'{name}.py') for name in RECIPES[page]]
    rows = with_column('knob', page)
    assert len(rows) > 5
    for row in rows:
        cell = row['in the recipes']
        for name in CODE.findall(row['knob']):
            values = []
            for recipe in recipes:
                try:
                    values.append(knob(recipe, name))
                except KeyError:
                    continue
            assert values and Parameter.empty not in values, name
            if re.search(r'\d|True|False|`', cell):
                assert all(states(cell, value) for value in values), (name, values)


def config_blocks() -> list[tuple[str, str]]:
    return [
        (page, block)
        for page in METHOD_PAGES
        for block in re.findall(r'^```python\n(.*?)^```$', PAGES[page], re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize(('page', 'block'), config_blocks())
def test_configs_build_a_model_and_hooks(page, block, tmp_path):
    (base,) = re.findall(r"^_base_ = '(.*)'$", block, re.MULTILINE)
    (path,) = (ROOT / 'configs').glob(f'*/{base}')
    file = tmp_path / 'mine.py'
    file.write_text(block.replace(f"'{base}'", repr(str(path))))
    config, original = Config.fromfile(file), Config.fromfile(path)
    assert config.to_dict() != original.to_dict()
    init_default_scope('mmpretrain')
    model = MODELS.build(config.model)
    for settings in config.get('custom_hooks', []):
        hook = HOOKS.build(settings)
        if settings['type'].endswith('RegularizerHook'):
            hook.attach(model)
            hook.detach()


def test_every_page_is_in_the_contents():
    listed = re.search(r'```\{toctree\}\n:hidden:\n(.*?)```', PAGES['index'], re.DOTALL)
    assert set(listed[1].split()) == set(PAGES) - {'index'}
