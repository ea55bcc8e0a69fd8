"""The arguments --cfg-options and --launcher."""

import argparse

import pytest
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running.command_line import add_config_options, add_launcher, merge_options

pytestmark = pytest.mark.core


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    add_launcher(parser)
    return parser


@pytest.mark.parametrize(
    'text, value',
    [
        ('/my images/of (2019)', '/my images/of (2019)'),
        ('"/my images"', '/my images'),
        ('0.5', 0.5),
        ('3', 3),
        ('True', True),
        ('None', None),
        ('a,2', ['a', 2]),
        ('[1, 2]', [1, 2]),
        ('[(1,2),(3,4)]', [(1, 2), (3, 4)]),
        ('x=y', 'x=y'),
    ],
)
def test_values(parser, text, value):
    assert parser.parse_args(['--cfg-options', f'a.b={text}']).cfg_options == {'a.b': value}


@pytest.mark.parametrize('text', ['[dict(size=96,flip=0.5)]', "{'size': 96}", "[{'size':96}]"])
def test_dicts_are_refused(parser, capsys, text):
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', f'views={text}'])
    assert (
        'views' in (error := capsys.readouterr().err)
        and 'must be a number, a word or a list' in error
        and text in error
    )


def test_repeated_options_add_up(parser):
    args = parser.parse_args(['--cfg-options', 'a=1', 'b=2', '--cfg-options', 'b=3'])
    assert args.cfg_options == dict(a=1, b=3)
    assert parser.parse_args([]).cfg_options == {}


@pytest.mark.parametrize(
    ('key', 'problem'),
    [
        ('schedules.7.end', 'schedules.7.end: schedules has 1 parts, numbered from 0'),
        ('schedules.last.end', 'schedules.last.end: schedules has 1 parts, numbered from 0'),
        ('schedules.0.end.epoch', 'schedules.0.end.epoch: schedules.0.end is 9, which has no parts'),
        ('schedules.0', 'schedules.0: a part of a list cannot be replaced alone; write the whole list schedules'),
        ('model.name.size', "model.name.size: model.name is 'net', which has no parts"),
    ],
)
def test_an_option_without_a_place_is_named(key, problem):
    config = Config(dict(schedules=[dict(end=9)], model=dict(name='net')))
    with pytest.raises(SetupError) as caught:
        merge_options(config, {'model.depth': 3, key: 3})
    assert str(caught.value) == f'--cfg-options {problem}'


def test_options_are_merged():
    config = Config(dict(schedules=[dict(end=9)], model=dict(name='net')))
    merge_options(config, {'schedules.0.end': 3, 'model.depth': 5, 'new.key': 1})
    assert config.to_dict() == dict(schedules=[dict(end=3)], model=dict(name='net', depth=5), new=dict(key=1))


def test_a_value_is_required(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a.b'])
    assert "--cfg-options takes KEY=VALUE, got 'a.b'" in capsys.readouterr().err


@pytest.mark.parametrize('spelling', ['--local_rank=3', '--local-rank=3'])
def test_both_spellings_of_the_local_rank(parser, spelling):
    assert parser.parse_args([spelling]).local_rank == 3
