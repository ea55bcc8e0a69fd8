"""``lewel finetune detector`` from a json of COCO, and the model and data of other labels in this process."""

import json
from pathlib import Path

import pytest
import torch
from helpers.labels import coco_content, make_coco, make_voc
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope, init_default_scope

from lewel_plugins.api.finetune import finetune
from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning import FinetuneFacts, LabelFacts, Start, plan, read_labels
from lewel_plugins.finetuning.compose import compose
from lewel_plugins.finetuning.networks import NETWORKS
from lewel_plugins.finetuning.written import write_labels
from lewel_plugins.planning import Machine

SETTINGS = [
    f'{name}_dataloader.{key}' for name in ('train', 'val') for key in ('num_workers=0', 'persistent_workers=False')
]


def save_resnet10(path: Path) -> str:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        state = MODELS.build(dict(type='lewel_plugins.ResNet10')).state_dict()
    torch.save(dict(state_dict={f'backbone.{name}': value for name, value in state.items()}), path)
    return str(path)


def test_trains_from_coco_measures_draws_and_is_not_run_twice(tmp_path):
    data = make_coco(tmp_path / 'data')
    before = sorted(path.name for path in data.parent.rglob('*'))
    lines: list[str] = []
    arguments = ('detector', save_resnet10(tmp_path / 'ssl.pth'), data, tmp_path / 'det')
    options = dict(epochs=1, gpus=0, overrides=SETTINGS, say=lines.append)
    planned = finetune(*arguments, **options, dry_run=True)
    assert planned.status == 'planned' and not planned.path.exists()
    assert 'warning: the class dog has no box to learn it from' in lines
    assert 'note: 1 image has no box and counts as a negative' in lines

    run = finetune(*arguments, **options)
    assert run.status == 'finished' and run.checkpoint == tmp_path / 'det' / 'epoch_1.pth'
    log = (run.path / 'train.log').read_text()
    assert 'all 72 tensors of' in log and 'are there, bit for bit' in log
    assert -1 <= run.metrics['coco/bbox_mAP'] <= 1 and any(line.startswith('  boxes: AP') for line in lines)
    assert (run.path / 'predictions.png').stat().st_size > 5000
    assert sorted(path.name for path in data.parent.rglob('*')) == before
    record = json.loads((run.path / 'plan.json').read_text())
    assert record['plan']['batch_norm']['reason'] == '2 images per step are below 16'
    assert record['classes'] == ['cat', 'dog'] and record['request']['start'] == arguments[1]
    text = run.config.read_text()
    assert str(tmp_path) not in text and '{{ fileDirname }}' in text and "'/annotations/train.json'" in text

    lines.clear()
    assert finetune(*arguments, **options).status == 'finished'
    assert lines == [f'already finished: {run.path}']
    with pytest.raises(SetupError, match=r'det holds another run \(epochs 1, not 2\); choose another --out'):
        finetune(*arguments, **{**options, 'epochs': 2})


def config_of(folder: Path, labels, backbone: str, stem: str = 'standard') -> Config:
    """Write labels and config to a folder, and return the config as a training reads it."""
    resolved = plan('detector', FinetuneFacts(LabelFacts.of(labels), Start('a.pth', backbone, stem), Machine(cores=2)))
    config = compose('detector', resolved, write_labels(labels, folder), None)
    (folder / 'config.py').write_text(config.pretty_text)
    return Config.fromfile(folder / 'config.py')


def steps(config: Config) -> tuple[dict, list]:
    """Return the losses of a step, and the predictions on the images to measure on."""
    init_default_scope('mmdet')
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    train = DATASETS.build(config.train_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([train[i] for i in range(min(2, len(train)))]), training=True)
    losses = model(**batch, mode='loss')
    val = DATASETS.build(config.val_dataloader.dataset)
    model.eval()
    with torch.no_grad():
        return losses, model.test_step(pseudo_collate([val[0]]))


def test_voc_with_one_class_and_an_image_without_boxes(tmp_path):
    labels = read_labels('detector', str(make_voc(tmp_path / 'VOC2007')))
    (tmp_path / 'run').mkdir()
    config = config_of(tmp_path / 'run', labels, 'resnet10')
    losses, results = steps(config)
    assert set(losses) == {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'acc'}
    total = sum(sum(value) if isinstance(value, list) else value for name, value in losses.items() if 'loss' in name)
    assert total.isfinite() and len(results) == 1
    assert set(results[0].pred_instances.labels.tolist()) <= {0}
    assert results[0].gt_instances.bboxes.tolist() == [[4, 5, 24, 35]]  # in pixels of the file
    written = json.loads((tmp_path / 'run' / 'annotations' / 'train.json').read_text())
    assert [image['file_name'] for image in written['images']] == [f'{i}.jpg' for i in range(4)]
    assert [annotation['image_id'] for annotation in written['annotations']] == [1, 3, 4]


@pytest.mark.parametrize(
    ('backbone', 'stem'), [name for name in NETWORKS['detector'] if name[0] in ('resnet10', 'resnet18', 'swin-tiny')]
)
def test_outlines_make_it_a_mask_rcnn(tmp_path, backbone, stem):
    content = coco_content(6)
    for entry in content['annotations']:
        left, top, width, height = entry['bbox']
        entry['segmentation'] = [[left, top, left + width, top, left + width, top + height]]
    for image in range(6):  # crowds without an outline, which change nothing
        content['annotations'].append(dict(id=10 + image, image_id=image, category_id=7, bbox=[1, 1, 9, 9], iscrowd=1))
    labels = read_labels('detector', str(make_coco(tmp_path, annotations=content['annotations'])))
    (tmp_path / 'run').mkdir()
    losses, results = steps(config_of(tmp_path / 'run', labels, backbone, stem))
    assert 'loss_mask' in losses and losses['loss_mask'].isfinite()
    assert results[0].pred_instances.masks.shape[1:] == (48, 64)
