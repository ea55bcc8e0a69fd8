"""The comparison with published figures, and its documentation."""

import re

import pytest
from helpers.comparisons import compare, write_comparison
from helpers.tool_runs import ROOT

from lewel_plugins.comparison.run import resolved_configs
from lewel_plugins.comparison.spec import load_comparison

FILE = ROOT / 'configs' / 'comparisons' / 'published_cifar10.py'
PUBLISHED = {
    'BYOL, 200 epochs': '200-NN 86.9 (lightly)',
    'MoCo, 200 epochs': '200-NN 83.8 (lightly)',
    'Barlow Twins, 200 epochs': '200-NN 84.2 (lightly)',
    'SMoG, 200 epochs': '200-NN 74.3 (lightly)',
    'BYOL by solo-learn, 30 epochs': 'linear 68.4 (EMP-SSL); beside it SimCLR 66.3, VICReg 78.1',
}


def test_rows_with_the_figures_of_others():
    rows = {row.name: row for row in load_comparison(FILE).rows}
    assert {name: row.published for name, row in rows.items() if row.published} == PUBLISHED
    methods = [name.removesuffix(', 200 epochs') for name in rows if name.endswith(', 200 epochs')]
    assert len(methods) == 8 and {f'{method}, 30 epochs' for method in methods} < set(rows)


def test_the_short_rows_differ_in_length_alone():
    comparison = load_comparison(FILE)
    configs = resolved_configs(comparison)
    for name in (row.name for row in comparison.rows if row.name.endswith(', 200 epochs')):
        long, short = configs[name], configs[name.replace('200', '30')]
        assert short.train_cfg.max_epochs == 30
        assert short.param_scheduler == [dict(long.param_scheduler[0], T_max=30, end=30)]
        for key in ('train_cfg', 'param_scheduler'):
            long.pop(key), short.pop(key)
        assert long.to_dict() == short.to_dict()


def test_linear_evaluation_normalizes_as_the_training_did():
    comparison = load_comparison(FILE)
    configs = resolved_configs(comparison)
    evaluated = [name for post in comparison.post for name in post.rows]
    assert sorted(evaluated) == sorted(row.name for row in comparison.rows if row.name.endswith('30 epochs'))
    for post in comparison.post:
        means = {tuple(configs[name].data_preprocessor.mean) for name in post.rows}
        options = [word for word in post.command if word.startswith('data_preprocessor.mean=')]
        expected = (125.307, 122.950, 113.865)  # that of configs/benchmarks/evaluation_cifar10.py
        if options:
            expected = tuple(map(float, options[0].partition('=')[2].split(',')))
        assert means == {expected}


@pytest.mark.core
def test_report_has_a_column_for_the_figures_of_others(tmp_path):
    path = write_comparison(tmp_path, rows=[dict(name='A', published='k-NN 99 (they)'), dict(name='B')], seeds=[0])
    done = compare(path)
    assert done.returncode == 0, done.stdout
    lines = (tmp_path / 'report' / 'it.md').read_text().splitlines()
    for line in (
        '| row | config | changes | published by others, not measured here |',
        '|---|---|---|---|',
        '| A | `config.py` |  | k-NN 99 (they) |',
        '| B | `config.py` |  | — |',
    ):
        assert line in lines


def test_documented_figures_and_command_are_those_of_the_file():
    text = (ROOT / 'docs' / 'published.md').read_text(encoding='utf-8')
    for figure in re.findall(r'\d+\.\d', ' '.join(PUBLISHED.values())):
        assert f'| {figure} |' in text
    rows = {row.name for row in load_comparison(FILE).rows}
    commands = re.findall(r'compare.py (\S+) --only "([^"]+)"', text)
    assert commands and all(ROOT / file == FILE and row in rows for file, row in commands)
