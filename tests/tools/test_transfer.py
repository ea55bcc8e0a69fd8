"""tools/transfer.py trains detectors and segmenters for a few steps on garment scenes, from a checkpoint."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from helpers.tool_runs import ROOT, run
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes

TOOL = str(ROOT / 'tools' / 'transfer.py')
BENCHMARKS = ROOT / 'configs' / 'benchmarks'
FCN = str(BENCHMARKS / 'mmsegmentation/garment-scenes/fcn_resnet10-d4_1xb16-600i_garment-scenes.py')
DETECTORS = [
    str(BENCHMARKS / 'mmdetection/garment-scenes' / f'{name}_1xb8-6e_garment-scenes.py')
    for name in ('mask-rcnn_resnet10_fpn', 'faster-rcnn_resnet10-c4')
]
NO_WORKERS = [
    f'{loader}_dataloader.{entry}'
    for loader in ('train', 'val')
    for entry in ('num_workers=0', 'persistent_workers=False')
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Make a folder with a few scenes, where the configs expect them, and a checkpoint."""
    folder = tmp_path_factory.mktemp('transfer')
    scenes = SceneConfig(kind='multi', size=64, num_train=8, num_val=4, scale=(0.3, 0.6), clutter=0.2)
    make_scenes(scenes, ROOT / 'data' / 'fashion_mnist', folder / 'data' / 'garment_scenes_transfer', 1)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    state = MODELS.build(dict(type='lewel_plugins.ResNet10')).state_dict()
    torch.save(dict(state_dict={f'backbone.{name}': value for name, value in state.items()}), folder / 'ssl.pth')
    return folder


def test_segmentation_trains_evaluates_draws_and_is_not_run_twice(folder):
    command = (
        sys.executable, TOOL, 'ssl.pth', FCN, '--out', 'fcn.json', '--pictures', '--seed', '3', '--cfg-options',
        'train_cfg.max_iters=2', 'train_cfg.val_interval=2', *NO_WORKERS,
    )  # fmt: skip
    done = run(*command, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    work_dir = folder / 'work_dirs' / 'transfer' / Path(FCN).stem
    copy = work_dir / 'launch' / 'backbone.pth'
    assert f'all 72 tensors of {copy} are there, bit for bit' in done.stdout
    source = torch.load(folder / 'ssl.pth', weights_only=True)['state_dict']
    copied = torch.load(copy, weights_only=True)['state_dict']
    assert list(copied) == list(source) and all(torch.equal(copied[name], source[name]) for name in source)
    metrics = json.loads((folder / 'fcn.json').read_text())
    assert set(metrics) == {'aAcc', 'mIoU', 'mAcc'} and all(0 <= value <= 100 for value in metrics.values())
    assert (work_dir / 'predictions.png').stat().st_size > 5000

    (folder / 'fcn.json').unlink()
    again = run(*[word for word in command if word != '--pictures'], cwd=folder)
    assert again.returncode == 0 and 'Iter(train)' not in again.stdout
    assert json.loads((folder / 'fcn.json').read_text()) == metrics
    other = run(sys.executable, TOOL, 'random', FCN, '--seed', '3', *command[-7:], cwd=folder)
    assert other.returncode == 1 and 'holds a run from checkpoint ssl.pth (sha256 ' in other.stdout
    assert 'not None (random weights)' in other.stdout and 'give another --work-dir' in other.stdout


def test_detection_trains_and_evaluates(folder):
    out = ('--work-dir', 'detection', '--out', 'detection.json', '--cfg-options', *NO_WORKERS)
    done = run(
        sys.executable, TOOL, 'ssl.pth', *DETECTORS, *out, 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1',
        'train_dataloader.batch_size=4', cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    metrics = json.loads((folder / 'detection.json').read_text())
    for name in ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75', 'coco/segm_mAP', 'pascal_voc/mAP',
                 'pascal_voc/AP50', 'pascal_voc/AP75'):  # fmt: skip
        assert 0 <= metrics[name] <= 1, name
    assert done.stdout.count('are there, bit for bit') == 2


def test_resolve_writes_checkpoint_and_scaling(folder):
    words = ('--work-dir', 'resolved', '--resolve', '--auto-scale-lr', '--cfg-options', 'train_dataloader.batch_size=2')
    done = run(sys.executable, TOOL, 'ssl.pth', FCN, *words, cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:]
    config = Path(folder, done.stdout.splitlines()[-1])
    assert config == folder / 'resolved' / Path(FCN).stem / 'launch' / Path(FCN).name
    cfg = Config.fromfile(config)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16) and cfg.train_dataloader.batch_size == 2
    assert cfg.model.backbone.init_cfg.checkpoint == str(config.with_name('backbone.pth'))


def test_a_checkpoint_that_does_not_fit_is_refused_before_the_first_step(folder):
    checkpoint = torch.load(folder / 'ssl.pth', weights_only=True)
    del checkpoint['state_dict']['backbone.layer3.0.bn2.bias']
    torch.save(checkpoint, folder / 'partial.pth')
    done = run(sys.executable, TOOL, 'partial.pth', FCN, '--work-dir', 'partial', cwd=folder)
    assert done.returncode == 1 and 'it lacks 1 tensor (backbone.layer3.0.bn2.bias)' in done.stdout
    assert 'Iter(train)' not in done.stdout


@pytest.mark.nightly
def test_dist_script_on_two_cpu_ranks(folder):
    script = str(ROOT / 'tools' / 'benchmarks' / 'dist_transfer.sh')
    done = run(
        script, FCN, 'ssl.pth', '2', '--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1', *NO_WORKERS,
        cwd=folder, WORK_DIR='a folder',
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert 'mIoU' in done.stdout and 'are there, bit for bit' in done.stdout
    assert list((folder / 'a folder' / Path(FCN).stem).glob('iter_1.pth'))


def test_a_checkpoint_runs_no_code(folder):
    """mmengine's own loader would unpickle what torch refuses."""
    hacked = folder / 'hacked'
    content = torch.load(folder / 'ssl.pth', weights_only=True)
    content['bad'] = Malicious(hacked)
    torch.save(content, folder / 'hostile.pth')
    short = ('train_cfg.max_iters=1', 'train_cfg.val_interval=1')
    done = run(
        sys.executable, TOOL, 'hostile.pth', FCN, '--work-dir', 'hostile', '--cfg-options', *short, *NO_WORKERS,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0 and 'are there, bit for bit' in done.stdout, done.stdout[-3000:]
    assert not hacked.exists()
    # Another file at the same path is another checkpoint.
    content['state_dict']['backbone.conv1.weight'] += 1
    torch.save(content, folder / 'hostile.pth')
    again = run(
        sys.executable, TOOL, 'hostile.pth', FCN, '--work-dir', 'hostile', '--cfg-options', *short, *NO_WORKERS,
        cwd=folder,
    )  # fmt: skip
    assert again.returncode == 1 and 'holds a run from checkpoint hostile.pth (sha256 ' in again.stdout


class Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)
