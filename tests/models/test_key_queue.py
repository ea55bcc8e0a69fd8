import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins.models import KeyQueue

pytestmark = pytest.mark.core


def keys(num: int, channels: int = 4, seed: int = 0) -> Tensor:
    return 3 * torch.randn(num, channels, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(('length', 'batch'), [(7, 3), (6, 3), (5, 4), (5, 5), (1, 1), (8, 1)])
def test_holds_the_latest_keys_in_order(length, batch):
    queue = KeyQueue(4, length)
    history = list(queue.keys.T.clone())  # column j is the j-th oldest at first
    slots = list(range(length))
    for step in range(6):
        new = keys(batch, seed=step)
        queue.enqueue(new)
        for row in new:
            history.append(row / row.norm())
            slots.append(len(slots) % length)
        for row, slot in list(zip(history, slots))[-length:]:
            torch.testing.assert_close(queue.keys[:, slot], row)
        assert queue.position.item() == (step + 1) * batch % length


def test_batches_of_changing_size():
    queue, rows = KeyQueue(4, 10), []
    for step, batch in enumerate((3, 10, 1, 4, 9)):
        rows += list(keys(batch, seed=step))
        queue.enqueue(keys(batch, seed=step))
    newest = torch.stack(rows[-10:])
    order = (queue.position + torch.arange(10)) % 10  # oldest first
    torch.testing.assert_close(queue.keys[:, order].T, F.normalize(newest, dim=1))


def test_starts_with_the_same_unit_keys_everywhere():
    torch.manual_seed(1)
    first = KeyQueue(4, 9)
    torch.manual_seed(2)
    second = KeyQueue(4, 9)
    assert torch.equal(first.keys, second.keys)
    torch.testing.assert_close(first.keys.norm(dim=0), torch.ones(9))
    assert first.keys.unique().numel() == 36


def test_keys_are_stored_without_a_gradient_and_in_the_queues_type():
    queue, k = KeyQueue(4, 6), keys(2).requires_grad_()
    queue.enqueue(k)
    assert not queue.keys.requires_grad
    queue.enqueue(keys(2).bfloat16())
    assert queue.keys.dtype == torch.float32
    torch.testing.assert_close(queue.keys[:, 2:4].norm(dim=0), torch.ones(2))  # normalized after the cast to float32


def test_state_dict_round_trip():
    queue, other = KeyQueue(4, 6), KeyQueue(4, 6)
    queue.enqueue(keys(4))
    other.load_state_dict(queue.state_dict())
    for q in (queue, other):
        q.enqueue(keys(4, seed=1))
    assert torch.equal(queue.keys, other.keys)
    assert queue.position.item() == other.position.item() == 2
    assert queue.state_dict().keys() == {'keys', 'position'}


def test_many_queues_are_as_many_single_ones():
    many, single = KeyQueue(4, 7, num_queues=3), [KeyQueue(4, 7) for _ in range(3)]
    assert many.keys.shape == (3, 4, 7)
    torch.testing.assert_close(many.keys.norm(dim=1), torch.ones(3, 7))
    assert many.keys.unique().numel() == 3 * 4 * 7
    for m, queue in enumerate(single):
        queue.keys.copy_(many.keys[m])
    for step in range(4):  # wraps
        new = torch.stack([keys(3, seed=10 * step + m) for m in range(3)])
        many.enqueue(new)
        for m, queue in enumerate(single):
            queue.enqueue(new[m])
        assert all(torch.equal(many.keys[m], queue.keys) for m, queue in enumerate(single))
        assert many.position == single[0].position
    with pytest.raises(ValueError, match=r'3 queues hold keys of 4 channels, got \(2, 5, 4\)'):
        many.enqueue(torch.ones(2, 5, 4))


def test_errors_name_the_numbers():
    with pytest.raises(ValueError, match='length 5 .* 6 keys'):
        KeyQueue(4, 5).enqueue(keys(6))
    with pytest.raises(ValueError, match=r'4 channels.*\(2, 3\)'):
        KeyQueue(4, 5).enqueue(keys(2, channels=3))
    with pytest.raises(ValueError, match='length must be at least 1, got 0'):
        KeyQueue(4, 0)
    with pytest.raises(ValueError, match='channels must be at least 1, got -1'):
        KeyQueue(-1, 4)
