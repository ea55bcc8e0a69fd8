"""The source of a value is the file that sets it, because a change in that file changes the value."""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running.config_sources import ConfigSources

pytestmark = pytest.mark.core
MARK = 'changed by the test'
# Chains of recipes, lists of bases, _delete_ in recipes and bases, replaced data sets, bases used by their variables.
RECIPES = [
    'lewel/lewel-b_resnet50_8xb128-lars-coslr-100e_in1k.py',
    'smog/smog_resnet50x2_32xb128-lars-multicrop-coslr-400e_in1k.py',
    'msbreg/byol-multicrop_resnet50_8xb64-lars-coslr-100e_in1k.py',
    'msbreg/msbreg-k2_resnet10_1xb64-24e_garment-scenes.py',
    'baselines/mocov3_vit-tiny-p4_1xb64-24e_garment-scenes.py',
    'benchmarks/semi/lewel-semi-1pct_1xb64-steplr-50e_garment-scenes.py',
    'benchmarks/linear/msbreg-linear_8xb32-steplr-84e_inat18.py',
    'comparisons/msbreg_norms-24e_garment-scenes.py',
]


def leaves(value: Any, keys: tuple = ()) -> list[tuple]:
    """Return the keys of all values except dicts."""
    if isinstance(value, dict) and value:
        return [path for key, item in value.items() for path in leaves(item, (*keys, key))]
    return [keys]


def look_up(config: Any, keys: tuple) -> Any:
    for key in keys:
        config = config[key]
    return config


def statement(keys: tuple, value: Any) -> str:
    """Return Python code that changes a variable of a config file."""
    target = keys[0] + ''.join(f'[{key!r}]' for key in keys[1:])
    if isinstance(value, list):
        return f'{target} = {target} + [{MARK!r}]'
    if is_number(value):  # with which a later file may compute
        return f'{target} = {value + 1!r}'
    return f'{target} = {target} + ({MARK!r},)' if isinstance(value, tuple) else f'{target} = {MARK!r}'


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_changed(value: Any, before: Any) -> bool:
    if is_number(before):
        return value == before + 1
    return value == MARK or isinstance(value, (list, tuple)) and len(value) > 0 and value[-1] == MARK


@pytest.mark.parametrize('recipe', RECIPES)
def test_named_file_sets_the_value(recipe, tmp_path, monkeypatch):
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    monkeypatch.chdir(tmp_path)
    path = Path('configs') / recipe
    sources = ConfigSources(str(path))
    config = sources.config.to_dict()
    by_file = defaultdict(list)
    for keys in leaves(config):
        by_file[sources.source(*keys).name].append(keys)
    assert by_file.keys() <= set(sources.files) and len(by_file) > 1
    assert sources.files[-1] == str(path)
    for file, places in by_file.items():
        text = Path(file).read_text()
        lines = [statement(keys, look_up(config, keys)) for keys in places]
        # A later file may use the changed value in an expression of its own.
        Path(file).write_text('\n'.join([text, *lines]))
        changed = Config.fromfile(path).to_dict()
        Path(file).write_text(text)
        assert all(is_changed(look_up(changed, keys), look_up(config, keys)) for keys in places), file
    assert Config.fromfile(path).to_dict() == config


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)


def test_values_are_traced_leaf_by_leaf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        first="model = dict(a=1, b=dict(c=2, d=[3]), e=dict(f=4))\nonly = 'first'\n",
        second="_base_ = './first.py'\nmodel = dict(b=dict(c=5), e=dict(_delete_=True, g=6))\n",
        other='data = dict(size=7)\n',
        recipe="_base_ = ['./second.py', './other.py']\nmodel = dict(b=dict(d=[_base_.data.size]))\nnew = 8\n",
    )
    sources = ConfigSources('recipe.py')
    assert sources.files == ['first.py', 'second.py', 'other.py', 'recipe.py']
    assert sources.config.to_dict() == Config.fromfile('recipe.py').to_dict()
    named = {'.'.join(keys): str(sources.source(*keys)) for keys in leaves(sources.config.to_dict())}
    assert named == {
        'model.a': 'first.py',
        'model.b.c': 'second.py',
        'model.b.d': 'recipe.py',
        'model.e.g': 'second.py (_delete_)',
        'only': 'first.py',
        'data.size': 'other.py',
        'new': 'recipe.py',
    }


def test_options_are_traced_into_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, recipe='views = [dict(size=32, blur=0.1), dict(size=16)]\nmodel = dict(width=8)\n')
    options = {'views.0.size': 64, 'model.depth': 2, 'new.part': 1}
    sources = ConfigSources('recipe.py', options)
    assert sources.config.views == [dict(size=64, blur=0.1), dict(size=16)]
    keys = [('views', 0, 'size'), ('views', 0, 'blur'), ('views', 1, 'size'), ('model', 'width'), ('model', 'depth')]
    names = [str(sources.source(*path)) for path in [*keys, ('new', 'part')]]
    assert names == ['--cfg-options', 'recipe.py', 'recipe.py', 'recipe.py', '--cfg-options', '--cfg-options']


def test_base_of_another_package_is_named_by_its_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, recipe="_base_ = 'mmpretrain::_base_/models/resnet50.py'\nmodel = dict(backbone=dict(depth=18))\n")
    sources = ConfigSources('recipe.py')
    assert sources.files == ['mmpretrain::_base_/models/resnet50.py', 'recipe.py']
    assert str(sources.source('model', 'backbone', 'depth')) == 'recipe.py'
    assert str(sources.source('model', 'backbone', 'num_stages')) == 'mmpretrain::_base_/models/resnet50.py'
    assert all(sources.source(*keys).name in sources.files for keys in leaves(sources.config.to_dict()))


def test_reading_is_not_changed_afterwards(tmp_path):
    write(tmp_path, broken='model = 1 / 0\n')
    before = Config.__dict__['_file2dict'], Config.__dict__['_merge_a_into_b']
    with pytest.raises(SetupError, match='broken.py cannot be read: ZeroDivisionError'):
        ConfigSources(str(tmp_path / 'broken.py'))
    assert (Config.__dict__['_file2dict'], Config.__dict__['_merge_a_into_b']) == before


def test_what_cannot_be_traced_is_refused(tmp_path):
    write(tmp_path, new='from mmengine.config import read_base\n\nwith read_base():\n    from .other import *\n')
    with pytest.raises(SetupError, match=r'read_base\(\)'):
        ConfigSources(str(tmp_path / 'new.py'))
    with pytest.raises(SetupError, match='does not exist'):
        ConfigSources('configs/none.py')
