"""Average precision and mean IoU of resampled images against direct loops, and the records that they are made of."""

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch

from lewel_plugins.evaluation import DetectionRecordMetric, RegionRecordMetric
from lewel_plugins.finetuning.labels import Box, LabeledImage
from lewel_plugins.payoff.detections import average_precision, match_detections
from lewel_plugins.payoff.regions import mean_iou
from lewel_plugins.payoff.statistics import resamples

pytestmark = pytest.mark.core
CLASSES = 3


def random_boxes(count=10):
    """Return images with up to four objects, some of them crowds, and noisy detections of them and of nothing."""
    rng = np.random.default_rng(0)
    images, detections = [], []
    for number in range(count):
        boxes, rows = [], []
        for _ in range(rng.integers(0, 5)):
            left, top, width, height = rng.uniform(5, 40, 4)
            label = int(rng.integers(CLASSES - (number < 8)))  # the last class is rare
            boxes.append(Box(label, (left, top, left + width, top + height), is_ignored=bool(rng.random() < 0.2)))
            for _ in range(2):
                shift = rng.normal(0, 3, 4)
                rows.append([label, rng.random(), *(np.array(boxes[-1].corners) + shift)])
        rows.append([int(rng.integers(CLASSES)), rng.random(), 1.0, 1.0, 30.0, 30.0])
        images.append(LabeledImage(f'{number}.png', 100, 100, tuple(boxes)))
        detections.append([[float(value) for value in row] for row in rows])
    return images, detections


def direct_precision(images, detections, counts):
    """Return COCO's AP of images that are written down as often as they count."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = np.repeat(np.arange(len(images)), counts)
    objects, answers = [], []
    for number, row in enumerate(rows):
        for box in images[row].boxes:
            corners = [*box.corners[:2], *box.size]
            objects.append(dict(image_id=number, category_id=box.label, bbox=corners, iscrowd=int(box.is_ignored)))
        for label, score, left, top, right, bottom in detections[row]:
            bbox = [left, top, right - left, bottom - top]
            answers.append(dict(image_id=number, category_id=int(label), bbox=bbox, score=score))
    objects = [dict(entry, id=i + 1, area=entry['bbox'][2] * entry['bbox'][3]) for i, entry in enumerate(objects)]
    with redirect_stdout(StringIO()):
        truth = COCO()
        categories = [dict(id=label) for label in range(CLASSES)]
        truth.dataset = dict(images=[dict(id=i) for i in range(len(rows))], annotations=objects, categories=categories)
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(answers), 'bbox')
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return 100 * judge.stats[0]


def test_precision_of_samples_is_that_of_a_direct_loop():
    pytest.importorskip('pycocotools')
    images, detections = random_boxes()
    matches = match_detections(images, CLASSES, detections)
    samples = [np.ones(10, int), *resamples(np.repeat(np.arange(5), 2), repeats=6)]
    for counts in samples:
        expected = direct_precision(images, detections, counts)
        assert 0 < expected < 100 and average_precision(matches, counts) == pytest.approx(expected, abs=1e-9)
    assert any(2 in counts for counts in samples[1:]) and any(0 in counts for counts in samples[1:])


def test_precision_without_detections_or_objects():
    pytest.importorskip('pycocotools')
    images, detections = random_boxes()
    ones = np.ones(10)
    assert average_precision(match_detections(images, CLASSES, [[]] * 10), ones) == 0
    perfect = [[[box.label, 1.0, *box.corners] for box in image.boxes] for image in images]
    assert average_precision(match_detections(images, CLASSES, perfect), ones) == pytest.approx(100)
    empty = [LabeledImage('a.png', 9, 9)]
    assert average_precision(match_detections(empty, CLASSES, detections[:1]), np.ones(1)) == 0


def test_miou_of_samples_is_that_of_a_direct_loop(tmp_path):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, CLASSES - 1, (6, 8, 9)), rng.integers(0, CLASSES, (6, 8, 9))
    labels[:, :2] = 255
    labels[5, 3] = CLASSES - 1
    metric = RegionRecordMetric(str(tmp_path / 'records.json'))
    metric.dataset_meta = dict(classes=('a', 'b', 'c'))
    for i in range(6):
        maps = dict(pred_sem_seg=predicted[i], gt_sem_seg=labels[i].astype(np.uint8))
        sample = {name: dict(data=torch.from_numpy(each)[None]) for name, each in maps.items()}
        metric.process(None, [dict(sample, img_path=f'{i}.png')])
    assert metric.evaluate(6) == {'recorded/images': 6}
    records = json.loads((tmp_path / 'records.json').read_text())
    assert [record['image'] for record in records] == [f'{i}.png' for i in range(6)]
    counts = np.array([[1] * 6, [2, 0, 3, 1, 0, 0], [0, 0, 1, 1, 2, 2]])
    for value, count in zip(mean_iou(records, counts), counts):
        rows = np.repeat(np.arange(6), count)
        truth, answer = labels[rows], predicted[rows]
        ratios = []
        for label in range(CLASSES):
            is_true, is_answer = truth == label, (answer == label) & (truth != 255)
            if (is_true | is_answer).any():
                ratios.append((is_true & is_answer).sum() / (is_true | is_answer).sum())
        assert value == pytest.approx(100 * np.mean(ratios))


def test_classes_that_do_not_occur_do_not_count():
    records = [dict(intersection=[5, 0], union=[10, 0]), dict(intersection=[0, 1], union=[10, 4])]
    assert mean_iou(records, np.array([[1, 0], [0, 1], [0, 0]])).tolist() == [50.0, 12.5, 0.0]


def test_detections_are_recorded(tmp_path):
    metric = DetectionRecordMetric(str(tmp_path / 'records.json'))
    one = dict(labels=torch.tensor([1]), scores=torch.tensor([0.5]), bboxes=torch.tensor([[1.0, 2, 3, 4]]))
    none = {name: value[:0] for name, value in one.items()}
    metric.process(None, [dict(img_id=7, pred_instances=one), dict(img_id=8, pred_instances=none)])
    metric.evaluate(2)
    first, second = json.loads((tmp_path / 'records.json').read_text())
    assert first == dict(image=7, detections=[[1, 0.5, 1, 2, 3, 4]]) and second == dict(image=8, detections=[])
