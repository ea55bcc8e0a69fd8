from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins import dist


class KeyQueue(nn.Module):
    """First-in-first-out queue of unit keys, the same on every rank. He et al. 2020 (MoCo), Sec. 3.2.

    Keys and position are buffers, so that they are in the checkpoint. The queue starts from random unit vectors of a
    fixed generator, because mmengine's DDP does not broadcast buffers and ranks would differ otherwise.

    Keys are enqueued in every forward pass in training. With gradient accumulation over A iterations, the queue thus
    moves A times per optimizer step, by the batch of one iteration each, and the keys of these A batches come from the
    same teacher. A later iteration of a step contrasts its queries with keys of the earlier ones, so a step of A
    batches is not the step of one batch of A times the size.

    Args:
        channels: Channels d of a key.
        length: Number of keys Q.
        num_queues: M for one queue per projector; None for a single one.
    """

    keys: Tensor
    position: Tensor

    def __init__(self, channels: int, length: int, num_queues: int | None = None) -> None:
        super().__init__()
        for name, value in (('channels', channels), ('length', length)):
            if value < 1:
                raise ValueError(f'queue {name} must be at least 1, got {value}')
        shape = (channels, length) if num_queues is None else (num_queues, channels, length)
        keys = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        self.register_buffer('keys', F.normalize(keys, dim=-2))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))

    def enqueue(self, k: Tensor) -> None:
        """Replace the oldest keys with the new ones of all ranks.

        Args:
            k: New keys of this rank, (N, d), or (M, N, d) for M queues; need not be normalized. WN may be any number
                up to Q.

        Raises:
            ValueError: There are more keys than the queue holds, or the number of queues or channels differs.
        """
        self.start_enqueue(k)()

    def start_enqueue(self, k: Tensor) -> Callable[[], None]:
        """Start the exchange of :meth:`enqueue`; the queue changes when the returned function is called."""
        *queues, channels, length = self.keys.shape
        if (*k.shape[:-2], k.shape[-1]) != (*queues, channels):
            subject = f'{queues[0]} queues hold' if queues else 'the queue holds'
            raise ValueError(f'{subject} keys of {channels} channels, got {tuple(k.shape)}')
        count = dist.world_size() * k.shape[-2]
        if count > length:
            raise ValueError(f'a queue of length {length} cannot take {count} keys at once (batch over all ranks)')
        k = F.normalize(k.detach().to(self.keys.dtype), dim=-1).movedim(-2, 0)  # (N, …, d)
        gathered = dist.start_gather(k)

        def finish() -> None:
            columns = (self.position + torch.arange(count, device=k.device)) % length
            self.keys.index_copy_(-1, columns, gathered().movedim(0, -1))
            self.position.add_(count).remainder_(length)

        return finish
