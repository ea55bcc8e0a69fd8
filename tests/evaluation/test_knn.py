import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from lewel_plugins.evaluation.knn import _to_keys, knn_classes, nearest, neighbors_from_keys

pytestmark = pytest.mark.core


def _data(queries: int = 90, bank: int = 150, dim: int = 7, classes: int = 5):
    generator = torch.Generator().manual_seed(0)
    query, bank_ = torch.randn(queries, dim, generator=generator), torch.randn(bank, dim, generator=generator)
    return query, bank_, torch.randint(classes, (bank,), generator=generator)


@pytest.mark.parametrize('k', [1, 4, 20, 150])
@pytest.mark.parametrize('temperature', [None, 0.07, 1.0])
def test_equals_sklearn(k, temperature):
    query, bank, labels = _data()
    weights = 'uniform' if temperature is None else lambda distance: np.exp((1 - distance) / temperature)
    reference = KNeighborsClassifier(k, weights=weights, metric='cosine', algorithm='brute')
    reference.fit(bank.double().numpy(), labels.numpy())
    (got,) = knn_classes(query, bank, labels, 5, [k], temperature, chunk=32)
    np.testing.assert_array_equal(got.numpy(), reference.predict(query.double().numpy()))


@pytest.mark.parametrize('chunk', [1, 7, 64, 1000])
def test_any_chunk_gives_the_same(chunk):
    query, bank, labels = _data()
    got, expected = (knn_classes(query, bank, labels, 5, [20], 0.07, size) for size in (chunk, 4096))
    assert torch.equal(got, expected)


@pytest.mark.parametrize('chunk', [1, 2, 3, 100])
def test_equal_similarities_go_to_the_earlier_image(chunk):
    query = torch.tensor([[1.0, 0.0]])
    bank = torch.tensor([[0.0, 1.0], [2.0, 0.0], [5.0, 0.0], [1.0, 0.0], [3.0, 0.0]])  # rows 1 to 4 tie at cos = 1
    labels = torch.tensor([0, 3, 1, 1, 2])
    assert knn_classes(query, bank, labels, 4, [1, 3], None, chunk).tolist() == [[3], [1]]


def test_equal_votes_go_to_the_lower_class():
    query, bank = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for temperature in (None, 0.07):
        assert knn_classes(query, bank, torch.tensor([2, 1, 0]), 3, [2], temperature).tolist() == [[1]]


def test_small_temperature_does_not_overflow():
    query, bank, labels = _data()
    of_nearest = knn_classes(query, bank, labels, 5, [1])
    assert torch.equal(knn_classes(query, bank, labels, 5, [20], 1e-5), of_nearest)


def test_keys_keep_order_and_value():
    similarity = torch.tensor([-1.0, -0.5, -1e-30, -0.0, 0.0, 1e-30, 0.5, 1.0])
    position = torch.tensor([7, 6, 5, 4, 3, 2, 2**32 - 1, 0])
    keys = _to_keys(similarity, position)
    assert (keys[1:] > keys[:-1]).all()
    got, got_position = neighbors_from_keys(keys)
    assert torch.equal(got, similarity) and torch.equal(got_position, position)


def test_no_query():
    _, bank, labels = _data()
    assert knn_classes(bank[:0], bank, labels, 5, [20]).shape == (1, 0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(k=[151]), 'k = 151 neighbors do not exist: the bank holds only 150 images'),
        (dict(k=[0]), r'k must be positive integers, got \[0\]'),
        (dict(temperature=0.0), 'temperature must be positive, or None for an unweighted vote, got 0.0'),
        (dict(chunk=0), 'chunk must be at least 1, got 0'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        knn_classes(*_data(), 5, **{'k': [20], **arguments})


def test_several_numbers_of_neighbors_from_one_search():
    query, bank, labels = _data()
    together = knn_classes(query, bank, labels, 5, [1, 20, 150], 0.07, chunk=32)
    assert together.shape == (3, 90)
    for k, predictions in zip((1, 20, 150), together):
        assert torch.equal(predictions[None], knn_classes(query, bank, labels, 5, [k], 0.07))
    similarity, positions = nearest(query, bank, [3, 2])
    cosines = torch.nn.functional.normalize(query, dim=1) @ torch.nn.functional.normalize(bank, dim=1).T
    torch.testing.assert_close(similarity, cosines.topk(3).values)
    assert torch.equal(positions, cosines.topk(3).indices)
    with pytest.raises(ValueError, match='k = 151 neighbors do not exist'):
        knn_classes(query, bank, labels, 5, [1, 151])
