"""``tools/print_config.py`` from the command line."""

import sys

import pytest
from helpers.tool_runs import ROOT, run
from mmengine.config import Config

pytestmark = pytest.mark.core
TOOL = str(ROOT / 'tools' / 'print_config.py')
RECIPE = 'configs/smog/smog_resnet50_8xb512-lars-coslr-100e_in1k.py'


def print_config(*arguments: str):
    # mmcv-lite warns of its missing ops.
    return run(sys.executable, TOOL, *arguments, cwd=ROOT, PYTHONWARNINGS='ignore')


def test_output_is_a_config_that_can_be_saved(tmp_path):
    result = print_config(RECIPE, '--cfg-options', 'param_scheduler.1.T_max=5', 'train_cfg.max_epochs=15')
    assert result.returncode == 0, result.stdout
    (tmp_path / 'saved.py').write_text(result.stdout)
    expected = Config.fromfile(ROOT / RECIPE)
    expected.merge_from_dict({'param_scheduler.1.T_max': 5, 'train_cfg.max_epochs': 15})
    assert Config.fromfile(tmp_path / 'saved.py').to_dict() == expected.to_dict()


def test_sources_are_the_files_in_their_order():
    result = print_config(RECIPE, '--sources')
    assert result.stdout.split() == [
        'configs/_base_/models/smog_resnet50.py',
        'configs/_base_/datasets/in1k.py',
        'configs/_base_/views/byol_224px_crop008.py',
        'configs/_base_/default_runtime.py',
        'configs/smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
        RECIPE,
    ]


def test_errors_are_one_line():
    result = print_config(RECIPE, '--only', 'optim_wrap')
    assert result.returncode == 1
    assert result.stdout == "error: --only optim_wrap: the config has no 'optim_wrap'. Did you mean optim_wrapper?\n"
