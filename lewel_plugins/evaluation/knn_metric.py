"""The k-NN accuracy of frozen features."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.registry import METRICS

from .feature_metric import FeatureMetric, FeatureSet, gather_rows, unit
from .knn import check_bank_size, check_knn_arguments, euclidean_rows, knn_vote, merge_neighbors, neighbors_from_keys


@METRICS.register_module()
class KNNMetric(FeatureMetric):
    """Top-1 accuracy of a k-NN classifier on features. Wu et al. 2018 (InstDisc), Sec. 3.4.

    By default, neighbors are those of the highest cosine, and they vote with weights. The 5-NN accuracies on STL-10 and
    ImageNet-100 that MSBReg compares with (Table 1) are of Euclidean neighbors that vote with equal weights (Ermolov et
    al. 2021, W-MSE): ``k=5, distance='euclidean', temperature=None``.

    The labeled images of the bank classify the queries. Each rank classifies its own queries against the whole bank,
    which the ranks exchange in chunks, so that the result equals that of one process.

    Metrics, in percent: ``knn/top1``, or ``knn/top1_k5``, ``knn/top1_k20``, … if k is a sequence.

    Args:
        k: Number of neighbors, or several; at most the size of the bank.
        temperature: τ of the vote's weights exp(cos / τ); None gives every neighbor one vote.
        distance: ``cosine``, of unit features, or ``euclidean``, of features as they are. The latter has no weights.

    Raises:
        ValueError: An argument is out of range. During the evaluation: k is larger than the bank, a split is missing,
            or an image has no label.
    """

    default_prefix = 'knn'
    chunk = 2048  # at most chunk² similarities exist at once on a rank

    def __init__(self, k: int | Sequence[int] = 20, temperature: float | None = 0.07, distance: str = 'cosine') -> None:
        super().__init__()
        if distance not in ('cosine', 'euclidean'):
            raise ValueError(f"distance must be 'cosine' or 'euclidean', got {distance!r}")
        if distance == 'euclidean' and temperature is not None:
            raise ValueError(f"temperature must be None with distance='euclidean', got {temperature}")
        self.names = {k: 'top1'} if isinstance(k, int) else {each: f'top1_k{each}' for each in k}
        check_knn_arguments(list(self.names), temperature, self.chunk)
        self.temperature, self.distance = temperature, distance

    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """Return the accuracy for each k, in percent."""
        for split in ('bank', 'query'):
            if split not in splits:
                raise ValueError(f'KNNMetric needs the splits bank and query, got only {sorted(splits)}')
        bank, query = splits['bank'], splits['query']
        bank_label, query_label = gather_rows(bank.label), gather_rows(query.label)
        self._check(bank_label, query_label)
        num_classes = int(max(bank_label.max(), query_label.max())) + 1

        # Positions in the order of the dataset, so that ties are resolved as in one process.
        order = gather_rows(bank.sample_idx).argsort(stable=True)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order), device=order.device)

        similarity, neighbors = self._search(self._rows(query.feat, is_query=True), bank.feat, position)
        votes = bank_label[order][neighbors]  # (Q, k)
        correct = [
            (self._classify(similarity[:, :k], votes[:, :k], num_classes) == query.label).sum() for k in self.names
        ]
        percent = dist.all_reduce_sum(torch.stack(correct)).double() * (100 / len(query_label))
        return dict(zip(self.names.values(), percent.tolist()))

    def _rows(self, feat: Tensor, is_query: bool = False) -> Tensor:
        """Return rows (N, ·) whose dot products order the bank by the distance."""
        return unit(feat) if self.distance == 'cosine' else euclidean_rows(feat, is_query)

    def _search(self, queries: Tensor, bank: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return similarities and positions of each query's nearest neighbors in the whole bank, (Q, max k)."""
        keys = None
        for part, part_position in self._bank_parts(bank, position):
            keys = merge_neighbors(keys, queries, part, part_position, max(self.names), self.chunk)
        assert keys is not None  # the bank is not empty
        return neighbors_from_keys(keys)

    def _classify(self, similarity: Tensor, votes: Tensor, num_classes: int) -> Tensor:
        chunks = zip(similarity.split(self.chunk), votes.split(self.chunk))
        return torch.cat([knn_vote(s, y, num_classes, self.temperature) for s, y in chunks])

    def _check(self, bank_label: Tensor, query_label: Tensor) -> None:
        if not len(query_label):
            raise ValueError('there are no query images')
        check_bank_size(list(self.names), len(bank_label))
        for split, label in (('bank', bank_label), ('query', query_label)):
            unlabeled = int((label < 0).sum())
            if unlabeled:
                raise ValueError(f'KNNMetric needs labels: {unlabeled} of {len(label)} {split} images have none')

    def _bank_parts(self, feat: Tensor, position: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the rows of about ``chunk`` images of the whole bank at a time, with their positions."""
        counts = dist.all_gather(torch.tensor([len(feat)], device=feat.device)).tolist()
        offsets = torch.tensor([0, *counts]).cumsum(0).tolist()
        step = max(1, self.chunk // len(counts))
        for start in range(0, max(counts), step):
            own = self._rows(feat[start : start + step])
            own = torch.cat([own, own.new_zeros(step - len(own), own.shape[1])])  # the same shape on every rank
            parts = dist.all_gather(own).split(step)
            rows = [max(0, min(step, count - start)) for count in counts]
            yield (
                torch.cat([part[:n] for part, n in zip(parts, rows)]),
                torch.cat([position[o + start : o + start + n] for o, n in zip(offsets, rows)]),
            )
