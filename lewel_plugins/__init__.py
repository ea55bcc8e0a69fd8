"""Self-supervised pretraining for OpenMMLab: LEWEL, SMoG, MPCL and MSBReg."""

from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from .version import __version__

_missing = [name for name in ('torch', 'mmengine', 'mmcv', 'mmpretrain') if find_spec(name) is None]
if _missing:
    raise ImportError(
        f'lewel_plugins needs {", ".join(_missing)}, which {"is" if len(_missing) == 1 else "are"} not installed. '
        'Run one of these in the clone: '
        '`pip install -e ".[onedl]"` for the maintained OneDL packages, or '
        '`pip install -e ".[openmmlab]"` for the classic OpenMMLab packages.'
    )


def _disable_multimodal_models() -> None:
    """Make mmpretrain believe that transformers is not installed, if it is version 5 or newer.

    mmpretrain's multimodal models need names that transformers 5 has removed, and all of ``mmpretrain.models`` would
    fail at import. Without transformers mmpretrain replaces these models with placeholders.
    """
    try:
        major = int(metadata.version('transformers').split('.')[0])
    except metadata.PackageNotFoundError:
        return
    if major >= 5:
        from mmpretrain.utils import dependency

        dependency.WITH_MULTIMODAL = False


_disable_multimodal_models()

# Public functions and the modules that they are in.
_FUNCTIONS = {
    'check': 'api.check',
    'export': 'api.export',
    'finetune': 'api.finetune',
    'list_pretrained': 'checkpoints',
    'load_pretrained': 'checkpoints',
    'pretrain': 'api.pretrain',
    'report': 'api.report',
    'worth': 'api.worth',
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used, because most need torch and mmengine."""
    if name in _FUNCTIONS:
        return getattr(import_module(f'.{_FUNCTIONS[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})


__all__ = ['__version__', *_FUNCTIONS]
