"""The README files of ``configs/`` have up-to-date tables, every recipe and base, and valid links."""

import importlib.util
import json
import re
from pathlib import Path
from statistics import median

import pytest
import yaml
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.planning import METHODS

pytestmark = pytest.mark.core
CONFIGS = ROOT / 'configs'
spec = importlib.util.spec_from_file_location('make_recipe_tables', ROOT / 'tools/development/make_recipe_tables.py')
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
READMES = tool.readmes()
METAFILES = sorted(CONFIGS.glob('*/metafile.yml'))


@pytest.mark.parametrize('readme', READMES, ids=lambda path: path.parent.name)
def test_tables_are_up_to_date(readme):
    text = readme.read_text(encoding='utf-8')
    assert text.count('<!-- table: ') == text.count('<!-- end of table -->') >= 1
    assert tool.with_tables(text, readme.parent) == text, 'run python tools/development/make_recipe_tables.py'


@pytest.mark.parametrize('readme', READMES, ids=lambda path: path.parent.name)
def test_every_config_of_the_folder_is_linked(readme):
    text = readme.read_text(encoding='utf-8')
    configs = [path for path in readme.parent.rglob('*.py') if '_base_' not in path.parts]
    assert configs
    for path in configs:
        assert f']({path.relative_to(readme.parent).as_posix()})' in text


@pytest.mark.parametrize('readme', READMES, ids=lambda path: path.parent.name)
def test_links_lead_to_files(readme):
    for target in re.findall(r'\]\(([^)]+)\)', readme.read_text(encoding='utf-8')):
        assert '://' in target or (readme.parent / target.partition('#')[0]).is_file(), target


def test_an_outdated_table_is_rewritten_and_fails_the_check(monkeypatch, capsys):
    folder = CONFIGS / 'lewel'
    text = (folder / 'README.md').read_text(encoding='utf-8')
    outdated = text.replace('| LARS, 3.6 | 200 |', '| LARS, 3.5 | 200 |').replace('top 1 73.8', 'top 1 73.9')
    assert outdated != text
    assert tool.with_tables(outdated, folder) == text

    monkeypatch.setattr(tool, 'with_tables', lambda text, folder: text)
    assert tool.main(['--check']) == 0
    monkeypatch.setattr(tool, 'with_tables', lambda text, folder: text + 'more')
    assert tool.main(['--check']) == 1
    assert 'out of date: configs/lewel/README.md' in capsys.readouterr().out
    assert (folder / 'README.md').read_text(encoding='utf-8') == text


def test_a_row_has_the_numbers_of_its_recipe():
    (row,) = (
        line
        for line in (CONFIGS / 'lewel' / 'README.md').read_text(encoding='utf-8').split('\n')
        if line.startswith('| [lewel-b_resnet50_8xb64-lars-syncbn-coslr-400e_in1k]') and 'ResNet-50' in line
    )
    cells = [cell.strip() for cell in row.strip('|').split('|')][1:]
    assert cells == ['ResNet-50', '8 × 64', 'LARS, 1.8', '400', '1, 2, 4', 'linear top 1 73.8', '–']


def test_a_report_is_linked_where_the_recipe_was_trained(monkeypatch, tmp_path):
    def write(name, rows):
        (tmp_path / f'{name}.md').touch()
        rows = [dict(name=row, values=values) for row, values in rows.items()]
        (tmp_path / f'{name}.json').write_text(json.dumps(dict(rows=rows)))
        return tmp_path / f'{name}.md'

    methods = write('all-methods_cifar10', {'MoCo v2': {'0': {'knn/top1_k20': 49.2}}, 'BYOL': {}})
    write('calibration_cifar10', {'MoCo v2': {}, 'raw pixels': {'0': {'knn/top1_k20': 45.8}}})
    monkeypatch.setattr(tool, 'RESULTS', tmp_path)
    recipe = CONFIGS / 'baselines' / 'mocov2_resnet10_1xb128-10e_cifar10.py'
    assert tool.pages_by_recipe() == {recipe: [methods]}


@pytest.mark.parametrize('metafile', METAFILES, ids=lambda path: path.parent.name)
def test_a_figure_of_the_paper_names_its_table(metafile):
    content = yaml.safe_load(metafile.read_text(encoding='utf-8'))
    assert (ROOT / content['Collections'][0]['README']).is_file()
    papers = 0
    for model in content['Models']:
        cfg = Config.fromfile(ROOT / model['Config'])
        metadata = model['Metadata']
        assert cfg.auto_scale_lr.base_batch_size == metadata['Batch Size']
        # A measured run may have been shorter than the recipe.
        assert 'Options' in metadata or cfg.train_cfg.max_epochs == metadata['Epochs']
        for result in model.get('Results', ()):
            is_of_paper = any(name.startswith('Paper ') for name in result['Metrics'])
            assert is_of_paper == ('Source' in result), (model['Name'], result)
            if is_of_paper:
                assert re.match(r'Tables? (\d+[a-d]?|[IV]+)( and \d+)?, ', result['Source']), result['Source']
                papers += 1
    assert papers


def base_files(path: Path) -> set[Path]:
    """Return all files of this repository that a config inherits from."""
    files: set[Path] = set()
    for base in Config._get_base_files(str(path)):
        if '::' not in base:
            file = (path.parent / base).resolve()
            files |= {file, *base_files(file)}
    return files


def test_every_base_has_a_recipe():
    """Or ``lewel pretrain`` composes a config of it: the model or the views of a method."""
    recipes = [path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    used = set().union(*(base_files(path) for path in recipes))
    used |= {CONFIGS / '_base_' / 'models' / f'{method.model}.py' for method in METHODS.values()}
    used |= {CONFIGS / '_base_' / 'views' / f'{method.views}_224px.py' for method in METHODS.values()}
    assert used >= {path for path in CONFIGS.rglob('*.py') if '_base_' in path.parts}


@pytest.mark.parametrize('path', sorted((CONFIGS / '_base_').rglob('*.py')), ids=lambda path: path.stem)
def test_a_base_that_sets_a_length_is_named_after_it(path):
    """All other bases leave lengths to the recipe."""
    epochs = (Config.fromfile(path).get('train_cfg') or {}).get('max_epochs')
    named = re.search(r'[-_](\d+)e$', path.stem)
    assert epochs == (int(named[1]) if named else None)


def test_recipes_are_made_of_few_files():
    recipes = [path for room in tool.METHODS for path in (CONFIGS / room).glob('*.py')]
    counts = sorted(1 + len(base_files(path)) for path in recipes)
    assert median(counts) <= 5 and counts[-1] <= 8
