import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins import dist

DTYPES = dict(bfloat16=torch.bfloat16, float32=torch.float32)


class FeatureCache(nn.Module):
    """The unit features of the past iterations, for K-means; each rank keeps its own.

    It keeps features between :meth:`start` and :meth:`stop`. The first batch allocates memory for all iterations; only
    a larger batch allocates again. Each row has its position among the rows of all ranks, in the order in which one
    process would have seen them (samplers deal out images in turn), so that draws from them do not depend on the number
    of ranks.

    The rows are not in the ``state_dict``, because only that of rank 0 is saved; see :meth:`rank_state`.

    Args:
        channels: Channels d of a feature.
        dtype: ``bfloat16`` or ``float32``.
    """

    rows: Tensor
    positions: Tensor

    def __init__(self, channels: int, dtype: str = 'bfloat16') -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f'the cache dtype must be one of {tuple(DTYPES)}, got {dtype!r}')
        self.channels, self.dtype = channels, DTYPES[dtype]
        self.iterations = 0  # to allocate memory for; 0 means that nothing is kept
        self.filled = 0  # number of rows on this rank
        self.total = 0  # number of rows on all ranks
        self.register_buffer('rows', torch.empty(0, channels, dtype=self.dtype), persistent=False)
        self.register_buffer('positions', torch.empty(0, dtype=torch.long), persistent=False)

    def start(self, iterations: int) -> None:
        """Keep features from now on; at most ``iterations`` iterations lie between two calls of :meth:`clear`."""
        self.iterations = iterations

    def stop(self) -> None:
        """Keep no more features until the next :meth:`start`, but keep those that are there."""
        self.iterations = 0

    def clear(self) -> None:
        """Discard all rows, but keep the memory."""
        self.filled = self.total = 0

    @torch.compiler.disable  # it would be recompiled for every position
    @torch.no_grad()
    def add(self, z: Tensor) -> None:
        """Keep the features of an iteration.

        Args:
            z: This rank's features, (N, d); need not be normalized. N is the same on every rank.
        """
        if not self.iterations:
            return
        N = len(z)
        if self.filled + N > len(self.rows):
            self._make_room(max(self.filled + N, N * self.iterations))
        here = slice(self.filled, self.filled + N)
        self.rows[here] = F.normalize(z.detach().float(), dim=1).to(self.dtype)
        W = dist.world_size()
        torch.arange(self.total + dist.rank(), self.total + W * N, W, out=self.positions[here])
        self.filled += N
        self.total += W * N

    def features(self) -> tuple[Tensor, Tensor]:
        """Return the rows (n, d) of this rank, and their positions (n,) among those of all ranks."""
        return self.rows[: self.filled], self.positions[: self.filled]

    def rank_state(self) -> dict[str, Tensor]:
        """Return the state that differs between ranks: rows and positions."""
        rows, positions = self.features()
        return dict(rows=rows, positions=positions)

    def load_rank_state(self, states: list[dict[str, Tensor]]) -> None:
        """Load this rank's part of the saved states, divided anew if the number of ranks has changed.

        All ranks must have the same number of rows. If the rows are no multiple of the number W of ranks, the newest
        ones, at most W − 1, are left out.

        Args:
            states: Results of :meth:`rank_state` on all ranks, in rank order.
        """
        rank, ranks = dist.rank(), dist.world_size()
        total = sum(len(state['rows']) for state in states)
        if len(states) == ranks:
            rows, positions = states[rank]['rows'], states[rank]['positions']
        else:
            rows, positions = (torch.cat([state[name] for state in states]) for name in ('rows', 'positions'))
            total -= total % ranks
            oldest = positions < total
            rows, positions = (x[oldest].tensor_split(ranks)[rank] for x in (rows, positions))
        self.rows = rows.to(self.rows.device, self.dtype, copy=True)
        self.positions = positions.to(self.positions.device, copy=True)
        self.filled, self.total = len(rows), total

    def _make_room(self, capacity: int) -> None:
        for name in ('rows', 'positions'):
            old = getattr(self, name)
            new = old.new_empty(capacity, *old.shape[1:])
            new[: self.filled] = old[: self.filled]
            setattr(self, name, new)

    def _apply(self, fn, recurse: bool = True):  # type: ignore[override]
        super()._apply(fn, recurse)
        self.rows = self.rows.to(self.dtype)  # .half() and .double() are for networks
        return self
