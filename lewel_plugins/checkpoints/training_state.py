"""Read all that a run needs to be resumed from a checkpoint, without running code of the file."""

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

from lewel_plugins.errors import SetupError

from .unpickling import Placeholder, TensorUnpickler

# Types of data that mmengine and torch keep in a checkpoint besides tensors. None of them runs anything when it is
# unpickled.
_BUILTINS = ('bytearray', 'complex', 'dict', 'float', 'frozenset', 'int', 'list', 'range', 'set', 'slice')
_ALLOWED = {
    ('_codecs', 'encode'),  # bytes, in pickles of protocol 2
    ('collections', 'Counter'),  # milestones of mmengine's MultiStepLR
    ('collections', 'defaultdict'),
    ('collections', 'deque'),
    ('mmengine.logging.history_buffer', 'HistoryBuffer'),
    ('mmengine.optim.scheduler.param_scheduler', 'OneCycleParamScheduler'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    *((f'numpy.{core}.multiarray', name) for core in ('core', '_core') for name in ('_reconstruct', 'scalar')),
    *((module, name) for module in ('builtins', '__builtin__') for name in _BUILTINS),
}


_GETATTR = (('builtins', 'getattr'), ('__builtin__', 'getattr'))
_METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


class UnusableCheckpoint(SetupError):
    """A checkpoint that no run can be resumed from; another one of the same run may do."""


class DamagedCheckpoint(UnusableCheckpoint):
    """A checkpoint that is cut off, has other bytes than were written, or is none."""


def _compare_checksums(path: str | Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if name := archive.testzip():
                raise ValueError(f'the checksum of {name} is wrong')


class _Refused(Exception):
    """The file names a type that is not allowed."""


def _method(owner: Any, name: str) -> Any:
    """Return a method, in place of ``getattr``, by which every pickled buffer names four of them, for example."""
    if not isinstance(owner, type) or name not in _METHODS.get(owner, ()):
        raise _Refused('getattr')
    return getattr(owner, name)


class TrainingStateUnpickler(TensorUnpickler):
    """Unpickles tensors, logged values, NumPy's arrays and scalars, and containers; refuses any other object."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class or function."""
        if (module, name) in _GETATTR:
            return _method
        if (module, name) in _ALLOWED:
            return pickle.Unpickler.find_class(self, module, name)
        known = super().find_class(module, name)
        if known is Placeholder:
            raise _Refused(f'{module}.{name}')
        return known


_TRAINING_STATE = SimpleNamespace(
    __name__='training_state',
    Unpickler=TrainingStateUnpickler,
    load=lambda file, **options: TrainingStateUnpickler(file, **options).load(),
)


def read_training_state(path: str | Path, trust: bool = False) -> dict[str, Any]:
    """Read a checkpoint on the CPU with all that mmengine resumes from.

    The result can be written again, unlike that of :func:`read_tensors`, which replaces objects other than tensors.
    Checksums in the file are compared, which torch does not do.

    Args:
        path: The file.
        trust: Unpickle objects of any type, which can run code of the file.

    Raises:
        SetupError: The file holds an object of another type.
        UnusableCheckpoint: The file is missing, or is not a checkpoint with a ``state_dict``.
        DamagedCheckpoint: The file cannot be read, or a checksum is wrong.
    """
    if not Path(path).is_file():
        raise UnusableCheckpoint(f'checkpoint {str(path)!r} does not exist')
    module = pickle if trust else _TRAINING_STATE
    try:
        _compare_checksums(path)
        checkpoint = torch.load(str(path), map_location='cpu', weights_only=False, pickle_module=module)
    except _Refused as error:
        raise SetupError(
            f'{path} holds an object of the type {error}, which no training of this package writes. It was not '
            'unpickled, because that could run code. If you trust whoever wrote the file, add --trust'
        ) from None
    except Exception as error:  # zipfile, pickle and torch each have their own errors for a damaged file
        raise DamagedCheckpoint(f'{path} cannot be read, it is damaged or not a checkpoint: {error}') from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict'), dict):
        raise UnusableCheckpoint(f'{path} is not a checkpoint of a training: it has no state_dict')
    return checkpoint
