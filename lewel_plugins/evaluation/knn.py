"""k-nearest-neighbor search and vote, in bounded memory: by the cosine on unit features, or by the Euclidean distance.

The search maximizes a dot product. For the Euclidean distance, :func:`euclidean_rows` returns rows whose dot products
order a bank as the distances do.

A neighbor is one int64 key. Its upper half holds the bits of the cosine similarity, made order-preserving, and its
lower half the inverted bank position. Keys are unique, so the k largest are well defined whatever the chunks or the
number of ranks: of equal similarities, the one with the lower bank position wins.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_LOW_32 = 0xFFFFFFFF


def _to_keys(similarity: Tensor, position: Tensor) -> Tensor:
    # + 0 turns −0 into 0. As integers, negative floats are in reverse order: flip all bits but the sign.
    bits = (similarity.float() + 0).view(torch.int32)
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return bits.long().bitwise_left_shift_(32).bitwise_or_(_LOW_32 - position)


def neighbors_from_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine similarity (float32) and the bank position (int64) of each key, in the shape of the keys."""
    bits = keys.bitwise_right_shift(32).int()
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return bits.view(torch.float32), _LOW_32 - (keys & _LOW_32)


def merge_neighbors(keys: Tensor | None, query: Tensor, bank: Tensor, position: Tensor, k: int, chunk: int) -> Tensor:
    """Merge one part of the bank into the k nearest neighbors so far.

    Args:
        keys: Result for the previous parts, (Q, ≤ k); None for the first part.
        query: Unit features, (Q, D).
        bank: Unit features of this part, (B, D).
        position: Positions of its rows in the whole bank, (B,) int64 in [0, 2^32), unique over all parts.
        k: Number of neighbors.
        chunk: Number of queries at a time, so that at most chunk · B similarities exist at once.

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


def euclidean_rows(x: Tensor, is_query: bool) -> Tensor:
    """Return rows with one more column, whose dot products order the bank by the Euclidean distance.

    [q, 1] · [b, −‖b‖²/2] = (‖q‖² − ‖q − b‖²)/2, and ‖q‖² is the same for the whole bank.

    Args:
        x: Features of queries or of the bank, (N, D).
        is_query: Whether they are those of queries.

    Returns:
        (N, D + 1) float32.
    """
    x = x.float()
    last = x.new_ones(len(x), 1) if is_query else -x.square().sum(1, keepdim=True) / 2
    return torch.cat([x, last], dim=1)


def knn_vote(similarity: Tensor, labels: Tensor, num_classes: int, temperature: float | None) -> Tensor:
    """Return the class with the most votes among the neighbors. Wu et al. 2018 (InstDisc), Sec. 3.4.

    A neighbor votes for its class with weight exp(similarity / τ), or 1 without a temperature. Of classes with equal
    votes, the lowest number wins.

    Args:
        similarity: Cosine similarity of each neighbor, (Q, k).
        labels: Class of each neighbor, (Q, k) int64.
        num_classes: Number of classes.
        temperature: τ, or None.

    Returns:
        Predicted classes, (Q,) int64.
    """
    if temperature is None:
        weights = torch.ones_like(similarity)
    else:
        # Relative to the nearest neighbor: the winner is the same, and a small τ causes no overflow.
        weights = ((similarity - similarity.amax(1, keepdim=True)) / temperature).exp()
    return weights.new_zeros(len(labels), num_classes).scatter_add_(1, labels, weights).argmax(1)


def check_knn_arguments(k: Sequence[int], temperature: float | None, chunk: int) -> None:
    """Raise a ValueError that names the first argument out of range."""
    if not k or any(not isinstance(each, int) or each < 1 for each in k):
        raise ValueError(f'k must be positive integers, got {list(k)}')
    if temperature is not None and not temperature > 0:
        raise ValueError(f'temperature must be positive, or None for an unweighted vote, got {temperature}')
    if chunk < 1:
        raise ValueError(f'chunk must be at least 1, got {chunk}')


def check_bank_size(k: Sequence[int], size: int) -> None:
    """Raise a ValueError if the bank holds fewer images than neighbors to search for."""
    if max(k) > size:
        raise ValueError(f'k = {max(k)} neighbors do not exist: the bank holds only {size} images')


def knn_classes(
    query: Tensor,
    bank: Tensor,
    labels: Tensor,
    num_classes: int,
    k: Sequence[int],
    temperature: float | None = 0.07,
    chunk: int = 2048,
) -> Tensor:
    """Classify features by their k nearest neighbors under the cosine, for several k from one search.

    Wu et al. 2018 (InstDisc), Sec. 3.4.

    Args:
        query: Features to classify, (Q, D); normalized here.
        bank: Labeled features, (B, D); normalized here.
        labels: Classes of the bank, (B,) int64 in [0, num_classes).
        num_classes: Number of classes.
        k: Numbers of neighbors, K of them, each at most B.
        temperature: τ of the vote's weights exp(cos / τ); None gives every neighbor one vote.
        chunk: At most chunk² similarities exist at once.

    Returns:
        Predicted classes, (K, Q) int64.

    Raises:
        ValueError: A k is larger than the bank, or an argument is out of range.
    """
    similarity, neighbors = nearest(query, bank, list(k), temperature, chunk)
    voters = labels[neighbors]
    return torch.stack([knn_vote(similarity[:, :each], voters[:, :each], num_classes, temperature) for each in k])


def nearest(
    query: Tensor, bank: Tensor, k: Sequence[int], temperature: float | None = None, chunk: int = 2048
) -> tuple[Tensor, Tensor]:
    """Return the max(k) nearest rows of the bank under the cosine.

    Args:
        query: Features, (Q, D); normalized here.
        bank: Features, (B, D); normalized here.
        k: Numbers of neighbors, each at most B.
        temperature: Temperature of the vote that follows; only checked.
        chunk: At most chunk² similarities exist at once.

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
        keys = merge_neighbors(keys, query, part, part_position, max(k), chunk)
    assert keys is not None  # the bank holds at least k >= 1 rows
    return neighbors_from_keys(keys)
