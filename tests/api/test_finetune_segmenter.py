"""``lewel finetune segmenter`` from a folder of masks."""

import json
import sys

import pytest
from helpers.labels import make_masks, write_image
from helpers.tool_runs import run as run_command
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from test_finetune_detector import SETTINGS, save_resnet10

from lewel_plugins.finetuning import FinetuneFacts, LabelFacts, Start, plan, read_labels
from lewel_plugins.finetuning.compose import compose
from lewel_plugins.finetuning.networks import NETWORKS
from lewel_plugins.finetuning.written import write_labels
from lewel_plugins.planning import Machine

CODE = 'import sys; from lewel_plugins.cli.parser import main; sys.exit(main())'


def test_the_command_trains_from_masks(tmp_path):
    make_masks(tmp_path / 'my data')
    save_resnet10(tmp_path / 'ssl.pth')
    command = (
        sys.executable,
        '-c',
        CODE,
        'finetune',
        'segmenter',
        'ssl.pth',
        '--data',
        'my data',
        '--out',
        "it's ä/seg",
    )
    done = run_command(*command, '--epochs', '1', '--gpus', '0', '--set', *SETTINGS, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    folder = tmp_path / "it's ä" / 'seg'
    lines = done.stdout.splitlines()
    assert lines[-1] == "finished: it's ä/seg" and any('mIoU in percent' in line for line in lines)
    assert 'all 72 tensors of' in (folder / 'train.log').read_text()
    assert (folder / 'predictions.png').stat().st_size > 5000
    assert (folder / 'annotations' / 'val.txt').read_text().strip() in '012345'
    places = json.loads((folder / 'plan.json').read_text())['places']
    assert places == dict(start='../../ssl.pth', data='../../my data')


def config_of(folder, labels, backbone: str, stem: str = 'standard') -> Config:
    resolved = plan('segmenter', FinetuneFacts(LabelFacts.of(labels), Start('a.pth', backbone, stem), Machine(cores=2)))
    config = compose('segmenter', resolved, write_labels(labels, folder), None)
    folder.mkdir(exist_ok=True)
    (folder / 'config.py').write_text(config.pretty_text)
    return Config.fromfile(folder / 'config.py')


def test_images_of_two_formats_in_folders(tmp_path):
    for i in range(3):
        make_masks(tmp_path / 'data' / str(i), 2)  # only for their files
    root = tmp_path / 'labels'
    for i in range(3):
        write_image(root / 'images' / 'train' / f'{i}.{"jpg" if i else "png"}', i)
        write_image(root / 'images' / 'val' / f'{i}.png', 10 + i)
    for split in ('train', 'val'):
        for i in range(3):
            mask = tmp_path / 'data' / '0' / 'masks' / '0.png'
            (root / 'masks' / split).mkdir(parents=True, exist_ok=True)
            (root / 'masks' / split / f'{i}.png').write_bytes(mask.read_bytes())
    config = config_of(tmp_path / 'run', read_labels('segmenter', str(root)), 'resnet18')
    init_default_scope('mmseg')
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    train, val = (DATASETS.build(config[f'{name}_dataloader'].dataset) for name in ('train', 'val'))
    assert len(train) == len(val) == 3 and train.metainfo['classes'] == ('0', '1')
    assert all(sample['data_samples'].gt_sem_seg.data.shape[1:] == (48, 64) for sample in (val[i] for i in range(3)))


@pytest.mark.parametrize(
    ('backbone', 'stem'), [name for name in NETWORKS['segmenter'] if name[0] in ('resnet10', 'resnet18', 'swin-tiny')]
)
def test_maps_of_every_kind_of_backbone(tmp_path, backbone, stem):
    labels = read_labels('segmenter', str(make_masks(tmp_path / 'data')))
    config = config_of(tmp_path / 'run', labels, backbone, stem)
    init_default_scope('mmseg')
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    import torch

    model = MODELS.build(config.model)
    model.eval()
    maps = model.extract_feat(torch.zeros(1, 3, 64, 64))
    network = NETWORKS['segmenter'][backbone, stem]
    assert tuple(64 // features.shape[2] for features in maps) == network.strides
    assert tuple(features.shape[1] for features in maps) == network.channels
    assert model.encode_decode(torch.zeros(1, 3, 64, 64), [dict(img_shape=(64, 64), ori_shape=(64, 64))]).shape[1] == 2
