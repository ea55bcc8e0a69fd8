import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins import dist


class KeyQueue(nn.Module):
    """First-in-first-out queue of unit keys, the same on every rank. He et al. 2020 (MoCo), Sec. 3.2.

    Keys and position are buffers, so that they are in the checkpoint. The queue starts from random unit vectors
    of a fixed generator: mmengine's DDP does not broadcast buffers, so ranks could not agree otherwise.

    Args:
        channels: Channels d of a key.
        length: Number of keys Q.
    """

    keys: Tensor
    position: Tensor

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        for name, value in (('channels', channels), ('length', length)):
            if value < 1:
                raise ValueError(f'queue {name} must be at least 1, got {value}')
        keys = torch.randn(channels, length, generator=torch.Generator().manual_seed(0))
        self.register_buffer('keys', F.normalize(keys, dim=0))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, k: Tensor) -> None:
        """Replace the oldest keys by those of all ranks.

        Args:
            k: New keys of this rank, (N, d); need not be normalised. WN may be any number up to Q.

        Raises:
            ValueError: More keys than the queue holds, or another number of channels.
        """
        channels, length = self.keys.shape
        if k.shape[1] != channels:
            raise ValueError(f'the queue holds keys of {channels} channels, got {tuple(k.shape)}')
        k = dist.all_gather(F.normalize(k.detach().to(self.keys.dtype), dim=1))
        if len(k) > length:
            raise ValueError(f'a queue of length {length} cannot take {len(k)} keys at once (batch over all ranks)')
        columns = (self.position + torch.arange(len(k), device=k.device)) % length
        self.keys.index_copy_(1, columns, k.T)
        self.position.add_(len(k)).remainder_(length)
