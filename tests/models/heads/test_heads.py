"""Rules for recipes and algorithms: every recipe sets a head, only heads compare, and a step is short."""

import ast
import inspect
from pathlib import Path

import pytest
from mmengine.config import Config

from lewel_plugins import models
from lewel_plugins.models import algorithms, heads

pytestmark = pytest.mark.core

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
RECIPES = sorted(file for method in ('lewel', 'smog', 'mpcl', 'msbreg') for file in (CONFIGS / method).glob('*.py'))
ALGORITHMS = [name for name in algorithms.__all__ if name != 'MomentumPretrainer']
MOST_LINES = dict.fromkeys(ALGORITHMS, 10) | dict(SMoG=12)


def lines_of_code(source: str, class_name: str, function_name: str) -> int:
    """Return the number of lines of a method's body, without docstring, comments and empty lines."""
    (body,) = (
        function.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
        for function in node.body
        if isinstance(function, ast.FunctionDef) and function.name == function_name
    )
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    lines = [line.strip() for line in source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]]
    return sum(bool(line) and not line.startswith('#') for line in lines)


@pytest.mark.parametrize('name', ALGORITHMS)
def test_a_step_is_read_at_a_glance(name):
    source = inspect.getsource(inspect.getmodule(getattr(algorithms, name)))
    assert 2 <= lines_of_code(source, name, 'loss') <= MOST_LINES[name]


def test_lines_of_code_are_counted():
    lines = [
        'class A:',
        ' def loss(self):',
        '  """',
        '  Text.',
        '  """',
        '  # why',
        '  x = [',
        '   1,',
        '  ]',
        '',
        '  y',
    ]
    assert lines_of_code('\n'.join(lines), 'A', 'loss') == 4
    assert lines_of_code('class A:\n def loss(self):\n  return 1', 'A', 'loss') == 1


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda file: file.stem)
def test_a_recipe_sets_its_head(recipe):
    model = Config.fromfile(recipe).model
    if not model.type.startswith('lewel_plugins.'):
        pytest.skip(f'{model.type} is a class of mmpretrain')
    scope, _, name = model.head.type.partition('.')
    assert scope == 'lewel_plugins' and name in heads.__all__
    assert model.head.keys() - {'type'} <= inspect.signature(getattr(models, name)).parameters.keys()
    # Widths are stated once, in the neck.
    assert not {'in_channels', 'aligned_channels', 'num_projectors'} & model.head.keys()


def test_every_head_has_a_recipe():
    used = {Config.fromfile(recipe).model.head.type for recipe in RECIPES}
    assert used == {f'lewel_plugins.{name}' for name in heads.__all__ if name != 'build_head'}


def test_only_heads_compare():
    """Algorithms pass embeddings to the head and call no equation."""
    for name in ALGORITHMS:
        source = inspect.getsource(inspect.getmodule(getattr(algorithms, name)))
        assert 'import functional' not in source and 'lewel_plugins.functional' not in source, name
        assert 'self.head.loss(' in source, name
