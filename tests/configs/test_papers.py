"""The papers' tables: each number has what repeats it, with the setting that the paper prints."""

import argparse
import importlib.util
import re
from collections import Counter

import pytest
import yaml
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.comparison.paper import load_paper, table_comparison
from lewel_plugins.comparison.run import resolved_configs
from lewel_plugins.comparison.spec import Comparison, load_comparison
from lewel_plugins.errors import SetupError
from lewel_plugins.running.command_line import ConfigOptions

pytestmark = pytest.mark.core
CONFIGS = ROOT / 'configs'
PAPERS = {path.parent.name: load_paper(path) for path in sorted(CONFIGS.glob('*/paper.yml'))}
TABLES = [(method, table) for method, paper in PAPERS.items() for table in paper.tables if not table.same_as]
SETTINGS = ('model', 'data_preprocessor', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg')
spec = importlib.util.spec_from_file_location(
    'make_reproduction', ROOT / 'tools' / 'development' / 'make_reproduction.py'
)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def resolve(paper, rows):
    """Return the resolved config of each row."""
    rows = tuple(paper.resolve(row) for row in rows)
    return resolved_configs(Comparison('', '', '', rows, (0,), (), '', ()))


def setting(cfg):
    """Return batch, length, optimizer and rate of a recipe."""
    optimizer = cfg.optim_wrapper.optimizer
    return dict(
        optimizer=optimizer.type.rpartition('.')[2],
        lr=pytest.approx(optimizer.lr),
        batch=cfg.auto_scale_lr.base_batch_size,
        epochs=cfg.train_cfg.max_epochs,
    )


def test_all_papers_are_there():
    assert list(PAPERS) == ['lewel', 'mpcl', 'msbreg', 'smog']


@pytest.mark.parametrize(('method', 'table'), TABLES, ids=lambda value: getattr(value, 'heading', value))
def test_each_row_has_the_setting_of_the_paper(method, table):
    paper = PAPERS[method]
    rows = [row for row in table.rows if not row.missing]
    names = Counter(row.name for row in table.rows)
    assert max(names.values()) == 1
    for (name, cfg), row in zip(resolve(paper, rows).items(), rows):
        assert name == row.name
        cosine = cfg.param_scheduler[-1]
        assert (cosine.T_max + cosine.begin, cosine.end) == (cfg.train_cfg.max_epochs, cfg.train_cfg.max_epochs)
        assert (dict(row.setting) == setting(cfg)) == (not row.differs), (row.name, row.setting, setting(cfg))


@pytest.mark.parametrize(('method', 'table'), TABLES, ids=lambda value: getattr(value, 'heading', value))
def test_a_row_with_a_recipe_and_an_ablation_is_the_same_training(method, table):
    paper = PAPERS[method]
    for row in table.rows:
        if row.recipe and row.row:
            same = paper.comparison_row(row)
            (cfg,) = resolved_configs(Comparison('', '', '', (same,), (0,), (), '', ())).values()
            recipe = Config.fromfile(paper.recipe(row.recipe))
            for name in (*SETTINGS, 'custom_hooks', 'sync_bn'):  # without the variables of the files
                assert cfg.get(name) == recipe.get(name), (row.name, name)


@pytest.mark.parametrize(('method', 'table'), TABLES, ids=lambda value: getattr(value, 'heading', value))
def test_a_table_is_a_comparison_that_measures_each_of_its_numbers(method, table):
    paper = PAPERS[method]
    try:
        comparison = table_comparison(paper.path, table.table, processes=8)
    except SetupError as error:
        if importlib.util.find_spec('mmdet') and importlib.util.find_spec('mmseg'):
            raise
        assert re.search('needs benchmarks/mm.* is not installed', str(error))
        return
    rows = [row for row in table.rows if not row.missing]
    assert [row.name for row in comparison.rows] == [row.name for row in rows]
    posts = {post.name: post for post in comparison.post}
    for row in rows:
        for name in row.figures:
            protocol = paper.protocols[name]
            assert row.name in posts[protocol.step].rows
            assert not protocol.config or (CONFIGS / 'benchmarks' / protocol.config).is_file()
    for word in (word for post in comparison.post for word in post.command if word.startswith('{tools}')):
        assert (ROOT / 'tools' / word.removeprefix('{tools}/')).resolve().is_file(), word


def test_the_5_nn_of_msbreg_is_euclidean_with_equal_votes():
    paper = PAPERS['msbreg']
    (post,) = (post for post in table_comparison(paper.path, '1').post if post.name == 'knn')
    start = post.command.index('--cfg-options') + 1
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={})
    options = parser.parse_args(['--cfg-options', *post.command[start:]]).cfg_options
    for cfg in resolve(paper, paper.find_table('1').rows).values():
        cfg.merge_from_dict(options)
        metric = cfg.test_evaluator[0]
        assert metric == dict(type='lewel_plugins.KNNMetric', k=5, temperature=None, distance='euclidean')
    (post,) = (post for post in table_comparison(paper.path, '4').post if post.name == 'knn')
    assert '--cfg-options' not in post.command  # 20-NN and 200-NN are those of the recipe


def test_the_page_has_what_the_papers_leave_open():
    page = ' '.join(tool.PAGE.read_text(encoding='utf-8').split())
    for reading in (
        'not which ResNet-50 Tables 4 to 6 start from.',
        'Tables 2 and 7 print different figures for the same model on ImageNet.',
        "The weights λ_s and λ_b of BYOL's rows are doubled",
        '[test.py](../tools/test.py), by the Euclidean distance and equal votes',
    ):
        assert reading in page


def test_every_variant_is_in_a_table_or_names_its_table():
    """A variant that no table uses would be a second set of files."""
    used = {(row.comparison, row.data) for _, table in TABLES for row in table.rows if row.row}
    for path in sorted((CONFIGS / 'comparisons').glob('*.py')):
        for data in Config.fromfile(path).get('variants', {}):
            assert (path.stem, data) in used, (path.stem, data)
            assert 'Tab' in load_comparison(path, data=data).title


def test_generated_files_are_up_to_date():
    pytest.importorskip('mmdet')
    pytest.importorskip('mmseg')
    for path, text in tool.files().items():
        assert path.read_text(encoding='utf-8') == text, 'run python tools/development/make_reproduction.py'


def test_an_outdated_file_fails_the_check(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tool, 'files', lambda: {tool.PAGE: 'more'})
    before = tool.PAGE.read_text(encoding='utf-8')
    assert tool.main(['--check']) == 1
    assert 'out of date: docs/reproduce.md' in capsys.readouterr().out
    assert tool.PAGE.read_text(encoding='utf-8') == before


def test_metafiles_have_every_number_of_a_recipe_once_and_no_other():
    figures = {}
    for folder in (*PAPERS, 'baselines'):
        for model in yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text(encoding='utf-8'))['Models']:
            for result in model.get('Results', ()):
                for metric, value in result['Metrics'].items():
                    if metric.startswith('Paper '):
                        key = model['Name'], result['Task'], result['Dataset'], metric
                        figures.setdefault(key, []).append(value)
    printed = {}
    for method, table in TABLES:
        paper = PAPERS[method]
        for row in table.rows:
            for name, numbers in row.figures.items() if row.recipe and not row.differs else ():
                protocol = paper.protocols[name]
                for metric, value in numbers.items():
                    if value is not None:
                        key = row.recipe, protocol.task, protocol.dataset, f'Paper {metric}'
                        printed.setdefault(key, []).append(float(value))
    assert figures.keys() == printed.keys()
    for key, values in printed.items():
        assert set(figures[key]) <= set(values), key
        assert all(any(tool.same(value, other) for other in figures[key]) for value in values), key


def test_results_of_a_table_fill_the_column_of_ours(monkeypatch, tmp_path):
    paper = PAPERS['lewel']
    table = paper.find_table('4')
    assert tool.comparison_name(paper, table) == 'lewel_table-4'
    keys = {'box AP': 'coco/bbox_mAP', 'mask AP75': 'coco/segm_mAP_75'}
    summary = {f'mask-rcnn_r50-c4_moco-ms-1x_coco/{key}': dict(mean=0.3891) for key in keys.values()}
    rows = tool.row_lines(paper, table.rows[2], summary)
    assert len(rows) == 12 and rows[0].startswith(
        '| LEWEL_M | COCO, Mask R-CNN R50-C4 1x: box AP | 38.9 | 38.91 | [lewel-m_'
    )
    assert '| COCO, Mask R-CNN R50-C4 1x: mask AP75 | 36.3 | 38.91 |' in rows[5]
    assert '| 58.6 |  |' in rows[1]
    monkeypatch.setattr(tool, 'RESULTS', tmp_path)
    assert tool.measured_here(paper, table) == {}


def test_numbers_are_printed_with_their_zeros():
    table = PAPERS['mpcl'].find_table('II')
    assert str(table.rows[0].figures['linear_in100']['top 1']) == '77.50'
    protocol = PAPERS['mpcl'].protocols['views']
    assert protocol.in_units_of_the_paper('1 − L_align', 0.25) == 0.75
    assert protocol.in_units_of_the_paper('−L_uniform', -2.0) == 2.0
