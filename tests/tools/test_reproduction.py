"""tools/measurements/reproduction.py on a row of each kind; the tool itself runs all of them."""

import importlib.util

import pytest
from helpers.tool_runs import ROOT

from lewel_plugins.comparison.paper import load_paper

spec = importlib.util.spec_from_file_location('reproduction', ROOT / 'tools' / 'measurements' / 'reproduction.py')
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
RERUN = 'run python tools/measurements/reproduction.py'
ROWS = [
    ('lewel', '5', 'aligned loss, uncoupled'),
    ('lewel', '7', 'BYOL, d = 256'),
    ('smog', '7c', '300 groups'),
    ('smog', '2', 'SMoG with multi-crop'),
    ('mpcl', 'VII', 'MoCo v3, MPH (different), batch 4096'),
    ('msbreg', '6', 'Ours, LN, lambda_b = 5e-3'),
]


def find(method: str, table: str, name: str):
    """Return the training of a row."""
    paper = load_paper(ROOT / 'configs' / method / 'paper.yml')
    (config,) = (config for row, config, _ in tool._rows(paper, paper.find_table(table)) if row == name)
    return tool.Training(config, [(paper.method, f'Table {table}, {name}')], numbers=2)


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    tool.make_images(folder)
    return folder


@pytest.mark.parametrize(('method', 'table', 'name'), ROWS, ids=lambda value: value.replace(' ', '_'))
def test_row_trains_two_steps(method, table, name, images, tmp_path):
    training = find(method, table, name)
    tool.run(training, images, tmp_path / 'run')
    assert not training.error and len(training.losses) == 2


def test_a_row_that_fails_is_counted_and_named(images, tmp_path):
    good, bad = find('lewel', '5', 'all three components'), find('lewel', '5', 'both losses, uncoupled')
    good.losses = [1.0, 1.0]
    bad.config.model.neck.num_groups = 7  # does not divide the channels
    tool.run(bad, images, tmp_path / 'run')
    assert '7' in bad.error and not bad.losses
    page = tool.report([load_paper(ROOT / 'configs' / 'lewel' / 'paper.yml')], [good, bad], 'python x')
    assert '| LEWEL | 1 | 2 | 2 | 1 | 2 |' in page  # 2 rows are not legible
    assert (
        '1 of 2 different trainings run.' in page and f'- Table 5, both losses, uncoupled (LEWEL): {bad.error}' in page
    )


def test_the_page_has_the_rows_of_the_papers():
    """A row that a paper.yml gains or loses makes the page stale: it has to be measured again."""
    page = (ROOT / 'docs' / 'results' / 'reproduction.md').read_text(encoding='utf-8')
    papers = [load_paper(path) for path in sorted((ROOT / 'configs').glob('*/paper.yml'))]
    for paper in papers:
        rows = [row for table in paper.tables for row in paper.find_table(table.table).rows]
        here = [row for row in rows if not row.missing]
        absent = sum(row.copies for table in paper.tables for row in table.rows if row.missing)
        (cells,) = (line.split(' | ') for line in page.splitlines() if line.startswith(f'| {paper.method} | '))
        run, numbers, _, fail, not_here = (int(cell.strip(' |')) for cell in cells[1:])
        assert (run + fail, not_here) == (len(here), absent), (paper.method, RERUN)
        assert fail or numbers == sum(len(figures) for row in here for figures in row.figures.values()), RERUN
    listed = page.partition('## Rows that are not here\n\n')[2].partition('\n\n')[0].splitlines()
    assert listed == tool.rows_not_here(papers), RERUN


def test_trainings_that_tables_share_run_once():
    paper = load_paper(ROOT / 'configs' / 'smog' / 'paper.yml')
    todo = tool.trainings([paper])
    rows = [row for training in todo for row in training.rows]
    assert len(rows) == sum(len(table.rows) for table in paper.tables) > len(todo)
    (shared,) = (training for training in todo if ('SMoG', 'Table 7a, β from 1.0 to 0.99') in training.rows)
    assert len(shared.rows) == 4 and shared.numbers == 4
