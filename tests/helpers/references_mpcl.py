"""Naive references of MPCL and its frameworks, in float64 loops as in ``references.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from helpers import references as naive


def info_nce(q: Tensor, k: Tensor, queue: Tensor, tau: float) -> Tensor:
    """MPCL, Eq. 1, of M projectors: (M, N, d) twice, (M, d, Q) → (M,)."""
    return torch.stack([naive.info_nce(*task, tau) for task in zip(q, k, queue)])


def batch_info_nce(q: Tensor, keys: Tensor, tau: float, first: int = 0) -> Tensor:
    """(M, N, d), (M, WN, d) → (M,): the negatives are the keys of all other images."""
    losses = []
    for m in range(len(q)):
        total = q.new_zeros(())
        for n in range(q.shape[1]):
            others = [keys[m, j] for j in range(keys.shape[1]) if j != first + n]
            total = total + naive.contrast(q[m, n], keys[m, first + n], others, tau)
        losses.append(total / q.shape[1])
    return torch.stack(losses)


def ranked_first(
    queries: Sequence[Tensor], positives: Sequence[Tensor], negatives: Sequence[Sequence[Tensor]]
) -> float:
    """Share of the queries whose positive has a higher cosine than all of its negatives."""
    hits = [
        all(naive.cosine(q, p) > naive.cosine(q, n) for n in others)
        for q, p, others in zip(queries, positives, negatives)
    ]
    return sum(hits) / len(hits)


def queue_accuracy(q: Tensor, k: Tensor, queue: Tensor) -> list[float]:
    return [ranked_first(q[m], k[m], [list(queue[m].T)] * q.shape[1]) for m in range(len(q))]


def batch_accuracy(q: Tensor, keys: Tensor) -> list[float]:
    """Cross-view retrieval in a whole batch, (M, N, d) twice."""
    count = q.shape[1]
    return [
        ranked_first(q[m], keys[m], [[keys[m, j] for j in range(count) if j != n] for n in range(count)])
        for m in range(len(q))
    ]


def standardize(x: Tensor) -> Tensor:
    """(M, N, d): every channel to mean 0 and variance 1 over the batch, as a batch norm does."""
    tasks = []
    for rows in x:
        ones = rows.new_ones(rows.shape[1])
        tasks.append(naive.batch_norm(rows, ones, 0 * ones)[0])
    return torch.stack(tasks)


def barlow_twins(x: Tensor, y: Tensor, redundancy_weight: float = 0.0051) -> Tensor:
    """Zbontar et al., Eqs. 1 and 2, of M projectors, (M, N, d) twice → (M,)."""
    losses = []
    for first, second in zip(standardize(x), standardize(y)):
        count, width = first.shape
        loss = first.new_zeros(())
        for i in range(width):
            for j in range(width):
                c = naive.dot(first[:, i], second[:, j]) / count
                loss = loss + ((1 - c) ** 2 if i == j else redundancy_weight * c**2)
        losses.append(loss)
    return torch.stack(losses)


def projector_regularization(z: Tensor, form: str = 'cross_correlation') -> Tensor:
    """MPCL, Eq. 2, as a mean over m, and for the cosines over the batch."""
    num, count, width = z.shape
    total = 0 * z.sum()
    if form == 'within_projector':
        for y in standardize(z):
            c = cross_correlation(y, y)
            total = total + sum(c[i, j] ** 2 for i in range(width) for j in range(width) if i != j) / width
        return total / num
    for m in range(num):
        for other in range(num):
            if other == m:
                continue
            if form == 'cross_correlation':
                c = cross_correlation(*standardize(z[[m, other]]))
                total = total + sum(value**2 for value in c.flatten()) / (width * (num - 1))
            else:
                cosines = [naive.cosine(z[m, b], z[other, b]) for b in range(count)]
                values = [c**2 for c in cosines] if form == 'squared_cosine' else cosines
                total = total + sum(values) / (count * (num - 1))
    return total / num


def cross_correlation(x: Tensor, y: Tensor) -> Tensor:
    """(N, d) twice, standardized → (d, d)."""
    width = range(x.shape[1])
    return torch.stack([torch.stack([naive.dot(x[:, i], y[:, j]) / len(x) for j in width]) for i in width])


def training_balance(accuracy: Tensor, epsilon: float = 0.5) -> Tensor:
    """MPCL, Eq. 3."""
    exponentials = [torch.exp((1 - a) / epsilon) for a in accuracy]
    total = sum(exponentials, accuracy.new_zeros(()))
    return torch.stack([e / total for e in exponentials])


def projector_cosines(z: Tensor) -> Tensor:
    """(M, N, d) → (N, M, M)."""
    return torch.stack(
        [torch.stack([torch.stack([naive.cosine(a, b) for b in z[:, n]]) for a in z[:, n]]) for n in range(z.shape[1])]
    )


def hsic(z: Tensor) -> Tensor:
    """HSIC_1 of Song et al. 2012, of unit embeddings, (M, N, d) → (M, M), with the sums written out."""
    count = z.shape[1]
    grams = [
        torch.stack(
            [
                torch.stack([naive.cosine(a, b) if i != j else 0 * a[0] for j, b in enumerate(rows)])
                for i, a in enumerate(rows)
            ]
        )
        for rows in z
    ]
    values = []
    for k in grams:
        for other in grams:
            trace = sum(k[i, j] * other[j, i] for i in range(count) for j in range(count))
            sums = sum(k.flatten()) * sum(other.flatten()) / ((count - 1) * (count - 2))
            paths = sum(k[i, j] * other[j, n] for i in range(count) for j in range(count) for n in range(count))
            values.append((trace + sums - 2 * paths / (count - 2)) / (count * (count - 3)))
    return torch.stack(values).view(len(z), len(z))


def weights_after(accuracies: Sequence[float], epsilon: float = 0.5) -> list[float]:
    """Eq. 3 on plain numbers."""
    exponentials = [math.exp((1 - a) / epsilon) for a in accuracies]
    return [e / sum(exponentials) for e in exponentials]


def mlp(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    norms: Sequence[tuple[Tensor | None, Tensor | None] | None],
) -> Tensor:
    """One projector, (N, D) → (N, d): per layer a linear map, a batch norm if ``norms`` has one, and ReLU."""
    for i, (weight, bias, norm) in enumerate(zip(weights, biases, norms)):
        x = torch.stack([torch.mv(weight, row) for row in x])
        if bias is not None:
            x = x + bias
        if norm is not None:
            ones = x.new_ones(x.shape[1])
            x = naive.batch_norm(x, *(norm if norm[0] is not None else (ones, 0 * ones)))[0]
        if i + 1 < len(weights):
            x = x.clamp(min=0)
    return x
