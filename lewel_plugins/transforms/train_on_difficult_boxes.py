import numpy as np
from mmcv.transforms import BaseTransform

from lewel_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TrainOnDifficultBoxes(BaseTransform):
    """Train a detector on VOC's *difficult* boxes like on all others, as detectron2 does.

    mmdet's ``VOCDataset`` marks them to be ignored: they are no targets, and a proposal on one is background. Place
    this after ``LoadAnnotations``, in the pipeline of the training only: VOC's evaluation does not count difficult
    boxes. Boxes that ``filter_cfg=dict(bbox_min_size=...)`` marks become targets, too.
    """

    def transform(self, results: dict) -> dict:
        """Clear ``gt_ignore_flags``, (N,) bool."""
        results['gt_ignore_flags'] = np.zeros_like(results['gt_ignore_flags'])
        return results
