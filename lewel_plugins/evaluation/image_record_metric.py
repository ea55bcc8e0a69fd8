"""What a network predicts for each image, as a json file."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from lewel_plugins.files import write_json


class ImageRecordMetric(BaseMetric):
    """Writes one record per image, from which a measure of any part of the images can be computed later.

    Args:
        out_file: The json file: a list of records.
    """

    default_prefix = 'recorded'

    def __init__(self, out_file: str) -> None:
        super().__init__()
        self.out_file = out_file

    @abstractmethod
    def record(self, sample: dict) -> dict[str, Any]:
        """Return the record of an image as json values.

        Args:
            sample: Predictions and labels of the image.
        """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Record the images of a batch."""
        self.results += [self.record(sample) for sample in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the records of all images, and return their number."""
        write_json(self.out_file, results)
        return dict(images=len(results))
