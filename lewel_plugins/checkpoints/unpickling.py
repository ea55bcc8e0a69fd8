"""An unpickler that runs no code of the file."""

import functools
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


def confine_torch_load() -> None:
    """Make ``torch.load`` run no code of files from here on, wherever this process calls it.

    ``init_cfg=dict(type='Pretrained', …)`` of any module, addresses such as ``https://…`` and ``torchvision://…``, and
    models of other libraries end in ``torch.load``. If torch refuses a file, mmengine requests all of its objects. Each
    call that sets neither ``weights_only`` nor a ``pickle_module`` reads as :func:`read_tensors` does: objects other
    than tensors, numbers, text and containers become placeholders. Entry points of commands call this function.
    """
    if getattr(torch.load, 'is_confined', False):
        return
    original = torch.load

    @functools.wraps(original)
    def load(f: Any, map_location: Any = None, pickle_module: Any = None, **options: Any) -> Any:
        if pickle_module is None and not options.get('weights_only'):
            options['weights_only'] = False
            pickle_module = TENSORS_ONLY
        return original(f, map_location, pickle_module, **options)

    load.is_confined = True  # type: ignore[attr-defined]
    torch.load = torch.serialization.load = load
