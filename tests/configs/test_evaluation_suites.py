"""The suites of tools/evaluate.py name files that exist and fit together."""

import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.evaluation.linear_probe import base_batch_size, check_fast
from lewel_plugins.running.setup import enable_auto_scale_lr

BENCHMARKS = ROOT / 'configs' / 'benchmarks'
SUITES = sorted(BENCHMARKS.glob('evaluation*.py'))
FEW_LABELS = ['semi_1pct', 'semi_10pct']
ON_SCENES = ['mask_rcnn', 'faster_rcnn', 'fcn']
ON_PHOTOGRAPHS = ['voc_detection', 'coco_c4', 'coco_fpn', 'voc_segmentation', 'cityscapes']
COMMANDS = {
    'evaluation_garment-scenes': FEW_LABELS,
    'evaluation-transfer_garment-scenes': [*FEW_LABELS, *ON_SCENES],
    'evaluation-all_garment-scenes': [*FEW_LABELS, *ON_SCENES, 'semi_100pct', 'svm'],
    'evaluation_cifar10': FEW_LABELS,
    'evaluation_stl10': [],
    'evaluation_in100': [],
    'evaluation_in1k': [*FEW_LABELS, 'semi_100pct', 'places205', 'inat18', 'svm', *ON_PHOTOGRAPHS],
}


def test_suites_have_their_protocols():
    protocols = {path.stem: [entry.name for entry in Config.fromfile(path).get('commands', [])] for path in SUITES}
    assert protocols == COMMANDS


@pytest.mark.parametrize('path', SUITES, ids=lambda path: path.stem)
def test_what_a_suite_names_is_there(path):
    suite = Config.fromfile(path)
    linear = Config.fromfile(BENCHMARKS / suite.linear)
    check_fast(linear)
    assert base_batch_size(linear) == linear.auto_scale_lr.base_batch_size == 256
    assert suite.lrs[0] == linear.optim_wrapper.optimizer.lr
    for entry in suite.get('commands', []):
        values = dict(
            python='python', tools=ROOT / 'tools', configs=BENCHMARKS, checkpoint='a.pth', out='out', json='x', seed=1
        )
        words = [word.format_map(values) for word in shlex.split(entry.command)]
        files = [Path(word) for word in words if word.endswith('.py')]
        assert len(files) >= 2 and all(file.is_file() for file in files), files
        assert {'a.pth', 'x', '--seed', '1'} <= set(words)
        assert ('out' in words) == (entry.name != 'svm')  # the SVMs have no state to resume from
        if '--auto-scale-lr' in words and (
            find_spec('mmdet') and find_spec('mmseg') or entry.name not in ON_PHOTOGRAPHS
        ):
            for file in files[1:]:
                enable_auto_scale_lr(Config.fromfile(file))
