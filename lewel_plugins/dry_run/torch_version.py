"""Whether this torch has what a dry run needs; imports none of it."""

import torch

from lewel_plugins.errors import SetupError

_OLDEST = (2, 9)


def check_torch(version: str = torch.__version__) -> None:
    """Raise SetupError if torch is too old for a dry run.

    Args:
        version: Version of torch.
    """
    if tuple(int(part) for part in version.split('+')[0].split('.')[:2]) < _OLDEST:
        raise SetupError(
            f'a dry run needs torch {_OLDEST[0]}.{_OLDEST[1]} or newer, such as 2.11 of the OneDL line, and this is '
            f'torch {version}: see docs/install.md'
        )
