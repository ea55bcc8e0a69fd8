"""An unpickler that runs no code of the file."""

import pickle
from types import SimpleNamespace
from typing import Any

import torch

_ALLOWED = {
    ('collections', 'OrderedDict'),
    ('torch', 'Size'),
    ('torch._utils', '_rebuild_parameter'),
    ('torch._utils', '_rebuild_tensor'),
    ('torch._utils', '_rebuild_tensor_v2'),
}


class Placeholder:
    """Stands in for an object of a class that is not allowed: it accepts everything and does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> 'Placeholder':
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


class TensorUnpickler(pickle.Unpickler):
    """Unpickles tensors, numbers, text and their containers; any other object becomes an inert placeholder."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class or function, or the placeholder."""
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return super().find_class(module, name)
        return Placeholder


# The parts of a pickle module that torch.load uses.
TENSORS_ONLY = SimpleNamespace(
    __name__='tensors_only',
    Unpickler=TensorUnpickler,
    load=lambda file, **options: TensorUnpickler(file, **options).load(),
)
