import json

import pytest
import torch
from helpers.toy_runner import run_on_ranks
from mmengine.dataset import DefaultSampler

from lewel_plugins.evaluation import KNNMetric, RepresentationMetric
from lewel_plugins.evaluation.feature_loop import _drop_rows
from lewel_plugins.evaluation.feature_metric import FeatureSet
from lewel_plugins.evaluation.knn import knn_classes

pytestmark = pytest.mark.core


def _splits() -> dict[str, FeatureSet]:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(5, 8, generator=generator)

    def make(n: int) -> FeatureSet:
        label = torch.randint(5, (n,), generator=generator)
        # Rounded features: many exact ties.
        feat = (centers[label] + torch.randn(n, 8, generator=generator)).round()
        return FeatureSet(feat, label, torch.arange(n))

    return dict(bank=make(61), query=make(47))


def _evaluate(metric, splits: dict[str, FeatureSet]) -> dict:
    metric.process(None, [dict(split=split, **features._asdict()) for split, features in splits.items()])
    return metric.evaluate(47)


def _small_chunks(metric: KNNMetric) -> KNNMetric:
    metric.chunk = 16  # bank and queries then need several chunks
    return metric


def _metrics() -> list:
    knn = _small_chunks(KNNMetric(k=(1, 5, 20)))
    euclidean = _small_chunks(KNNMetric(k=(1, 5), temperature=None, distance='euclidean'))
    return [knn, KNNMetric(k=3, temperature=None), euclidean, RepresentationMetric(max_samples=30)]


def test_top1_is_the_share_of_right_predictions():
    splits = _splits()
    bank, query = splits['bank'], splits['query']
    got = _evaluate(_small_chunks(KNNMetric(k=(1, 5, 20))), splits)
    assert list(got) == ['knn/top1_k1', 'knn/top1_k5', 'knn/top1_k20']
    for k in (1, 5, 20):
        right = knn_classes(query.feat, bank.feat, bank.label, 5, [k])[0] == query.label
        assert got[f'knn/top1_k{k}'] == pytest.approx(100 * right.double().mean().item())
    assert list(_evaluate(KNNMetric(k=5), splits)) == ['knn/top1']


def _unweighted_euclidean(bank: FeatureSet, query: FeatureSet, k: int) -> float:
    """Return the accuracy by W-MSE's protocol, in float64 and one query at a time."""
    right = 0
    for feat, label in zip(query.feat.double(), query.label):
        distances = [(feat - other).square().sum().item() for other in bank.feat.double()]
        nearest = sorted(range(len(distances)), key=lambda i: distances[i])[:k]
        votes = bank.label[nearest].bincount(minlength=5)
        right += int(votes.argmax() == label)
    return 100 * right / len(query.label)


@pytest.mark.parametrize('k', [1, 5, 20])
def test_euclidean_neighbors_with_equal_votes(k):
    longer = {
        name: split._replace(feat=split.feat * (1 + split.sample_idx.view(-1, 1) % 3))
        for name, split in _splits().items()
    }
    metric = _small_chunks(KNNMetric(k=k, temperature=None, distance='euclidean'))
    accuracy = _evaluate(metric, longer)['knn/top1']
    assert accuracy == pytest.approx(_unweighted_euclidean(longer['bank'], longer['query'], k))
    assert accuracy != _evaluate(KNNMetric(k=k, temperature=None), longer)['knn/top1']  # lengths count


def _on_rank(rank: int, world_size: int, expected: list[dict]) -> None:
    splits = {}
    for split, features in _splits().items():
        # mmengine's sampler pads 61 and 47 images so that all ranks get equally many.
        rows = torch.tensor(list(DefaultSampler(range(len(features.feat)), shuffle=False)))
        if split == 'bank' and rank == 0:
            rows = rows[: len(rows) - 7]  # ranks have uneven numbers of images, but none is lost
        elif split == 'bank':
            rows = torch.cat([rows, torch.tensor([i for i in range(61) if i % world_size == 0][-7:])])
        shard = FeatureSet(*(x[rows] for x in features))
        shard = _drop_rows(shard, torch.ones(len(shard.feat), dtype=torch.bool), split, len(features.feat))
        assert len(shard.feat) <= len(rows)
        splits[split] = shard
    for metric, want in zip(_metrics(), expected):
        got = _evaluate(metric, splits)
        assert got == pytest.approx(want, abs=1e-5), json.dumps([got, want])


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_give_the_result_of_one_process(world_size):
    splits = _splits()
    run_on_ranks(world_size, _on_rank, world_size, [_evaluate(metric, splits) for metric in _metrics()])


def _on_rank_without_index(rank: int) -> None:
    features = FeatureSet(torch.randn(3, 2), torch.zeros(3).long(), torch.full((3,), -1))
    with pytest.raises(ValueError, match='the bank dataset has 6 images but 1 different `sample_idx`'):
        _drop_rows(features, torch.ones(len(features.feat), dtype=torch.bool), 'bank', 6)


def test_ranks_without_sample_idx():
    run_on_ranks(2, _on_rank_without_index)


def test_errors_name_what_is_wrong():
    splits = _splits()
    with pytest.raises(ValueError, match='k = 62 neighbors do not exist: the bank holds only 61 images'):
        _evaluate(KNNMetric(k=(5, 62)), splits)
    with pytest.raises(ValueError, match='needs the splits bank and query, got only .*query'):
        _evaluate(KNNMetric(), dict(query=splits['query']))
    unlabeled = splits['bank']._replace(label=torch.full((61,), -1))
    with pytest.raises(ValueError, match='61 of 61 bank images have none'):
        _evaluate(KNNMetric(), dict(splits, bank=unlabeled))
    with pytest.raises(ValueError, match=r'k must be positive integers, got \[0\]'):
        KNNMetric(k=0)
    with pytest.raises(ValueError, match="distance must be 'cosine' or 'euclidean', got 'l2'"):
        KNNMetric(distance='l2')
    with pytest.raises(ValueError, match="temperature must be None with distance='euclidean', got 0.07"):
        KNNMetric(distance='euclidean')
    metric = KNNMetric()
    metric.process(None, [dict(pred_label=torch.zeros(1))])
    with pytest.raises(ValueError, match='lewel_plugins.FeatureValLoop'):
        metric.evaluate(1)
