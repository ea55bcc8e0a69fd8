from typing import Any

from lewel_plugins.registry import METRICS

from .image_record_metric import ImageRecordMetric


@METRICS.register_module()
class DetectionRecordMetric(ImageRecordMetric):
    """Writes ``image``, the id of each image, and its ``detections``: class, score, left, top, right and bottom."""

    def record(self, sample: dict) -> dict[str, Any]:
        """Return the detections of an image."""
        predicted = sample['pred_instances']
        columns = (predicted[name].tolist() for name in ('labels', 'scores', 'bboxes'))
        detections = [[label, score, *box] for label, score, box in zip(*columns)]
        return dict(image=sample['img_id'], detections=detections)
