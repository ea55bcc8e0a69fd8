"""Spread and rank of frozen features."""

import torch
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.functional import covariance_spectrum, rank_me, uniformity
from lewel_plugins.registry import METRICS

from .feature_metric import FeatureMetric, FeatureSet, gather_rows, unit


def spectrum_at_quartiles(sigma: Tensor) -> dict[str, Tensor]:
    """A spectrum as a few scalars to log: ``spectrum_0``, ``_25``, ``_50`` and ``_75``.

    Args:
        sigma: Singular values in falling order, (d,).

    Returns:
        For each share in percent, the value that this share of the others exceed.
    """
    return {f'spectrum_{share}': sigma[len(sigma) * share // 100] for share in (0, 25, 50, 75)}


@METRICS.register_module()
class RepresentationMetric(FeatureMetric):
    """Measures of the query set's features that need no labels.

    - ``std_raw``: standard deviation of the unit features over images, averaged over dimensions;
    - ``std``: that times sqrt(D). 1 for features spread evenly over the sphere, 0 for a collapse to a point
      (Chen and He 2021, SimSiam, Sec. 4.1). Features after a ReLU fill only one orthant and lie below 1;
    - ``rank_me``: effective rank in [1, D] (Garrido et al. 2023);
    - ``uniformity``: in [−8, 0], lower is more uniform (Wang and Isola 2020), t = 2;
    - ``spectrum_0``, ``_25``, ``_50``, ``_75``: singular values of the covariance of the unit features times D, the
      largest and those that 25, 50 and 75 % of the others exceed.

    The std is over all images. Rank, spectrum and uniformity grow with N² or D³ and are over at most ``max_samples``
    images drawn with a fixed seed: RankMe is then at most min(max_samples, D).

    Args:
        max_samples: Bound on the images of ``rank_me``, spectrum and ``uniformity``, at least 2.
        prefix: Prefix of the metrics' names.
    """

    default_prefix = 'representation'

    def __init__(self, max_samples: int = 2048, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        if max_samples < 2:
            raise ValueError(f'max_samples must be at least 2, got {max_samples}')
        self.max_samples = max_samples

    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """The measures of the query set."""
        if 'query' not in splits:
            raise ValueError(f'RepresentationMetric needs the split query, got only {sorted(splits)}')
        query = splits['query']
        sample = self._sample(query)
        std_raw = self._std(unit(query.feat))
        return dict(
            std=std_raw * query.feat.shape[1] ** 0.5,
            std_raw=std_raw,
            rank_me=float(rank_me(sample)),
            uniformity=float(uniformity(sample)),
            **{name: float(value) for name, value in spectrum_at_quartiles(covariance_spectrum(sample)).items()},
        )

    @staticmethod
    def _std(x: Tensor) -> float:
        x = x.double()
        count = dist.all_reduce_sum(x.new_tensor(float(len(x))))
        mean = dist.all_reduce_sum(x.sum(0)) / count
        # The second pass is around the mean: E x² − (E x)² would lose the small std of a collapse.
        variance = dist.all_reduce_sum((x - mean).square().sum(0)) / count
        return float(variance.sqrt().mean())

    def _sample(self, query: FeatureSet) -> Tensor:
        """At most ``max_samples`` rows of all ranks, in the dataset's order and the same however they are split."""
        all_indices = gather_rows(query.sample_idx).sort().values
        if len(all_indices) < 2:
            raise ValueError(f'RepresentationMetric needs at least 2 images, got {len(all_indices)}')
        drawn = torch.randperm(len(all_indices), generator=torch.Generator().manual_seed(0))[: self.max_samples]
        own = torch.isin(query.sample_idx, all_indices[drawn.to(all_indices.device)])
        return gather_rows(query.feat[own])[gather_rows(query.sample_idx[own]).argsort()]
