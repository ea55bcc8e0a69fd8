"""Where the weights of a run are."""

import os
from pathlib import Path

from lewel_plugins.errors import SetupError

from .findings import show
from .listing import did_you_mean

EXPORTED = 'backbone.safetensors'


def weights_file(name: str) -> str:
    """Return the file that holds the weights of a RUN, or the file itself.

    Args:
        name: Folder of a run, whose backbone counts unless a later checkpoint has been written; or a file, or an
            address, or ``torchvision:ARCH.WEIGHTS``.

    Raises:
        SetupError: There is no such file, or no run in the folder.
    """
    if '://' in name or name.startswith('torchvision:'):
        return name
    if not os.path.exists(name):
        raise SetupError(f'{show(name)} does not exist{did_you_mean(name)}')
    if not os.path.isdir(name):
        return name
    from lewel_plugins.running.work_dir import find_last_checkpoint

    files = [path for path in (find_last_checkpoint(name), Path(name, EXPORTED)) if path is not None and path.is_file()]
    if not files:
        raise SetupError(
            f'{show(name)} holds no trained network: it has neither {EXPORTED} nor a checkpoint; name a '
            'file, or the folder of a run'
        )
    return str(max(reversed(files), key=lambda path: path.stat().st_mtime))
