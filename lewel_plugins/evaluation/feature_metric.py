"""The base class of metrics on features, and a gather of tensors with unequal numbers of rows."""

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
        label: Classes, (N,) int64; −1 if an image has none.
        sample_idx: Indices in the dataset, (N,) int64; no two ranks have the same index.
    """

    feat: Tensor
    label: Tensor
    sample_idx: Tensor


def gather_rows(x: Tensor) -> Tensor:
    """Gather the rows of all ranks in rank order; the number of rows may differ between ranks.

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
    """A metric on features instead of predictions, for ``FeatureValLoop`` and ``FeatureTestLoop``.

    The loop calls ``process`` once per split with one dict of tensors: ``split`` (``'bank'`` or ``'query'``), ``feat``,
    ``label`` and ``sample_idx`` as in :class:`FeatureSet`. Each rank keeps its share as it is. Nothing is pickled: all
    ranks call ``compute_features``, which exchanges tensors.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the features of one split."""
        self.results.extend(data_samples)

    def evaluate(self, size: int) -> dict:
        """Compute the metrics on all ranks.

        Args:
            size: Unused, because the loop has already dropped the sampler's padding.
        """
        missing = {'split', 'feat', 'label', 'sample_idx'}.difference(*self.results[:1])
        if not self.results or missing:
            raise ValueError(
                f'{type(self).__name__} needs features: set `type` of val_cfg or test_cfg to '
                '`lewel_plugins.FeatureValLoop` or `lewel_plugins.FeatureTestLoop`'
            )
        splits = {d['split']: FeatureSet(d['feat'], d['label'], d['sample_idx']) for d in self.results}
        self.results.clear()
        with torch.no_grad():
            metrics = self.compute_features(splits)
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    def compute_metrics(self, results: list) -> dict:
        """Unused, because ``evaluate`` calls ``compute_features`` on every rank."""
        raise NotImplementedError

    @abstractmethod
    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """Compute the metrics from this rank's share of each split; all ranks call this and return the same values."""


def unit(x: Tensor) -> Tensor:
    """Divide each row by its L2 norm, in float32."""
    return F.normalize(x.float(), dim=1)
