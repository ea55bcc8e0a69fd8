"""k-nearest-neighbour search and vote on unit features, in bounded memory.

A neighbour is one int64 key: the cosine similarity's bits, made order-preserving, in the upper half, and the
inverted bank position in the lower. Keys are unique, so the k largest are well defined whatever the chunks or the
number of ranks: equal similarities go to the lower bank position.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_LOW_32 = 0xFFFFFFFF


def _to_keys(similarity: Tensor, position: Tensor) -> Tensor:
    # + 0 turns −0 into 0. Negative floats order backwards as integers: flip all but their sign bit.
    bits = (similarity.float() + 0).view(torch.int32)
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return bits.long().bitwise_left_shift_(32).bitwise_or_(_LOW_32 - position)


def neighbours_from_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine similarity (float32) and bank position (int64) of every key; both of the keys' shape."""
    bits = keys.bitwise_right_shift(32).int()
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return bits.view(torch.float32), _LOW_32 - (keys & _LOW_32)


def merge_neighbours(keys: Tensor | None, query: Tensor, bank: Tensor, position: Tensor, k: int, chunk: int) -> Tensor:
    """Merge one part of the bank into the running k nearest neighbours.

    Args:
        keys: What the parts so far gave, (Q, ≤ k), or None at the first.
        query: Unit features, (Q, D).
        bank: Unit features of this part, (B, D).
        position: Positions of its rows in the whole bank, (B,) int64 in [0, 2^32), unique over all parts.
        k: Number of neighbours.
        chunk: Queries at a time: at most chunk · B similarities exist at once.

    Returns:
        Keys, (Q, min(k, rows so far)), nearest first.
    """
    merged = []
    for start in range(0, query.shape[0], chunk):
        part = _to_keys(query[start : start + chunk] @ bank.T, position)
        part = part.topk(min(k, part.shape[1]), dim=1).values
        if keys is not None:
            part = torch.cat([keys[start : start + chunk], part], dim=1)
            part = part.topk(min(k, part.shape[1]), dim=1).values
        merged.append(part)
    return torch.cat(merged) if merged else position.new_empty(0, min(k, bank.shape[0]))


def knn_vote(similarity: Tensor, labels: Tensor, num_classes: int, temperature: float | None) -> Tensor:
    """Class with the most votes among neighbours. Wu et al. 2018 (InstDisc), Sec. 3.4.

    A neighbour votes for its class with weight exp(similarity / τ), or 1 without a temperature. Of classes with
    equal votes the lowest number wins.

    Args:
        similarity: Cosine similarity of each neighbour, (Q, k).
        labels: Class of each neighbour, (Q, k) int64.
        num_classes: Number of classes.
        temperature: τ, or None.

    Returns:
        Predicted classes, (Q,) int64.
    """
    if temperature is None:
        weights = torch.ones_like(similarity)
    else:
        # Relative to the nearest neighbour: the same winner, and no overflow at small τ.
        weights = ((similarity - similarity.amax(1, keepdim=True)) / temperature).exp()
    return weights.new_zeros(len(labels), num_classes).scatter_add_(1, labels, weights).argmax(1)


def check_knn_arguments(k: Sequence[int], temperature: float | None, chunk: int) -> None:
    """Raise a ValueError that names the first argument that makes no sense."""
    if not k or any(not isinstance(each, int) or each < 1 for each in k):
        raise ValueError(f'k must be positive integers, got {list(k)}')
    if temperature is not None and not temperature > 0:
        raise ValueError(f'temperature must be positive, or None for an unweighted vote, got {temperature}')
    if chunk < 1:
        raise ValueError(f'chunk must be at least 1, got {chunk}')


def check_bank_size(k: Sequence[int], size: int) -> None:
    """Raise a ValueError if there are fewer bank images than neighbours asked for."""
    if max(k) > size:
        raise ValueError(f'k = {max(k)} neighbours were asked for, but the bank holds only {size} images')


def knn_predict(
    query: Tensor,
    bank: Tensor,
    labels: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float | None = 0.07,
    chunk: int = 2048,
) -> Tensor:
    """Classify features by their k nearest neighbours under the cosine. Wu et al. 2018 (InstDisc), Sec. 3.4.

    Args:
        query: Features to classify, (Q, D); normalised here.
        bank: Labelled features, (B, D); normalised here.
        labels: Classes of the bank, (B,) int64 in [0, num_classes).
        num_classes: Number of classes.
        k: Number of neighbours, at most B.
        temperature: τ of the vote's weights exp(cos / τ); None gives every neighbour one vote.
        chunk: At most chunk² similarities exist at once.

    Returns:
        Predicted classes, (Q,) int64.

    Raises:
        ValueError: k is larger than the bank, or an argument is out of range.
    """
    return knn_classes(query, bank, labels, num_classes, [k], temperature, chunk)[0]


def knn_classes(
    query: Tensor,
    bank: Tensor,
    labels: Tensor,
    num_classes: int,
    k: Sequence[int],
    temperature: float | None = 0.07,
    chunk: int = 2048,
) -> Tensor:
    """:func:`knn_predict` for several numbers of neighbours, from one search.

    Args:
        k: Numbers of neighbours, K of them, each at most B.

    Returns:
        Predicted classes, (K, Q) int64.

    Raises:
        ValueError: A k is larger than the bank, or an argument is out of range.
    """
    similarity, neighbours = nearest(query, bank, list(k), temperature, chunk)
    voters = labels[neighbours]
    return torch.stack([knn_vote(similarity[:, :each], voters[:, :each], num_classes, temperature) for each in k])


def nearest(
    query: Tensor, bank: Tensor, k: Sequence[int], temperature: float | None = None, chunk: int = 2048
) -> tuple[Tensor, Tensor]:
    """The max(k) nearest rows of the bank under the cosine.

    Returns:
        Similarities, (Q, max k) float32, nearest first, and positions in the bank, (Q, max k) int64.

    Raises:
        ValueError: A k is larger than the bank, or an argument is out of range.
    """
    check_knn_arguments(k, temperature, chunk)
    check_bank_size(k, bank.shape[0])
    query, bank = F.normalize(query.float(), dim=1), F.normalize(bank.float(), dim=1)
    position = torch.arange(bank.shape[0], device=bank.device)
    keys: Tensor | None = None
    for part, part_position in zip(bank.split(chunk), position.split(chunk)):
        keys = merge_neighbours(keys, query, part, part_position, max(k), chunk)
    assert keys is not None  # the bank holds at least k >= 1 rows
    return neighbours_from_keys(keys)
