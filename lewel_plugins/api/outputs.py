"""Files that a user names to write to: none of them may be what a run consists of."""

import os
from collections.abc import Callable
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.tree import is_run
from lewel_plugins.planning.findings import show
from lewel_plugins.running.work_dir import holds_training, is_checkpoint

_LEVELS = 3  # as of RUN/20260101_120000/vis_data/scalars.json
_START = 'start'  # folder of the weights that a run starts from


def check_output(option: str, path: Path, is_replaceable: Callable[[Path], bool]) -> None:
    """Refuse to replace a file of a run, which it would go on from, or be reported from.

    Args:
        option: The option that names the file.
        path: The file, which need not exist.
        is_replaceable: Whether the same command writes files such as this one, which it may write anew.

    Raises:
        SetupError: The file exists in the folder of a run, and the command does not write files such as this one.
    """
    file = Path(os.path.realpath(path))
    if not file.is_file():
        return
    run = next((folder for folder in file.parents[:_LEVELS] if is_run(folder) or holds_training(folder)), None)
    if run is None:
        return
    is_part = is_checkpoint(file) or _START in file.relative_to(run).parts[:-1]
    if is_part or not is_replaceable(file):
        raise SetupError(f'{show(path)} is a file of the run in {show(run)}; choose another {option}')
