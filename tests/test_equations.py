"""The cells of docs/equations.md exist, its citations are complete, and its functions train.

A traced training step of every method shows which functions are called, and from where. So a function in the table that
does not train, a caller that has moved, and an equation that an algorithm's docstring leaves out all fail here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest.mock import MagicMock

import pytest
import torch
from helpers import tiny, tiny_mpcl
from helpers.call_trace import Calls, traced_calls
from helpers.equations import (
    PACKAGE,
    PAGE,
    ROOT,
    Definition,
    Equation,
    Row,
    citations,
    definitions,
    docstring,
    links,
    listed_equations,
    package_docstrings,
    read_rows,
    tables,
)
from helpers.toy_runner import ToyImages
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins import functional as LF
from lewel_plugins import hooks, models
from lewel_plugins.datasets import PretrainDataset
from lewel_plugins.evaluation import RepresentationMetric
from lewel_plugins.hooks.representation_monitor_hook import scaled_std
from lewel_plugins.models import MomentumPretrainer
from lewel_plugins.visualization.group_quality import shuffled_entropy

pytestmark = [pytest.mark.core, pytest.mark.filterwarnings('ignore:the parameters of .* have changed')]

NUMBERED = dict(LEWEL=5, SMoG=4, MPCL=4, MSBReg=7)  # equations with a number in each paper
PAGE_TEXT = PAGE.read_text()
ROWS = read_rows(PAGE_TEXT)
PAPERS = {row.equation.paper for row in ROWS}
HELPERS = [definition for cells in tables(PAGE_TEXT)['Functions without an equation'] for definition in links(cells[0])]
FUNCTIONS = f'{PACKAGE.name}/functional/'


def train_step(model: torch.nn.Module, views: list[Tensor], *others: Hook) -> Calls:
    """Train one step in the order of a Runner, with the hooks that every recipe has and ``others``."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    runner = MagicMock(model=model, iter=0, max_iters=1)
    runner.optim_wrapper.optimizer = optimizer
    used = [hooks.MomentumUpdateHook(), *others]
    model.train()
    with traced_calls() as calls:
        for hook in used:
            hook.before_train(runner)
        for hook in used:
            hook.before_train_iter(runner, 0)
        sum(model(views, mode='loss').values()).backward()
        optimizer.step()
        for hook in used:
            hook.after_train_iter(runner, 0)
    if getattr(getattr(model, 'teacher', None), 'end_momentum', None) is None:  # a constant α has no schedule
        calls = {call for call in calls if call[0].name != 'MomentumEncoder.momentum_at'}
    return calls


def mpcl_step(method: str) -> Calls:
    """Train a step that ends an epoch."""
    return train_step(tiny_mpcl.build(method), tiny.images(), hooks.MPCLReweightHook(interval=1))


def smog_step() -> Calls:
    """Train a step with multi-crop."""
    return train_step(tiny.smog(num_views=4), tiny.images(views=2) + tiny.images(views=2, size=4))


def byol_step() -> Calls:
    return train_step(tiny.byol_multi_crop(), tiny.images(views=2) + tiny.images(views=2, size=4))


# Paper of each algorithm, and its step.
METHODS: dict[str, tuple[str, Callable[[], Calls]]] = dict(
    LEWELM=('LEWEL', lambda: train_step(tiny.lewel_m(), tiny.images())),
    LEWELB=('LEWEL', lambda: train_step(tiny.lewel_b(), tiny.images())),
    SMoG=('SMoG', smog_step),
    MPCLMoCo=('MPCL', lambda: mpcl_step('mpcl_moco')),
    MPCLMoCoV3=('MPCL', lambda: mpcl_step('mpcl_moco_v3')),
    MPCLBarlowTwins=('MPCL', lambda: mpcl_step('mpcl_barlow_twins')),
    MSBReg=('MSBReg', lambda: train_step(tiny.msbreg(), tiny.images(views=3))),
    BYOLMultiCrop=('MSBReg', byol_step),
)


def monitored_step() -> Calls:
    """Train a step with the monitor, and with uniformity as a loss."""
    regularizer = hooks.RegularizerHook('head.q', [dict(type='lewel_plugins.UniformityLoss')])
    return train_step(tiny.lewel_b(), tiny.images(), hooks.RepresentationMonitorHook(interval=1), regularizer)


def evaluation() -> Calls:
    """Compute the measures of features and of groups."""
    features, labels, metric = tiny.images(6)[0].flatten(1), torch.full((6,), -1), RepresentationMetric()
    with traced_calls() as calls:
        metric.process(None, [dict(split='query', feat=features, label=labels, sample_idx=torch.arange(6))])
        metric.evaluate(6)
        shuffled_entropy(torch.arange(6) % 2, torch.arange(6) % 3, 2)
    return calls


def watched_views() -> Calls:
    """Measure views of watched images, as in a validation."""
    loader = DataLoader(PretrainDataset(ToyImages(4)), batch_size=4, collate_fn=default_collate)
    hook = hooks.ViewRetrievalHook(dict(train={}), lidar_views=2)
    with traced_calls() as calls:
        hook._measure(MagicMock(), tiny.lewel_b().float().eval(), loader)
    return calls


# Switches, monitoring and evaluation, which no step of a method calls.
OTHERS: dict[str, Callable[[], Calls]] = dict(
    standardized=lambda: train_step(tiny.msbreg(neck_changes=dict(standardize=True)), tiny.images()),
    monitored=monitored_step,
    evaluation=evaluation,
    watched_views=watched_views,
)


@cache
def calls_of(name: str) -> frozenset:
    return frozenset(METHODS[name][1]() if name in METHODS else OTHERS[name]())


def all_calls() -> frozenset:
    return frozenset().union(*map(calls_of, (*METHODS, *OTHERS)))


def algorithm(name: str) -> Definition:
    file = getattr(models, name).__module__.replace('.', '/') + '.py'
    return Definition(file, name)


def own_equations(calls: frozenset, paper: str) -> set[tuple[Equation, Definition]]:
    """Return the equations that traced calls compute, of the method's paper or else of one that the four build on."""
    used = {(row.equation, f) for row in ROWS for f in row.functions for c in row.callers if (f, c) in calls}
    own = {(equation, f) for equation, f in used if equation.paper == paper}
    elsewhere = {f for _, f in used} - {f for _, f in own}
    return own | {(equation, f) for equation, f in used if f in elsewhere and equation.paper not in NUMBERED}


def test_the_page_has_every_numbered_equation():
    expected = {Equation(paper, f'Eq. {n + 1}') for paper, count in NUMBERED.items() for n in range(count)}
    missing = [str(equation) for equation in expected - {row.equation for row in ROWS}]
    assert not missing
    background = {row.equation for row in ROWS if row.background}
    assert background == {Equation('SMoG', 'Eq. 1'), Equation('SMoG', 'Eq. 2')}


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row.equation.paper} {row.equation.label}')
def test_cells_name_what_exists(row: Row):
    if row.background:
        assert row.background.startswith('background, not trained: ')
        assert not row.callers and not row.tests
        return
    assert row.formula and len(row.functions) == 1 and row.callers and row.tests
    missing = [str(d) for d in row.functions + row.callers + row.tests if d.name not in definitions(d.file)]
    assert not missing
    assert all(test.file.startswith('tests/') and test.name.startswith('test_') for test in row.tests)
    (function,) = row.functions
    if function.file.startswith(FUNCTIONS):
        assert any(function.name in (ROOT / test.file).read_text() for test in row.tests), 'the test does not name it'


def test_the_text_of_a_link_is_its_file():
    for row in ROWS:
        for definition in row.functions:
            assert f'[`{definition.file.removeprefix(PACKAGE.name + "/")}: {definition.name}`]' in PAGE_TEXT
        for definition in row.tests:
            assert f'[`{definition.file.removeprefix("tests/")}::{definition.name}`]' in PAGE_TEXT


def test_every_cited_equation_has_a_row():
    known, unknown = {row.equation for row in ROWS}, []
    for definition, text, around in package_docstrings():
        for equation in citations(text, PAPERS, around):
            if equation.label.startswith(('Eq.', 'Algorithm')) and equation not in known:
                paper = equation.paper or '(no paper of the page named before it)'
                unknown.append(f'{definition} cites {paper}, {equation.label}')
    assert not unknown, '\n'.join(unknown)


@pytest.mark.parametrize('row', [row for row in ROWS if row.functions], ids=lambda row: row.functions[0].name)
def test_the_function_of_a_row_cites_its_equation(row: Row):
    (function,) = row.functions
    outer = function.name.rpartition('.')[0]
    text = ' '.join(docstring(Definition(function.file, name)) for name in (outer, function.name) if name)
    assert row.equation in citations(text, PAPERS), f'{function} does not cite {row.equation}'


def test_citations_are_read_as_they_are_written():
    text = 'LEWEL, Eq. 4; He et al. (MoCo), Eqs. 1, 2 and\n4. ε of Eq. 7, Sec. III-B; Wang and Isola 2020, Sec. 4.1.'
    assert citations(text, {'LEWEL', 'MoCo', 'MoCo v3', 'Wang and Isola'}) == [
        ('LEWEL', 'Eq. 4'),
        *(('MoCo', f'Eq. {n}') for n in (1, 2, 4, 7)),
        ('MoCo', 'Sec. III-B'),
        ('Wang and Isola', 'Sec. 4.1'),
    ]
    assert citations('MSBReg, Eqs. 5 to 7', {'MSBReg'}) == [('MSBReg', f'Eq. {n}') for n in (5, 6, 7)]
    assert citations('Eq. 3.', {'MPCL'}, around='MPCL, Eq. 1.') == [('MPCL', 'Eq. 3')]
    assert citations('Jones, Eq. 3.', {'MPCL'}) == [('', 'Eq. 3')]


@pytest.mark.parametrize('row', [row for row in ROWS if row.functions], ids=lambda row: row.functions[0].name)
def test_the_function_of_a_row_is_called_from_where_the_row_says(row: Row):
    (function,) = row.functions
    callers = sorted(str(caller) for called, caller in all_calls() if called == function)
    missing = [str(caller) for caller in row.callers if str(caller) not in callers]
    assert not missing, f'{function} is called from {callers or "nowhere"}, not from {missing}'


def test_the_page_names_every_caller():
    named = {(function, caller) for row in ROWS for function in row.functions for caller in row.callers}
    rowed = {function for function, _ in named if function.file.startswith(FUNCTIONS)}
    others = [
        f'{called} from {caller}'
        for called, caller in all_calls() - named
        if called in rowed and not caller.file.startswith(FUNCTIONS)
    ]
    assert not others, '\n'.join(others)


def test_every_public_function_is_on_the_page():
    on_page = {function.name for row in ROWS for function in row.functions if function.file.startswith(FUNCTIONS)}
    helpers = {helper.name for helper in HELPERS}
    assert all(helper.name in definitions(helper.file) for helper in HELPERS)
    assert not on_page & helpers
    assert sorted(on_page | helpers) == sorted(LF.__all__)
    assert all(cells[1] for cells in tables(PAGE_TEXT)['Functions without an equation']), 'a helper has no reason'


def test_every_algorithm_is_traced():
    algorithms = {name for name in models.algorithms.__all__ if name != MomentumPretrainer.__name__}
    assert algorithms == METHODS.keys()


@pytest.mark.parametrize('name', [*METHODS, 'MomentumPretrainer'])
def test_an_algorithm_lists_the_equations_of_its_step(name: str):
    if name in METHODS:
        expected = own_equations(calls_of(name), METHODS[name][0])
    else:
        file = algorithm(name).file
        expected = own_equations(frozenset(call for call in all_calls() if call[1].file == file), '')
    listed = listed_equations(docstring(algorithm(name)), PAPERS)
    assert len(set(listed)) == len(listed)
    missing = [f'{equation}: {function}' for equation, function in expected - set(listed)]
    extra = [f'{equation}: {function}' for equation, function in set(listed) - expected]
    assert not missing, 'used by the step, but not listed'
    assert not extra, 'listed, but not used by the step'


def test_the_table_of_jumps():
    expected = []
    for name in (*METHODS, 'MomentumPretrainer'):
        listed = listed_equations(docstring(algorithm(name)), PAPERS)
        equations, functions = ({entry[i] for entry in listed} for i in (0, 1))
        file = algorithm(name).file
        cell = f'[`{file.rpartition("/")[2]}: {name}`](../{file})'
        expected.append([cell, str(len(equations)), str(len(functions)), '1'])
    rows = '\n'.join(f'| {" | ".join(row)} |' for row in expected)
    assert tables(PAGE_TEXT)['Jumps'] == expected, f'expected:\n{rows}'


def test_the_trace_follows_the_call_path():
    """Without the uniformity loss, its call is missing."""
    uniformity = Definition(FUNCTIONS + 'measures.py', 'uniformity')
    forward = Definition(f'{PACKAGE.name}/models/losses/uniformity_loss.py', 'UniformityLoss.forward')
    assert (uniformity, forward) in calls_of('monitored')
    assert (uniformity, forward) not in calls_of('LEWELB')


def test_std_of_unit_features():
    """The one measure that is not in ``functional``, against loops in float64."""
    x = tiny.images(5)[0].flatten(1)
    columns = list(zip(*((row / row.square().sum().sqrt()).tolist() for row in x)))
    means = [sum(column) / len(column) for column in columns]
    stds = [(sum((v - m) ** 2 for v in column) / len(column)) ** 0.5 for column, m in zip(columns, means)]
    assert scaled_std(x).item() == pytest.approx(sum(stds) / len(stds) * len(stds) ** 0.5, abs=1e-12)
