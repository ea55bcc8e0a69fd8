from typing import Any

import torch

from lewel_plugins.registry import METRICS

from .image_record_metric import ImageRecordMetric

IGNORED = 255


@METRICS.register_module()
class RegionRecordMetric(ImageRecordMetric):
    """Writes ``image``, the path of each image, and by class the pixels of ``intersection`` and ``union``."""

    def record(self, sample: dict) -> dict[str, Any]:
        """Return the diagonal, and the sums of rows and columns less the diagonal, of the confusion matrix."""
        count = len(self.dataset_meta['classes'])
        predicted, label = (sample[name]['data'].squeeze().flatten().long() for name in ('pred_sem_seg', 'gt_sem_seg'))
        counted = label != IGNORED
        pairs = count * label[counted] + predicted.to(label.device)[counted]
        confusion = torch.bincount(pairs, minlength=count**2).reshape(count, count)
        intersection = confusion.diag()
        union = confusion.sum(0) + confusion.sum(1) - intersection
        return dict(image=sample['img_path'], intersection=intersection.tolist(), union=union.tolist())
