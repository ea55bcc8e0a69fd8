"""k-NN accuracy of frozen features."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.registry import METRICS

from .feature_metric import FeatureMetric, FeatureSet, gather_rows, unit
from .knn import check_bank_size, check_knn_arguments, knn_vote, merge_neighbours, neighbours_from_keys


@METRICS.register_module()
class KNNMetric(FeatureMetric):
    """Top-1 accuracy of a weighted k-NN classifier on unit features. Wu et al. 2018 (InstDisc), Sec. 3.4.

    Queries are classified by the labelled images of the bank. Over ranks, each rank classifies its queries
    against the whole bank, which passes by in chunks; the result is that of one process.

    Metrics, in percent: ``knn/top1``, or ``knn/top1_k5``, ``knn/top1_k20``, … if k is a sequence.

    Args:
        k: Number of neighbours, or several; at most the bank's size.
        temperature: τ of the vote's weights exp(cos / τ); None gives every neighbour one vote.
        chunk: At most chunk² similarities exist at once on a rank.
        prefix: Prefix of the metrics' names.

    Raises:
        ValueError: An argument is out of range; or, when it is computed, k is larger than the bank, a split is
            missing, or an image has no label.
    """

    default_prefix = 'knn'

    def __init__(
        self,
        k: int | Sequence[int] = 20,
        temperature: float | None = 0.07,
        chunk: int = 2048,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        self.names = {k: 'top1'} if isinstance(k, int) else {each: f'top1_k{each}' for each in k}
        check_knn_arguments(list(self.names), temperature, chunk)
        self.temperature = temperature
        self.chunk = chunk

    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """Accuracy for every k, in percent."""
        for split in ('bank', 'query'):
            if split not in splits:
                raise ValueError(f'KNNMetric needs the splits bank and query, got only {sorted(splits)}')
        bank, query = splits['bank'], splits['query']
        bank_label, bank_idx = gather_rows(bank.label), gather_rows(bank.sample_idx)
        query_label = gather_rows(query.label)
        self._check(bank_label, query_label)
        num_classes = int(max(bank_label.max(), query_label.max())) + 1

        # Position in the dataset's order, so that ties fall as in one process.
        order = bank_idx.argsort(stable=True)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order), device=order.device)
        bank_label = bank_label[order]

        queries, keys = unit(query.feat), None
        for part, part_position in self._bank_parts(bank.feat, position):
            keys = merge_neighbours(keys, queries, part, part_position, max(self.names), self.chunk)
        assert keys is not None  # the bank is not empty
        similarity, neighbours = neighbours_from_keys(keys)
        neighbour_label = bank_label[neighbours]  # (Q, k)

        correct = []
        for k in self.names:
            prediction = torch.cat(
                [
                    knn_vote(s, y, num_classes, self.temperature)
                    for s, y in zip(similarity[:, :k].split(self.chunk), neighbour_label[:, :k].split(self.chunk))
                ]
            )
            correct.append((prediction == query.label).sum())
        percent = dist.all_reduce_sum(torch.stack(correct)).double() * (100 / len(query_label))
        return dict(zip(self.names.values(), percent.tolist()))

    def _check(self, bank_label: Tensor, query_label: Tensor) -> None:
        if not len(query_label):
            raise ValueError('there are no query images')
        check_bank_size(list(self.names), len(bank_label))
        for split, label in (('bank', bank_label), ('query', query_label)):
            unlabelled = int((label < 0).sum())
            if unlabelled:
                raise ValueError(f'KNNMetric needs labels: {unlabelled} of {len(label)} {split} images have none')

    def _bank_parts(self, feat: Tensor, position: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Unit features of about ``chunk`` images of the whole bank at a time, with their positions."""
        counts = dist.all_gather(torch.tensor([len(feat)], device=feat.device)).tolist()
        offsets = torch.tensor([0, *counts]).cumsum(0).tolist()
        step = max(1, self.chunk // len(counts))
        for start in range(0, max(counts), step):
            own = unit(feat[start : start + step])
            own = torch.cat([own, own.new_zeros(step - len(own), own.shape[1])])  # same shape on every rank
            parts = dist.all_gather(own).split(step)
            rows = [max(0, min(step, count - start)) for count in counts]
            yield (
                torch.cat([part[:n] for part, n in zip(parts, rows)]),
                torch.cat([position[o + start : o + start + n] for o, n in zip(offsets, rows)]),
            )
