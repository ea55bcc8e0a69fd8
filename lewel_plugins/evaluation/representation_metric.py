"""The spread and the rank of frozen features."""

import torch
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.functional import rank_me_and_spectrum, uniformity
from lewel_plugins.registry import METRICS

from .feature_metric import FeatureMetric, FeatureSet, gather_rows, unit


def spectrum_at_quartiles(sigma: Tensor) -> dict[str, Tensor]:
    """Reduce a spectrum to a few scalars to log: ``spectrum_0``, ``_25``, ``_50`` and ``_75``.

    Args:
        sigma: Singular values in descending order, (d,).

    Returns:
        For each percentage, the singular value that this share of the values exceeds.
    """
    return {f'spectrum_{share}': sigma[len(sigma) * share // 100] for share in (0, 25, 50, 75)}


@METRICS.register_module()
class RepresentationMetric(FeatureMetric):
    """Measures of the query set's features that need no labels.

    - ``std_raw``: standard deviation of the unit features over images, averaged over dimensions;
    - ``std``: ``std_raw`` times sqrt(D). It is 1 for features spread evenly over the sphere and 0 for a collapse to a
      point (Chen and He 2021, SimSiam, Sec. 4.1). Features after a ReLU fill only one orthant and lie below 1;
    - ``rank_me``: effective rank in [1, D] (Garrido et al. 2023);
    - ``uniformity``: in [−8, 0], lower is more uniform (Wang and Isola 2020), t = 2;
    - ``spectrum_0``, ``_25``, ``_50``, ``_75``: singular values of the covariance of the unit features times D: the
      largest, and those that 25, 50 and 75 % of the others exceed.

    The standard deviations use all images. The cost of rank, spectrum and uniformity grows with N² or D³, so they use
    at most ``max_samples`` images, drawn with a fixed seed. RankMe is then at most min(max_samples, D).

    Args:
        max_samples: Largest number of images for ``rank_me``, spectrum and ``uniformity``, at least 2.
    """

    default_prefix = 'representation'

    def __init__(self, max_samples: int = 2048) -> None:
        super().__init__()
        if max_samples < 2:
            raise ValueError(f'max_samples must be at least 2, got {max_samples}')
        self.max_samples = max_samples

    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """Return the measures of the query set."""
        if 'query' not in splits:
            raise ValueError(f'RepresentationMetric needs the split query, got only {sorted(splits)}')
        query = splits['query']
        sample = self._sample(query)
        std_raw = self._std(unit(query.feat))
        rank, spectrum = rank_me_and_spectrum(sample)
        return dict(
            std=std_raw * query.feat.shape[1] ** 0.5,
            std_raw=std_raw,
            rank_me=float(rank),
            uniformity=float(uniformity(sample)),
            **{name: float(value) for name, value in spectrum_at_quartiles(spectrum).items()},
        )

    @staticmethod
    def _std(x: Tensor) -> float:
        x = x.double()
        count = dist.all_reduce_sum(x.new_tensor(float(len(x))))
        mean = dist.all_reduce_sum(x.sum(0)) / count
        # In two passes, because E x² − (E x)² would lose the small std of a collapse.
        variance = dist.all_reduce_sum((x - mean).square().sum(0)) / count
        return float(variance.sqrt().mean())

    def _sample(self, query: FeatureSet) -> Tensor:
        """Gather at most ``max_samples`` rows of all ranks in the dataset's order; the same for any number of ranks."""
        all_indices = gather_rows(query.sample_idx).sort().values
        if len(all_indices) < 2:
            raise ValueError(f'RepresentationMetric needs at least 2 images, got {len(all_indices)}')
        sample = torch.randperm(len(all_indices), generator=torch.Generator().manual_seed(0))[: self.max_samples]
        own = torch.isin(query.sample_idx, all_indices[sample.to(all_indices.device)])
        return gather_rows(query.feat[own])[gather_rows(query.sample_idx[own]).argsort()]
