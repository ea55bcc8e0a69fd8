"""Every command of every page can be typed: its script and configs exist, and its options are those of the script."""

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import Registry

from lewel_plugins.cli.parser import build_parser
from lewel_plugins.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'configs').rglob('*.md')]
PAGES += [*(ROOT / 'tools').rglob('*.md')]
START = re.compile(r'^(?:[A-Z_]+=\S+ )*(?:lewel |python tools/|tools/|make |mim )')
USAGE = re.compile(r'[\[…|<]|\.\.\.')  # describes how a command is made up, and is none itself
PLACEHOLDERS = {'LIBRARY': 'timm'}  # that an option with choices has on a page


def commands(text: str) -> list[str]:
    """Return the commands in the code blocks of a page, without comments and with joined lines."""
    result, fence, joined = [], False, ''
    for line in text.splitlines():
        if line.lstrip().startswith('```'):
            fence = not fence
            continue
        if not (fence or line.startswith('    ')):
            joined = ''
            continue
        part = line.strip()
        if joined or START.match(part):
            joined += part
            if joined.endswith('\\'):
                joined = joined[:-1].rstrip() + ' '
                continue
            result.append(re.sub(r'\s+#\s.*$', '', joined))
            joined = ''
    return result


COMMANDS = sorted({command for page in PAGES for command in commands(page.read_text(encoding='utf-8'))})
TYPED = [command for command in COMMANDS if not USAGE.search(command)]


ROW = re.compile(r'^\| `([^`]+)` \| \[`([^`]+)`\]\(\.\./([^)]+)\) \| (.*?) ?\|$', re.MULTILINE)
EVIDENCE = {row[0]: Path(row[2]) for row in ROW.findall((ROOT / 'docs' / 'testing.md').read_text(encoding='utf-8'))}


def evidence(command: str) -> str:
    """Return the row of docs/testing.md that a command belongs to; empty for none."""
    plain = re.sub(r'^(\S*=\S+ )+', '', command)
    return max((row for row in EVIDENCE if re.match(re.escape(row) + r'\b', plain)), key=len, default='')


class Parsed(Exception):
    """The arguments were right."""


@pytest.fixture
def stop_after_parsing(monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed

    register = Registry._register_module
    for module in (torch, torch.serialization):  # whose function a tool replaces for the rest of its process
        monkeypatch.setattr(module, 'load', module.load)
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_and_stop)
    # A script is run once per command of it, and registers its classes each time.
    monkeypatch.setattr(
        Registry,
        '_register_module',
        lambda self, module, module_name=None, force=False: register(self, module, module_name, True),
    )
    monkeypatch.chdir(ROOT)


def test_pages_have_commands():
    assert len(TYPED) > 60 and any(command.startswith('lewel worth') for command in TYPED)


@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_is_run_by_a_test(command):
    assert evidence(command), 'add a row to the table of commands in docs/testing.md'


@pytest.mark.parametrize('row', EVIDENCE)
def test_a_row_of_the_table_names_a_test_that_runs_the_command(row):
    text = (ROOT / EVIDENCE[row]).read_text(encoding='utf-8')
    names = '|'.join(Path(word).stem for word in row.removeprefix('python ').split())
    assert row in {evidence(command) for command in COMMANDS} and re.search(rf'\b({names})\b', text)


@pytest.mark.parametrize('command', TYPED)
def test_a_command_can_be_typed(command, stop_after_parsing, monkeypatch, capsys):
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    while re.match(r'^[A-Z_]+=', words[0]):
        del words[0]
    for word in words:
        if re.match(r'^(configs|tools|docs)/', word) and not re.search(r'[A-Z]{4}|\*|\{', word):
            assert (ROOT / word).exists() or word.startswith('docs/results'), word
    if words[0] == 'lewel':
        try:
            build_parser().parse(words[1:])
        except SetupError as error:
            pytest.fail(str(error))
    elif words[0] == 'python':
        monkeypatch.setattr(sys, 'argv', words[1:])
        monkeypatch.syspath_prepend(str((ROOT / words[1]).parent))
        with pytest.raises(Parsed):
            runpy.run_path(str(ROOT / words[1]), run_name='__main__')
    elif words[0] == 'make':
        targets = re.findall(r'^(\w+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
