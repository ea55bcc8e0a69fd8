"""The notebook is stored as executed, calls what there is, states the figures that it shows, and starts for real."""

import ast
import builtins
import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from helpers.tool_runs import ROOT
from helpers.tool_runs import run as run_command

import lewel_plugins

NOTEBOOK = ROOT / 'docs' / 'tutorials' / 'from-a-folder-to-a-detector.ipynb'
TEXT = NOTEBOOK.read_text(encoding='utf-8')
CELLS = json.loads(TEXT)['cells']
MOST_BYTES = 1_500_000
# Numbers of mmdet and of COCO's metric, which no cell prints.
DEFINITIONS = {'512', '0.95'}
OWN = 'lewel_plugins'


def source(cell: dict[str, Any]) -> str:
    return ''.join(cell['source'])


CODE = [source(cell) for cell in CELLS if cell['cell_type'] == 'code']
PROSE = [source(cell) for cell in CELLS if cell['cell_type'] == 'markdown']
TREE = ast.parse('\n'.join(CODE))


def outputs() -> Iterator[dict[str, Any]]:
    for cell in CELLS:
        yield from cell.get('outputs', [])


def printed() -> str:
    """Return all that the cells have printed."""
    return '\n'.join(''.join(output['text']) for output in outputs() if output['output_type'] == 'stream')


def captions() -> str:
    """Return the text alternatives of the curves of the report."""
    drawings = ''.join(part for output in outputs() for part in output.get('data', {}).get('image/svg+xml', []))
    return '\n'.join(re.findall(r'aria-label="([^"]*)"', drawings))


def numbers(text: str) -> set[str]:
    return set(re.findall(r'(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w])', text))


# As executed


def test_it_is_stored_as_executed_in_order_and_without_errors():
    counts = [cell['execution_count'] for cell in CELLS if cell['cell_type'] == 'code']
    assert counts == list(range(1, len(CODE) + 1)) and len(CODE) > 8
    assert [output for output in outputs() if output['output_type'] == 'error'] == []
    assert [output for output in outputs() if output.get('name') == 'stderr'] == []
    kinds = [kind for output in outputs() for kind in output.get('data', {})]
    assert kinds.count('image/png') >= 5 and kinds.count('image/svg+xml') >= 3


def test_it_is_small_and_names_no_machine():
    assert len(TEXT.encode()) < MOST_BYTES
    shown = re.sub(r'"image/png": "[^"]*"', '', TEXT)
    assert re.findall(r'(?<![\w.])/(?:home|root|tmp|work|usr|opt|mnt|data)/\S*', shown) == []
    assert str(ROOT) not in shown
    assert '\\u001b' not in shown and '\x1b' not in shown
    assert re.search(r'commit [0-9a-f]{7}\b', PROSE[0])


# The code


def test_all_that_it_imports_from_the_package_exists():
    imports = [node for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom) and node.module.startswith(OWN)]
    assert imports
    for node in imports:
        module = import_module(node.module)
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def options_by_name() -> dict[str, list[str]]:
    """Return the keys of each dict that a cell makes with ``NAME = dict(…)``."""
    options = {}
    for node in ast.walk(TREE):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call, target = node.value, node.targets[0]
            if isinstance(call.func, ast.Name) and call.func.id == 'dict' and isinstance(target, ast.Name):
                options[target.id] = [keyword.arg for keyword in call.keywords]
    return options


def test_its_calls_of_the_package_match_the_signatures():
    options, called = options_by_name(), set()
    for node in ast.walk(TREE):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == OWN):
            continue
        names = []
        for keyword in node.keywords:
            names += [keyword.arg] if keyword.arg else options[keyword.value.id]
        function = getattr(lewel_plugins, node.func.attr)
        inspect.signature(function).bind(*node.args, **dict.fromkeys(names))  # raises TypeError
        called.add(node.func.attr)
    assert called == {'check', 'pretrain', 'finetune', 'export', 'load_pretrained'}


def test_every_name_is_defined_before_it_is_used():
    known = set(dir(builtins))
    for code in CODE:
        nodes = list(ast.walk(ast.parse(code)))
        known |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        aliases = [alias for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names]
        known |= {alias.asname or alias.name.split('.')[0] for alias in aliases}
        used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert used - known == set()


@pytest.mark.skipif(find_spec('mmdet') is None, reason='needs mmdet')
def test_the_settings_that_it_changes_are_those_of_the_config():
    """An override of a setting that does not exist would be a new entry, which nothing reads."""
    from lewel_plugins.finetuning import FinetuneFacts, LabelFacts, Start, plan
    from lewel_plugins.finetuning.compose import compose
    from lewel_plugins.finetuning.written import WrittenLabels
    from lewel_plugins.planning import Machine

    facts = FinetuneFacts(LabelFacts(100, 100, 1, 64, 64, 17.0), Start('random', 'resnet10'), Machine((), cores=2))
    labels = WrittenLabels(('garment',), '', ('train.json',), ('val.json',))
    config = compose('detector', plan('detector', facts), labels, None)
    settings = re.findall(r"'([a-z_]+(?:\.[a-z_]+)+)=", '\n'.join(CODE))
    assert len(settings) == 3
    for name in settings:
        node = config
        for part in name.split('.'):
            assert part in node, name
            node = node[part]


# The prose


def test_the_prose_states_only_figures_that_the_notebook_shows():
    prose = re.sub(r'`[^`]*`|commit [0-9a-f]{7}|\]\([^)]*\)', '', '\n'.join(PROSE))
    shown = numbers('\n'.join([printed(), captions(), *CODE])) | DEFINITIONS
    assert numbers(prose) - shown == set()


def test_the_prose_states_the_precision_of_both_detectors():
    values = re.findall(r'^(?:pretrained|random) +AP (\S+) +AP50 (\S+)$', printed(), re.MULTILINE)
    assert len(values) == 2 and all(0.3 < float(ap50) < 1 for _, ap50 in values)
    assert {value for pair in values for value in pair} <= numbers('\n'.join(PROSE))


def test_its_links_exist_and_pages_link_to_it():
    links = re.findall(r'\]\(([^)#]+)', '\n'.join(PROSE))
    assert [link for link in links if not link.startswith('http') and not (NOTEBOOK.parent / link).exists()] == []
    for page in ('README.md', 'docs/lewel.md'):
        assert f'tutorials/{NOTEBOOK.name}' in (ROOT / page).read_text(encoding='utf-8')


# For real


def test_the_cells_up_to_check_run(tmp_path):
    """With fewer images and too little time for a step, in a folder like a clone."""
    pytest.importorskip('matplotlib')
    end = next(i for i, code in enumerate(CODE) if f'{OWN}.check(' in code)
    code = '\n'.join(CODE[: end + 1])
    for pattern, value in (('600, 100, 100', '80, 8, 4'), ('seconds=240', 'seconds=6')):
        assert code.count(pattern) == 1
        code = code.replace(pattern, value)
    for name in ('configs', 'data', 'lewel_plugins', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    folder = tmp_path / 'docs' / 'tutorials'
    folder.mkdir(parents=True)
    script = tmp_path / 'cells.py'
    script.write_text(code + '\nprint(answer.ok)\n')
    done = run_command(sys.executable, str(script), cwd=folder, MPLBACKEND='Agg')
    assert done.returncode == 0, done.stdout
    assert '80 images without labels' in done.stdout and done.stdout.strip().endswith('True'), done.stdout
