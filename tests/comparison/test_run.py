import sys

import pytest
from helpers.comparisons import write_comparison
from mmengine.config import Config

from lewel_plugins.comparison.run import flatten, plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_json, write_text
from lewel_plugins.running.jobs import digest

pytestmark = pytest.mark.core


def plan(path, seeds=(0, 1)):
    return plan_runs(load_comparison(path), seeds, path.parent / 'runs', path.parent / 'tools' / 'train.py')


def test_all_rows_seed_by_seed(tmp_path):
    rows = [dict(name='A'), dict(name='p', command='x {json}', per_seed=False), dict(name='r', command='y {seed}')]
    runs = plan(write_comparison(tmp_path, rows=rows))
    assert [str(run) for run in runs] == ['A, seed 0', 'p', 'r, seed 0', 'A, seed 1', 'r, seed 1']


def test_resolved_config_holds_options_and_seed(tmp_path):
    run = plan(write_comparison(tmp_path, rows=[dict(name='A/x', options={'deep.er': [dict(a=(1, None))]})]))[1]
    run.prepare()
    config = Config.fromfile(run.config_path)
    assert config.randomness == dict(seed=1, deterministic=True)
    assert config.deep.er == [dict(a=(1, None))]
    assert run.config_path.name == 'config.py' and run.work_dir.parent == tmp_path / 'runs' / 'A_x'


def test_a_changed_config_is_another_run_and_changing_it_back_the_same(tmp_path):
    first = plan(write_comparison(tmp_path))
    changed = plan(write_comparison(tmp_path, config='train_cfg = dict(max_iters=4)'))
    commented = plan(write_comparison(tmp_path, config='# a comment'))
    assert all(a.work_dir != b.work_dir for a, b in zip(first, changed))
    assert [a.work_dir for a in first] == [b.work_dir for b in commented]
    # Options with the values of the config make the same run as well.
    same = plan(write_comparison(tmp_path, rows=[dict(name='A', options={'level': 10.0}), dict(name='B')]))
    assert same[0].work_dir == first[0].work_dir and same[1].work_dir != first[1].work_dir


def test_a_run_of_another_comparison_with_the_same_config_is_used(tmp_path):
    def plan_in(folder, rows):
        comparison = load_comparison(write_comparison(tmp_path, rows=rows))
        others = tmp_path / 'compare'
        return plan_runs(comparison, (0, 1), others / folder, tmp_path / 'tools' / 'train.py', others)

    command = dict(name='pixels', command='x {json}')
    baseline, *_ = runs = plan_in('first', [dict(name='baseline'), dict(name='A', options={'level': 2.0}), command])
    for run in runs[:3]:
        run.prepare()
    rows = [dict(name='same', options={'level': 10.0}), dict(name='B', options={'level': 3.0}), command]
    same, different, pixels, other_seed, *_ = plan_in('second', rows)  # the config has level = 10.0
    assert same.work_dir == baseline.work_dir
    assert {run.work_dir.parent.parent.name for run in (different, pixels, other_seed)} == {'second'}
    # Rows that an override makes equal are one run and do not wait for each other.
    twice = plan_in('second', [dict(name='same', options={'level': 10.0}), dict(name='again')])
    assert [run.work_dir.parent.name for run in twice[:2]] == ['baseline', 'again']
    # Also after a kill that only one of them has a folder of.
    twice[1].prepare()
    again = plan_in('second', [dict(name='same', options={'level': 10.0}), dict(name='again')])
    assert [run.work_dir for run in again[:2]] == [run.work_dir for run in twice[:2]]
    alone = plan_in('third', [dict(name='alone', options={'level': 7.0}), dict(name='twin', options={'level': 7.0})])
    alone[0].prepare()
    again = plan_in('third', [dict(name='alone', options={'level': 7.0}), dict(name='twin', options={'level': 7.0})])
    assert [run.work_dir.parent.name for run in again[:2]] == ['alone', 'twin']
    # Its own folder comes first.
    (tmp_path / 'compare' / 'second' / 'same' / same.work_dir.name).mkdir(parents=True)
    assert plan_in('second', rows)[0].work_dir.parent.name == 'same'


def test_of_several_folders_of_one_training_that_which_has_come_furthest_is_used(tmp_path):
    post = [dict(name='p', command='{python} {checkpoint} {json}')]

    def plan_in(folder):
        comparison = load_comparison(write_comparison(tmp_path, rows=[dict(name='A')], seeds=[0], post=post))
        others = tmp_path / 'compare'
        (run,) = plan_runs(comparison, [0], others / folder, tmp_path / 'tools' / 'train.py', others)
        return run

    def used(folder):
        return plan_in(folder).work_dir.parents[1].name

    runs = {folder: plan_in(folder) for folder in ('a', 'b', 'c')}  # before there is any folder
    for run in runs.values():
        run.prepare()  # started, and killed
    assert (used('b'), used('new')) == ('b', 'c')
    runs['a'].steps[0].job.finish()
    assert (used('b'), used('new')) == ('b', 'c')  # a has no checkpoint that the post could use
    write_text(runs['a'].work_dir / 'iter_3.pth', '')
    write_text(runs['a'].work_dir / 'last_checkpoint', 'iter_3.pth')
    assert (used('b'), used('c'), used('new')) == ('a', 'a', 'a')
    for step in runs['c'].steps:
        step.job.finish()
    assert (used('a'), used('b'), used('new')) == ('c', 'c', 'c')


def test_the_number_of_processes_makes_another_run(tmp_path):
    config = 'train_dataloader = dict(batch_size=4)\nauto_scale_lr = dict(base_batch_size=8)'
    comparison = load_comparison(write_comparison(tmp_path, config=config))
    folders = [
        [run.work_dir for run in plan_runs(comparison, (0,), tmp_path / 'runs', tmp_path / 'train.py', None, processes)]
        for processes in (None, 2)
    ]
    assert not set(folders[0]) & set(folders[1])
    # The folder that version 1.0.0 gave a run of one process.
    (run, *_) = plan(write_comparison(tmp_path / 'plain'))
    assert run.digest == digest(run.config.to_dict(), ())[:10]


@pytest.mark.parametrize('name', ['evaluation.py', 'linear/probe.py', 'semi/few.py', 'semi/base.py'])
def test_a_changed_recipe_of_the_evaluation_makes_it_run_again(tmp_path, name):
    command = 'python {checkpoint} {configs}/semi/few.py --json {json}'
    files = {
        'evaluation.py': f"linear = 'linear/probe.py'\ncommands = [dict(name='few', command='{command}')]",
        'linear/probe.py': 'lr = 1.0',
        'semi/few.py': "_base_ = './base.py'\nlr = 2.0",
        'semi/base.py': 'epochs = 3',
    }
    for file, text in files.items():
        write_text(tmp_path / 'configs' / file, text)
    post = [dict(name='p', command='{python} {tools}/evaluate.py {tools}/../configs/evaluation.py --json {json}')]
    path = write_comparison(tmp_path, rows=[dict(name='A')], post=post)
    for step in plan(path)[0].steps:
        write_json(step.output, {}) if step.output else None
        step.job.finish(None)
    assert plan(path)[0].is_done()
    write_text(tmp_path / 'configs' / name, f'{files[name]}\nchanged = True')
    (changed, _) = plan(path)
    assert changed.is_trained() and not changed.is_done()
    write_text(tmp_path / 'configs' / name, f'{files[name]}\n# a comment')
    assert plan(path)[0].is_done()


def test_an_evaluation_that_does_not_exist_is_refused_before_the_training(tmp_path):
    post = [dict(name='p', command='{python} {tools}/../configs/nothing.py {json}')]
    with pytest.raises(SetupError, match=r"configs/nothing.py' does not exist"):
        plan(write_comparison(tmp_path, post=post))


def test_placeholders(tmp_path):
    path = write_comparison(
        tmp_path,
        rows=[dict(name='A')],
        post=[
            dict(name='p', command='{python} {tools}/x.py {config} {checkpoint} {work_dir} {seed} {json} "{1: {2}}"')
        ],
    )
    run = plan(path)[0]
    with pytest.raises(SetupError, match='has no last_checkpoint'):
        run.command(run.steps[1])
    run.prepare()
    (run.work_dir / 'last_checkpoint').write_text('/elsewhere/iter_3.pth')  # the folder has moved since
    assert run.command(run.steps[1]) == [
        sys.executable,
        f'{tmp_path}/tools/x.py',
        str(run.config_path),
        str(run.work_dir / 'iter_3.pth'),
        str(run.work_dir),
        '0',
        str(run.work_dir / 'p.json'),
        '{1: {2}}',
    ]


def test_unknown_placeholder(tmp_path):
    run = plan(write_comparison(tmp_path, rows=[dict(name='A', command='x {jsn}')]))[0]
    with pytest.raises(SetupError, match=r'unknown placeholder {jsn}; known are {python}, {tools}'):
        run.command(run.steps[0])


def test_config_or_option_that_does_not_fit(tmp_path):
    with pytest.raises(SetupError, match="row 'A'.*TypeError"):
        plan(write_comparison(tmp_path, rows=[dict(name='A', options={'level.deeper': 1})]))


def test_flatten():
    tree = dict(a=dict(b=1, c=[2.5], d=[1, 2], e='x', f=True), g=3)
    assert flatten(tree) == {'a/b': 1.0, 'a/c': 2.5, 'g': 3.0}
