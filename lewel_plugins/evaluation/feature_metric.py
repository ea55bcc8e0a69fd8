"""Base of the metrics that read features, and the gathering of tensors with unequal numbers of rows."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from torch import Tensor

from lewel_plugins import dist


class FeatureSet(NamedTuple):
    """Features of one split on this rank.

    Attributes:
        feat: Features, (N, D) float32.
        label: Classes, (N,) int64; −1 where the image has none.
        sample_idx: Index in the dataset, (N,) int64, no index on two ranks.
    """

    feat: Tensor
    label: Tensor
    sample_idx: Tensor


def gather_rows(x: Tensor) -> Tensor:
    """Rows of all ranks in rank order; the number of rows may differ between ranks.

    Args:
        x: (N, …) with the same trailing shape on every rank.

    Returns:
        (sum of N, …).
    """
    if dist.world_size() == 1:
        return x
    counts = dist.all_gather(torch.tensor([x.shape[0]], device=x.device)).tolist()
    padded = torch.cat([x, x.new_zeros(max(counts) - x.shape[0], *x.shape[1:])])
    rows = dist.all_gather(padded).split(max(counts))
    return torch.cat([part[:count] for part, count in zip(rows, counts)])


class FeatureMetric(BaseMetric):
    """Metric on features instead of predictions. Fed by ``FeatureValLoop`` and ``FeatureTestLoop``.

    The loop calls ``process`` once per split with one dict of tensors: ``split`` (``'bank'`` or ``'query'``),
    ``feat``, ``label`` and ``sample_idx`` as in :class:`FeatureSet`. Every rank keeps its shard as it is: nothing is
    pickled, and what has to cross ranks does so as tensors in ``compute_features``, which all ranks call.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the features of one split."""
        self.results.extend(data_samples)

    def evaluate(self, size: int) -> dict:
        """Compute the metrics on all ranks.

        Args:
            size: Not used; the loop has already dropped the sampler's padding.
        """
        missing = {'split', 'feat', 'label', 'sample_idx'}.difference(*self.results[:1])
        if not self.results or missing:
            raise ValueError(
                f'{type(self).__name__} reads features: set `type` of val_cfg or test_cfg to '
                '`lewel_plugins.FeatureValLoop` or `lewel_plugins.FeatureTestLoop`'
            )
        splits = {d['split']: FeatureSet(d['feat'], d['label'], d['sample_idx']) for d in self.results}
        self.results.clear()
        with torch.no_grad():
            metrics = self.compute_features(splits)
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    def compute_metrics(self, results: list) -> dict:
        """Not used: ``evaluate`` calls ``compute_features`` on every rank."""
        raise NotImplementedError

    @abstractmethod
    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """Metrics from this rank's shards of the splits; called on all ranks, equal results on all."""


def unit(x: Tensor) -> Tensor:
    """Rows divided by their L2 norm, in float32."""
    return F.normalize(x.float(), dim=1)
