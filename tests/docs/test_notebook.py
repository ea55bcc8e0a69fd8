"""The notebook runs as it stands, with fewer images and epochs."""

import json
import re
import sys

import pytest
from helpers.tool_runs import ROOT
from helpers.tool_runs import run as run_command

NOTEBOOK = ROOT / 'docs' / 'tutorials' / 'from-a-folder-to-a-detector.ipynb'
SETTINGS = r'NUM_UNLABELED, NUM_LABELED, EPOCHS, DETECTOR_EPOCHS = .*'
# Stands in for IPython, which only shows the picture.
SHOW = """
import sys, types
module = types.ModuleType('IPython.display')
module.Image = lambda file, **options: open(file, 'rb').close()
sys.modules.update({'IPython': types.ModuleType('IPython'), 'IPython.display': module})
"""


def code_cells() -> list[dict]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']


def test_every_cell_runs_in_order(tmp_path):
    pytest.importorskip('mmdet')
    code = '\n'.join(''.join(cell['source']) for cell in code_cells())
    code, count = re.subn(SETTINGS, 'NUM_UNLABELED, NUM_LABELED, EPOCHS, DETECTOR_EPOCHS = 24, 8, 1, 1', code)
    assert count == 1
    code = code.replace("ROOT / 'work_dirs' / 'notebook'", f'Path({str(tmp_path)!r})')
    script = tmp_path / 'cells.py'
    script.write_text(SHOW + code)
    done = run_command(sys.executable, str(script), cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert 'finished epoch_1.pth' in done.stdout and 'pretrained   box AP' in done.stdout
    assert (tmp_path / 'pretrained' / 'report.html').is_file()


def test_it_is_stored_as_executed_without_an_error():
    for i, cell in enumerate(code_cells(), 1):
        assert cell['execution_count'] == i
        assert not [output for output in cell['outputs'] if output['output_type'] == 'error']
    text = NOTEBOOK.read_text()
    assert 'image/png' in text and '/home/' not in text and len(text) < 1_000_000
