"""The arguments --cfg-options and --launcher."""

import argparse

import pytest

from lewel_plugins.running.command_line import add_config_options, add_launcher

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


def test_a_value_is_required(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a.b'])
    assert "--cfg-options takes KEY=VALUE, got 'a.b'" in capsys.readouterr().err


@pytest.mark.parametrize('spelling', ['--local_rank=3', '--local-rank=3'])
def test_both_spellings_of_the_local_rank(parser, spelling):
    assert parser.parse_args([spelling]).local_rank == 3
