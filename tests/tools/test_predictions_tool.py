"""Items of data sets of mmdet and mmseg become samples with image, truth and prediction of the same size."""

import importlib.util

import numpy as np
import torch
from helpers.tool_runs import ROOT
from mmengine.structures import BaseDataElement, InstanceData, PixelData

spec = importlib.util.spec_from_file_location('predictions_tool', ROOT / 'tools' / 'analysis' / 'predictions.py')
predictions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(predictions)


def item() -> dict:
    """Return an image of 30 × 40 pixels, resized to 51 × 68. The right half is red, the lower half blue."""
    image = torch.zeros(3, 51, 68, dtype=torch.uint8)
    image[2, :, 34:] = 200  # BGR
    image[0, 26:] = 100
    return dict(inputs=image)


def halves(image: np.ndarray) -> None:
    assert image.shape == (30, 40, 3)
    assert (image[:, 21:, 0] == 200).all() and (image[:, :19, 0] == 0).all()
    assert (image[16:, :, 2] == 100).all() and (image[:14, :, 2] == 0).all()


def test_maps_of_classes_and_image_have_the_files_size():
    truth = torch.zeros(1, 30, 40, dtype=torch.long)
    truth[..., 20:] = 3
    result = BaseDataElement(metainfo=dict(ori_shape=(30, 40)))
    result.gt_sem_seg, result.pred_sem_seg = PixelData(data=truth), PixelData(data=truth.clone())
    sample = predictions.to_sample(item(), result, 0.3)
    halves(sample['image'])
    assert sample['truth'].shape == sample['prediction'].shape == (30, 40)


def test_boxes_and_image_have_the_files_size():
    result = BaseDataElement(metainfo=dict(ori_shape=(30, 40)))
    result.gt_instances = InstanceData(bboxes=torch.tensor([[20.0, 0, 40, 30]]), labels=torch.tensor([1]))
    result.pred_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 0, 40, 30], [0, 0, 1, 1]]),
        labels=torch.tensor([1, 2]),
        scores=torch.tensor([0.9, 0.1]),
    )
    sample = predictions.to_sample(item(), result, 0.3)
    halves(sample['image'])
    assert sample['prediction']['labels'].tolist() == [1] and 'scores' not in sample['truth']
