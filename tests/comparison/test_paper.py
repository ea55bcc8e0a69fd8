"""Reading the file of a paper; tests/configs/test_papers.py reads those of the package."""

import re

import pytest
from helpers.tool_runs import ROOT

from lewel_plugins.comparison.paper import load_paper, table_comparison
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core
PAPER = 'method: A\ntitle: B\narchitectures: [C]\nprotocols: {}\ntables: []\n'


def test_a_metafile_is_not_the_file_of_a_paper():
    path = ROOT / 'configs' / 'lewel' / 'metafile.yml'
    with pytest.raises(SetupError) as caught:
        table_comparison(path, '1')
    message = f'{path}: not the file of a paper, which has method, title, architectures, protocols, tables: no method, '
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'not the file of a paper, .*: it is empty or no mapping'),
        ('- method', 'not the file of a paper, .*: it is empty or no mapping'),
        ('method: [LEWEL\ntables: 1\n', 'no YAML: while parsing a flow sequence .* line 1'),
        (PAPER.replace('tables: []\n', ''), 'not the file of a paper, .*: no tables'),
        (PAPER + 'note: x\n', 'unknown note'),
    ],
)
def test_errors_name_the_file_on_one_line(text, message, tmp_path):
    path = tmp_path / 'paper.yml'
    path.write_text(text)
    with pytest.raises(SetupError, match=f'^{re.escape(str(path))}: {message}') as caught:
        load_paper(path)
    assert '\n' not in str(caught.value)


def test_a_table_measures_by_one_set_of_options(tmp_path):
    """One command measures all rows with the same tool."""
    knn = '{task: T, dataset: D, tool: knn'
    recipe = 'msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10'
    row = f'{{name: R, recipe: {recipe}, setting: {{}}, figures: {{a: {{5-NN: 1.0}}, b: {{20-NN: 1.0}}}}}}'
    text = PAPER.replace('{}', f'{{a: {knn}, options: {{x: 1}}}}, b: {knn}}}}}').replace(
        '[]', f"[{{table: '1', title: T, rows: [{row}]}}]"
    )
    (tmp_path / 'configs' / 'method').mkdir(parents=True)
    (tmp_path / 'configs' / 'method' / f'{recipe}.py').write_text('')
    path = tmp_path / 'configs' / 'method' / 'paper.yml'
    path.write_text(text)
    with pytest.raises(SetupError, match="protocols 'a' and 'b' of a table need the same options"):
        table_comparison(path, '1')
    path.write_text(text.replace('tool: knn, options', 'tool: alignment_uniformity, options'))
    with pytest.raises(SetupError, match="'a' has options, which only those with the tool knn have, not alignment_uni"):
        load_paper(path)
