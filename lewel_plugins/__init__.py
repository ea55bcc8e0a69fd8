"""Self-supervised pretraining for OpenMMLab: LEWEL, SMoG, MPCL and MSBReg."""

from importlib.util import find_spec

from .version import __version__

_missing = [name for name in ('torch', 'mmengine', 'mmcv', 'mmpretrain') if find_spec(name) is None]
if _missing:
    raise ImportError(
        f'lewel_plugins needs {", ".join(_missing)}, which {"is" if len(_missing) == 1 else "are"} not installed. '
        'Run one of these in the clone: '
        '`pip install -e ".[onedl]"` for the maintained OneDL packages, or '
        '`pip install -e ".[openmmlab]"` for the classic OpenMMLab packages.'
    )

__all__ = ['__version__']
