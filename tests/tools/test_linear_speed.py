"""tools/measurements/linear_speed.py on a few garment scenes: both ways train the same classifier."""

import importlib.util
import json
import sys

from helpers.tiny_data import GARMENTS, ROOT
from helpers.toy_classifier import write_checkpoint

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes

TOOL = ROOT / 'tools' / 'measurements' / 'linear_speed.py'
CONFIG = ROOT / 'configs/benchmarks/linear/lewel-b-linear_1xb256-steplr-50e_garment-scenes.py'


def test_both_ways_agree_and_the_numbers_are_written(tmp_path, monkeypatch, capsys):
    make_scenes(SceneConfig(num_train=40, num_val=20), GARMENTS, tmp_path / 'data' / 'garment_scenes', 1)
    checkpoint = write_checkpoint(tmp_path / 'a.pth')
    loaders = [
        f'{name}_dataloader.{entry}'
        for name in ('train', 'val')
        for entry in ('num_workers=0', 'persistent_workers=False', 'batch_size=16')
    ]
    options = ['--epochs', '2', '--lrs', '0.4', '0.04', '--json', 'out/speed.json', '--cfg-options', *loaders]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(CONFIG), checkpoint, *options, 'auto_scale_lr.base_batch_size=16'])
    spec = importlib.util.spec_from_file_location('linear_speed', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main()

    record = json.loads((tmp_path / 'out' / 'speed.json').read_text())
    assert [row['lr'] for row in record['rates']] == [0.4, 0.04] and record['epochs'] == 2
    for row in record['rates']:
        assert row['top1_fast'] == row['top1_slow'] and row['difference'] < 1e-4
    fast = record['extraction_seconds'] + record['training_seconds']
    assert abs(record['speed_up'] - record['slow_seconds'] / fast) < 1e-6
    assert record['speed_up_of_whole_recipe'] > 0 and '| 0.04 |' in capsys.readouterr().out
