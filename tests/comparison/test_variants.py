"""Comparison files on other data and on another base."""

import pytest
from helpers.comparisons import write_comparison

from lewel_plugins.comparison.run import plan_runs, recipe_processes, resolved_configs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core
LARGE = 'train_cfg = dict(max_epochs=9)\nlevel = 100.0\ntrain_dataloader = dict(batch_size=4)\n'
LARGE += 'auto_scale_lr = dict(base_batch_size=32)\n'


def write(tmp_path, variant=None, **entries):
    """Write a comparison with a base, a row with a config of its own, a post, and a variant."""
    for name in ('large', 'other_large', 'other'):
        (tmp_path / f'{name}.py').write_text(LARGE + f'name = {name!r}\n')
    defaults = dict(
        options={'train_cfg.max_iters': 2},
        rows=[
            dict(name='A'),
            dict(name='B', options={'level': 12.5}),
            dict(name='C', config='other.py', options={'level': 3.0}, baseline='B'),
            dict(name='D', options={'level': 4.0}),
        ],
        baseline='A',
        post=[dict(name='maps', command='x {json}', rows=['B', 'D']), dict(name='only D', command='x', rows=['D'])],
    )
    small = dict(base='large.py', configs={'other.py': 'other_large.py'})
    variants = dict(in100={**small, **(variant or {})})
    return write_comparison(tmp_path, **{**defaults, 'variants': variants, **entries})


def test_options_of_the_rows_apply_to_other_configs_and_those_of_the_file_do_not(tmp_path):
    path = write(tmp_path)
    assert load_comparison(path).rows[1].options == {'train_cfg.max_iters': 2, 'level': 12.5}
    comparison = load_comparison(path, {'more': 1}, data='in100')
    assert comparison.name == 'made_in100'  # made_up.py on other data
    assert [row.config.name for row in comparison.rows] == ['large.py', 'large.py', 'other_large.py', 'large.py']
    assert [dict(row.options) for row in comparison.rows] == [
        {'more': 1}, {'level': 12.5, 'more': 1}, {'level': 3.0, 'more': 1}, {'level': 4.0, 'more': 1},
    ]  # fmt: skip
    configs = resolved_configs(comparison)
    assert configs['B'].level == 12.5 and 'max_iters' not in configs['B'].train_cfg
    assert comparison.metrics == load_comparison(path).metrics and comparison.seeds == (0, 1)


def test_rows_of_a_variant_change_are_left_out_and_are_added(tmp_path):
    rows = {'B': dict(name='B2', options={'level': 25.0}), 'D': None, 'C': dict(config='large.py')}
    variant = dict(rows=rows, add=[dict(name='E', options={'level': 7.0})], seeds=[5], title='T', options={'x': 1})
    comparison = load_comparison(write(tmp_path, variant), data='in100')
    assert [row.name for row in comparison.rows] == ['A', 'B2', 'C', 'E']
    assert comparison.rows[1].options == {'x': 1, 'level': 25.0}
    assert comparison.rows[2].config.name == 'large.py' and comparison.rows[2].baseline == 'B2'
    assert comparison.seeds == (5,) and comparison.title == 'T'
    (post,) = comparison.post  # that of D alone has no row left
    assert post.rows == ('B2',)


def test_another_base_replaces_the_schedule_of_the_file(tmp_path):
    path = write(tmp_path, rows=[dict(name='A'), dict(name='B', options={'level': 12.5})], post=[])
    comparison = load_comparison(path, base=tmp_path / 'large.py')
    assert comparison.name == 'made_large' and {row.config for row in comparison.rows} == {tmp_path / 'large.py'}
    assert [dict(row.options) for row in comparison.rows] == [{}, {'level': 12.5}]


def test_another_base_refuses_rows_that_fit_only_the_own_base(tmp_path):
    bound = [dict(name='A'), dict(name='B', options={'level': 12.5}, bound_to_base=True)]
    path = write(tmp_path, rows=bound, post=[])
    message = r"^--base: rows \['B'\] of .* fit only its own base \(bound_to_base\); [^\n]*--data, [^\n]*$"
    with pytest.raises(SetupError, match=message):
        load_comparison(path, base=tmp_path / 'large.py')
    free = [dict(name='A'), dict(name='B', options={'level': 12.5})]
    for data in (None, 'in100'):  # the flag changes nothing else, and so no run
        rows = load_comparison(write(tmp_path, rows=bound, post=[]), data=data).rows
        assert rows == load_comparison(write(tmp_path, rows=free, post=[]), data=data).rows


@pytest.mark.parametrize(
    ('variant', 'data', 'message'),
    [
        ({}, 'in1k', r"has no variant 'in1k'; its variants are in100"),
        (dict(bases='x'), 'in100', "variant 'in100': unknown bases; known are title, question, base"),
        (dict(rows={'Z': None}), 'in100', r"changes rows \['Z'\], which the file does not have"),
        (dict(configs={}), 'in100', "row 'C' has the config 'other.py', for which variant 'in100' names no other"),
        (dict(rows={'A': None}), 'in100', "baseline 'A' is not a row"),
        (dict(base='none.py'), 'in100', "row 'A': config '.*none.py' does not exist"),
    ],
)
def test_errors_of_variants(tmp_path, variant, data, message):
    with pytest.raises(SetupError, match=message):
        load_comparison(write(tmp_path, variant), data=data)


def test_errors_of_another_base(tmp_path):
    path = write(tmp_path)
    with pytest.raises(SetupError, match=r"--base: rows \['C'\] of .* have configs of their own"):
        load_comparison(path, base=tmp_path / 'large.py')
    with pytest.raises(SetupError, match="--base: config '.*none.py' does not exist"):
        load_comparison(path, base=tmp_path / 'none.py')
    with pytest.raises(SetupError, match='not both'):
        load_comparison(path, base=tmp_path / 'large.py', data='in100')
    with pytest.raises(SetupError, match='its variants are none'):
        load_comparison(write(tmp_path, variants={}), data='in100')


def test_each_run_has_the_processes_that_its_recipe_is_for(tmp_path):
    comparison = load_comparison(write(tmp_path), data='in100')
    config = resolved_configs(comparison)['A']
    assert recipe_processes(config) == 8
    plan = plan_runs(comparison, (0,), tmp_path / 'runs', tmp_path / 'train.py', processes=16)
    words = plan[0].command(plan[0].steps[0])
    assert words[1:5] == ['-m', 'lewel_plugins.running.launch', '--standalone', '--local-addr=127.0.0.1']
    assert words[5:7] == ['--nproc_per_node=8', str(tmp_path / 'train.py')] and words[-2:] == ['--launcher', 'pytorch']
    alone = plan_runs(comparison, (0,), tmp_path / 'runs', tmp_path / 'train.py')[0]
    assert alone.command(alone.steps[0])[1] == str(tmp_path / 'train.py')  # as before, whatever the recipe
    with pytest.raises(
        SetupError, match=r"row 'A' is for 8 processes of 4 images, but there may be 2: .*batch_size=16"
    ):
        plan_runs(comparison, (0,), tmp_path / 'runs', tmp_path / 'train.py', processes=2)
    larger = load_comparison(write(tmp_path), {'train_dataloader.batch_size': 16}, data='in100')
    assert plan_runs(larger, (0,), tmp_path / 'runs', tmp_path / 'train.py', processes=2)[0].processes == 2
    config.train_dataloader.batch_size = 5
    with pytest.raises(SetupError, match='steps of 32 images, which train_dataloader.batch_size=5 does not divide'):
        recipe_processes(config)


def test_prefix_of_a_post_keeps_metrics_of_the_same_name_apart(tmp_path):
    post = [
        dict(name=name, command='x {json}', prefix=prefix) for name, prefix in (('a', 'one'), ('b', 'two'), ('c', ''))
    ]
    run = plan_runs(load_comparison(write(tmp_path, post=post)), (0,), tmp_path / 'runs', tmp_path / 'train.py')[0]
    for value, step in enumerate(run.steps[1:]):
        step.job.finish(dict(top1=value))
    assert run.results()[1] == {'one/top1': 0.0, 'two/top1': 1.0, 'top1': 2.0}
