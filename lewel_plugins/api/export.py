"""``lewel export``: the backbone of a run for another library."""

import os
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.arguments import optional_path, path_text
from lewel_plugins.planning.findings import show
from lewel_plugins.planning.weights import EXPORTED, weights_file

from .outputs import check_output
from .training import Say

LIBRARIES = ('torchvision', 'timm', 'mmdet', 'detectron2', 'safetensors', 'onnx')
_FOLDER = 'exports'  # beside the checkpoints, a file of torch would be taken for one
_ENDINGS = ('.pth', '.pt', '.safetensors', '.onnx')  # names of exports end so


def export(run: str | os.PathLike, to: str, out: str | os.PathLike | None = None, say: Say = print) -> Path:
    """Write the backbone of a run for another library, and compare the features of both networks.

    Args:
        run: Folder of a run, or a checkpoint.
        to: ``torchvision``, ``timm``, ``mmdet``, ``detectron2``, ``safetensors`` or ``onnx``.
        out: File to write; by default in the run's folder. An address has none.
        say: Receives each line that the command prints.

    Returns:
        The file.

    Raises:
        SetupError: There is no such run or format, the library has no equivalent of the backbone, or the features
            differ, or ``out`` is a file of a run, but no earlier export, or is missing for an address; nothing has been
            written then.
    """
    if to not in LIBRARIES:
        raise SetupError(f'unknown library {to!r}; the libraries are {", ".join(LIBRARIES)}')
    name, out = path_text('RUN', run), optional_path('--out', out)
    if out is None and '://' in name:
        raise SetupError(f'{show(name)} is an address, which has no folder to write to; give the file by --out')
    file = weights_file(name)
    target = Path(out) if out is not None else default_file(Path(name), to)
    if to == 'safetensors' and _is_same_file(target, file):
        say(f'already there: {target}')
        return target
    check_target(target, file)
    from lewel_plugins.checkpoints.export import export_backbone

    try:
        exported = export_backbone(file, to, target)
    except OSError as error:
        raise SetupError(f'cannot write to {show(target)}: {(error.strerror or str(error)).lower()}') from None
    for line in exported.lines():
        say(line)
    return target


def check_target(target: Path, weights: str) -> None:
    """Refuse to export to a folder, or over what is no earlier export.

    Args:
        target: The file to write, which need not exist.
        weights: The file, or address, of the weights to export.

    Raises:
        SetupError: It is a folder, holds the weights to export, or is a file of a run.
    """
    if target.is_dir():
        raise SetupError(f'{show(target)} is a folder; --out takes a file')
    if _is_same_file(target, weights):
        raise SetupError(f'{show(target)} holds the weights to export; choose another --out')
    check_output('--out', target, lambda path: path.suffix in _ENDINGS)


def _is_same_file(target: Path, weights: str) -> bool:
    return target.is_file() and os.path.exists(weights) and target.samefile(weights)


def default_file(run: Path, to: str) -> Path:
    """Return the file that an export is written to by default."""
    folder = run if run.is_dir() else run.parent
    names = {'safetensors': EXPORTED, 'onnx': 'backbone.onnx'}
    return folder / names.get(to, f'{_FOLDER}/backbone_{to}.pth')
