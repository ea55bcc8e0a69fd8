"""The printed config is the resolved one, and each of its values has the comment of the file that sets it."""

import ast
import io
import tokenize

import pytest
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running.config_listing import list_config
from lewel_plugins.running.config_sources import ConfigSources

pytestmark = pytest.mark.core
# Those of other libraries import these.
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if path.parent.name != 'libraries')
RECIPE = 'configs/lewel/lewel-b_resnet50_8xb128-lars-coslr-100e_in1k.py'


def without_comments(text: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return tokenize.untokenize(token for token in tokens if token.type != tokenize.COMMENT)


def comments(text: str) -> dict[int, str]:
    """Return the comments by line."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string.removeprefix('# ') for token in tokens if token.type == tokenize.COMMENT}


def resolved(path) -> dict:
    try:
        return Config.fromfile(str(path)).to_dict()
    except ModuleNotFoundError as error:
        pytest.skip(f'{path.name}: {error}')  # a base of mmdet, where mmdet is not installed


@pytest.mark.sampled(6)
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_text_is_the_resolved_config(path, tmp_path):
    config = resolved(path)
    printed = tmp_path / 'printed.py'
    printed.write_text(without_comments(list_config(ConfigSources(str(path)))))
    assert '#' not in printed.read_text()
    assert Config.fromfile(str(printed)).to_dict() == config


@pytest.mark.parametrize('stem', ['lewel-b_resnet50_8xb128-lars-coslr-100e_in1k', 'msbreg_garment-scenes'])
def test_every_value_is_on_a_line_with_its_source(stem):
    (path,) = (path for path in CONFIGS if path.stem == stem)
    sources = ConfigSources(str(path))
    text = list_config(sources)
    notes = comments(text)
    seen = 0

    def check(node: ast.expr, keys: tuple, note: str) -> None:
        """Compare the comment at a value, or at the innermost bracket around it that has one, with its source."""
        nonlocal seen
        note = notes.get(node.lineno, note)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
            for keyword in node.keywords:
                check(keyword.value, (*keys, keyword.arg), notes.get(keyword.value.lineno, note))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                check(value, (*keys, ast.literal_eval(key)), note)
        elif isinstance(node, (ast.List, ast.Tuple)):
            for index, item in enumerate(node.elts):
                check(item, (*keys, index), note)
        else:
            assert note == str(sources.source(*keys)), keys
            seen += 1

    for statement in ast.parse(text).body:
        check(statement.value, (statement.targets[0].id,), '')
    assert seen > 100


def test_a_part_has_its_values_only():
    path = str(ROOT / RECIPE)
    sources = ConfigSources(path, {'model.neck.num_groups': 8})
    text = list_config(sources, ['model.neck.num_groups', 'optim_wrapper.optimizer', 'train_cfg'])
    values: dict = {}
    exec(text, values)
    config = Config.fromfile(path)
    assert values['model'] == dict(neck=dict(num_groups=8))
    assert values['optim_wrapper'] == dict(optimizer=config.optim_wrapper.optimizer)
    assert values['train_cfg'] == config.train_cfg
    assert 'data_root' not in values
    (line,) = (line for line in text.split('\n') if 'num_groups=8' in line)
    assert line.endswith('# --cfg-options')


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('modle', "the config has no 'modle'. Did you mean model?"),
        ('model.nek', "model has no 'nek'. Did you mean neck?"),
        ('model.head.beta.x', 'model.head.beta is 0.5, which has no keys; name model.head.beta itself'),
    ],
)
def test_unknown_part_is_refused(key, message):
    with pytest.raises(SetupError) as error:
        list_config(ConfigSources(str(ROOT / RECIPE)), [key])
    assert str(error.value) == f'--only {key}: {message}'


def test_values_that_are_no_literals_are_printed_as_code(tmp_path):
    text = "a = dict(lr=float('inf'), point=(1,), empty=dict(), none=[], words={'a b': 1, 2: 3, 'class': 4})\n"
    (tmp_path / 'a.py').write_text(text)
    values: dict = {}
    exec(list_config(ConfigSources(str(tmp_path / 'a.py'))), values)
    assert values['a'] == Config.fromfile(str(tmp_path / 'a.py')).a.to_dict()
