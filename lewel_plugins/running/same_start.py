"""Ranks go on from the same checkpoint, or not at all."""

from pathlib import Path

from mmengine.config import Config
from mmengine.dist import all_gather_object

from lewel_plugins.checkpoints import read_tensors
from lewel_plugins.errors import SetupError

from .jobs import digest

_IDENTITY = ('epoch', 'iter', 'seed', 'time', 'experiment_name')  # in the meta of a checkpoint


def check_same_start(cfg: Config) -> None:
    """Refuse to train if the ranks have found different checkpoints to resume from, as on hosts without a shared disk.

    All ranks must call this, after the process group is up and before any other communication: which one follows
    depends on the checkpoint.

    Args:
        cfg: The config, after :func:`set_resume`.

    Raises:
        SetupError: They have. Names the ranks and what each has found.
    """
    starts = all_gather_object(_start(cfg))
    ranks: dict[tuple[str, str], list[int]] = {}
    for rank, start in enumerate(starts):
        ranks.setdefault(start, []).append(rank)
    if len(ranks) > 1:
        names = [name for name, _ in ranks]
        texts = [
            f'{_numbers(numbers)} {name}{f" ({identity[:8]})" if names.count(name) > 1 else ""}'
            for (name, identity), numbers in ranks.items()
        ]
        raise SetupError(
            f'the ranks would not go on from the same checkpoint: {"; ".join(texts)}; give all hosts the same files, '
            'or a --work-dir on a disk that they share'
        )


def _start(cfg: Config) -> tuple[str, str]:
    """Return what a rank starts from, as a text, and what tells it from other files of the same name."""
    if not cfg.get('resume') or not cfg.get('load_from'):
        return 'found no checkpoint', ''
    path = Path(cfg.load_from)
    meta = read_tensors(path).get('meta') or {}
    values = [meta.get(name) for name in _IDENTITY]
    name = f'found {path.name} of epoch {values[0]}, iteration {values[1]}'
    return name, digest(*[value if isinstance(value, (int, str)) else None for value in values])


def _numbers(ranks: list[int]) -> str:
    """Return ranks as a text, as in ``rank 0`` or ``ranks 1 to 3``."""
    if len(ranks) == 1:
        return f'rank {ranks[0]}'
    if ranks == list(range(ranks[0], ranks[-1] + 1)):
        return f'ranks {ranks[0]} to {ranks[-1]}'
    return f'ranks {", ".join(map(str, ranks))}'
