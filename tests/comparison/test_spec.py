import pytest
from helpers.comparisons import write_comparison

from lewel_plugins.comparison.spec import Metric, load_comparison
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core


def test_entries_and_defaults(tmp_path):
    path = write_comparison(
        tmp_path,
        options={'level': 0, 'common': True},
        rows=[dict(name='A'), dict(name='B', options={'level': 1}), dict(name='C', command='{python} "a b" {json}')],
        post=[dict(name='maps', command=['{python}', 'x'], rows=['A'])],
        metrics=['knn/top1', dict(key='loss', label='Loss', value='best', higher_is_better=False)],
    )
    comparison = load_comparison(path, {'level': 2, 'more': True})
    assert comparison.name == 'made_up' and comparison.baseline == 'A' and comparison.seeds == (0, 1)
    assert [row.config.resolve() for row in comparison.rows] == [tmp_path / 'config.py'] * 3
    assert comparison.rows[1].options == {'common': True, 'level': 2, 'more': True}  # --cfg-options come last
    assert load_comparison(path).rows[0].options == {'level': 0, 'common': True}
    assert load_comparison(path).rows[1].options == {'level': 1, 'common': True}
    assert comparison.rows[2].command == ('{python}', 'a b', '{json}')
    assert comparison.metrics[0] == Metric('knn/top1') and comparison.metrics[1].heading == 'Loss'
    assert comparison.post[0].rows == ('A',)


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        (dict(rows=[]), 'no rows'),
        (dict(seeds=[]), 'no seeds'),
        (dict(metrics=[]), 'no metrics'),
        (
            dict(metrics=['a', dict(key='a', label='best a', value='best')]),
            r"keys of metrics must differ from each other, got \['a', 'a'\]",
        ),
        (dict(seeds=[1, 1]), r'seeds must differ from each other, got \[1, 1\]'),
        (dict(rows=[dict(name='A'), dict(name='A')]), "must differ from each other, got .'A', 'A'"),
        (dict(baseline='Z'), r"baseline 'Z' is not a row; rows are \['A', 'B'\]"),
        (dict(rows=[dict(name='A', baseline='Z')]), r"baseline 'Z' is not a row; rows are \['A'\]"),
        (dict(rows=[dict(config='config.py')]), 'has no name'),
        (dict(rows=[dict(name='A', config='none.py')]), r"row 'A': config '.*none.py' does not exist"),
        (dict(base=None), "row 'A' has no config, and there is no `base`"),
        (dict(rows=[dict(name='A', optoins={})]), 'unknown optoins; known are name, config, options'),
        (dict(seed=3), 'unknown seed; known are name, title'),
        (dict(metrics=[dict(key='a', value='mean')]), "value must be 'last' or 'best', got 'mean'"),
        (dict(post=[dict(name='p', command='x', rows=['Q'])]), r"post 'p' names \['Q'\]"),
        (dict(post=[dict(name='p')]), 'a post command of .* has no command: '),
        (dict(post=[dict(name='p', command='x "y')]), "command 'x \"y': No closing quotation"),
        (dict(post=['p']), "a post command of .* must be a dict, got 'p'"),
        (dict(post=[dict(name='p', command='x', row='A')]), 'a post command of .*: unknown row; known are name, '),
        (dict(metrics=[dict(label='k-NN')]), 'a metric of .* has no key: '),
        (dict(metrics='knn/top1'), "metrics must be a list, got 'knn/top1'"),
        (dict(claims=[dict(source='P', better='B')]), 'a claim of .* has no worse, metric: '),
        (dict(seeds=0), 'seeds must be a list, got 0'),
        (dict(rows=['A']), "a row of .* must be a dict, got 'A'"),
        *(
            (dict(post=[dict(name=name, command='x')]), f"post '{name}' needs another name")
            for name in ('train', 'command', 'done', 'sessions', 'p.done')
        ),
        (
            dict(post=[dict(name=name, command='x') for name in ('p q', 'p_q')]),
            "'p q' and 'p_q' would both write p_q.json",
        ),
    ],
)
def test_errors_name_the_entry(tmp_path, entries, message):
    with pytest.raises(SetupError, match=message):
        load_comparison(write_comparison(tmp_path, **entries))


def test_commands_of_different_rows_may_have_one_name(tmp_path):
    post = [dict(name='p', command=row, rows=[row]) for row in 'AB']
    assert len(load_comparison(write_comparison(tmp_path, post=post)).post) == 2


def test_an_entry_is_checked_before_a_variant_changes_it(tmp_path):
    variants = dict(other=dict(base='config.py', rows=dict(A=dict(name='Z'))))
    path = write_comparison(tmp_path, variants=variants, claims=[dict(source='P')])
    with pytest.raises(SetupError, match='a claim of .* has no better, worse, metric'):
        load_comparison(path, data='other')
    variants['other']['metrics'] = 'knn/top1'
    with pytest.raises(SetupError, match='metrics must be a list'):
        load_comparison(write_comparison(tmp_path, variants=variants), data='other')


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SetupError, match='does not exist'):
        load_comparison(tmp_path / 'none.py')
    path = tmp_path / 'bad.py'
    path.write_text('rows = [')
    with pytest.raises(SetupError, match='cannot be read: SyntaxError'):
        load_comparison(path)
