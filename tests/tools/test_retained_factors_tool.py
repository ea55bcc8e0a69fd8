"""tools/analysis/retained_factors.py on a few garment scenes."""

import importlib
import json
import sys

import pytest
import torch
from helpers.tool_runs import ROOT, run

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes
from lewel_plugins.evaluation.random_checkpoint import build_random_model
from lewel_plugins.running.setup import load_config

pytestmark = pytest.mark.core

GARMENTS = ROOT / 'data' / 'fashion_mnist'
TOOL = str(ROOT / 'tools' / 'analysis' / 'retained_factors.py')
# A method of this package and one of mmpretrain.
RECIPES = [
    str(ROOT / 'configs' / name)
    for name in (
        'mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py',
        'baselines/barlowtwins_resnet10_1xb64-24e_garment-scenes.py',
    )
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tool')
    make_scenes(SceneConfig(num_train=60, num_val=30), GARMENTS, folder / 'scenes')
    make_scenes(SceneConfig(kind='multi', size=64, num_train=4, num_val=2), GARMENTS, folder / 'multi')
    return folder


@pytest.fixture
def measure(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'analysis'))
    tool = importlib.import_module('retained_factors')

    def run_tool(*words: str) -> dict:
        out = folder / 'factors.json'
        data = [
            f'{name}.data_root={folder / "scenes"}'
            for name in ('train_dataloader.dataset.dataset', 'val_dataloader.dataset')
        ]
        workers = ['train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']
        monkeypatch.setattr('sys.argv', ['tool', *words, '--out', str(out), '--cfg-options', *data, *workers])
        tool.main()
        return json.loads(out.read_text())

    return run_tool


@pytest.mark.sampled(2)
@pytest.mark.parametrize('recipe', RECIPES)
def test_measures_a_checkpoint_and_its_references(measure, folder, recipe):
    torch.save(dict(meta={}, state_dict=build_random_model(load_config(recipe), 1).state_dict()), folder / 'a.pth')
    of_file = measure(recipe, str(folder / 'a.pth'), '--seed', '1')
    assert of_file == measure(recipe, 'random', '--seed', '1')
    assert of_file.keys() == {'factors'} and {'tint', 'rotation', 'crop_size', 'mean'} <= of_file['factors'].keys()
    of_neck = measure(recipe, str(folder / 'a.pth'), '--seed', '1', '--neck')
    assert of_neck.keys() == {'factors_neck'} and of_neck['factors_neck'] != of_file['factors']
    pixels = measure(recipe, 'pixels')['factors']
    assert pixels['tint'] > 0.3 and pixels['position'] > 0.1


def test_errors_are_one_line(folder):
    for words, message in (
        ([RECIPES[0], 'nowhere.pth'], "error: checkpoint 'nowhere.pth' does not exist"),
        ([RECIPES[0], 'pixels', '--neck'], "--neck measures a network, but 'pixels' needs none"),
    ):
        done = run(sys.executable, TOOL, *words, cwd=folder)
        assert done.returncode and message in done.stdout.splitlines()[-1]
