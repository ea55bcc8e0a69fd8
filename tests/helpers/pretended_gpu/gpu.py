"""The block in which torch, mmengine and the package believe in the pretended GPU."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mmengine.device.utils
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import lewel_plugins.seeding
from helpers.pretended_gpu.dispatch import PretendedDispatch
from helpers.pretended_gpu.tensor import PretendedTensor
from lewel_plugins.dry_run.counters import Counters
from lewel_plugins.dry_run.dispatch import DeviceError
from lewel_plugins.dry_run.engine import backward
from lewel_plugins.dry_run.fake_gpu import FakeGenerator, check_generator
from lewel_plugins.dry_run.replacing import replaced
from lewel_plugins.dry_run.sources import add_machinery, current_source

_HERE = Path(__file__).parent
add_machinery(str(_HERE), str(_HERE / 'training.py'))


class _Generators(TorchFunctionMode):
    """Checks the device of generators, which all are on the CPU. Operations do not know it any more."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get('generator')
        if generator is not None:
            try:
                check_generator(func, generator, kwargs.get('device') or getattr(args[0], 'device', 'cpu'))
            except DeviceError as error:
                raise DeviceError(f'{error} at {current_source()}') from None
        return func(*args, **kwargs)


class PretendedGPU:
    """A GPU whose tensors are on the CPU.

    Attributes:
        counters: Waits of the host for the device since they were cleared.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self._generator = torch.Generator()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Run the block on the GPU."""
        torch._C._ensureCUDADeviceGuardSet()  # before torch believes in the GPU
        swaps = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter stays the same object, as on a GPU
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device='cuda') copies, and needs no driver
        try:
            with ExitStack() as stack:
                for owner, name, value in self._replacements():
                    stack.enter_context(replaced(owner, name, value))
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # its functions have no CPU form
                stack.enter_context(PretendedDispatch(self.counters, self._generator))
                stack.enter_context(_Generators())
                yield
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swaps)
            torch._C._set_only_lift_cpu_tensors(False)

    def _replacements(self) -> list[tuple[Any, str, Any]]:
        """Return the stand-ins for what needs a driver: owner, name, value."""
        optimizer = importlib.import_module('torch.optim.optimizer')  # torch.optim deletes its name
        functions = dict(
            is_available=lambda: True,
            is_bf16_supported=lambda *_, **__: True,
            device_count=lambda: 1,
            current_device=lambda: 0,
            set_device=lambda *_: None,
            get_device_capability=lambda *_: (9, 0),
            get_device_name=lambda *_: 'pretended',
            get_arch_list=lambda: ['sm_90'],
            max_memory_allocated=lambda *_, **__: 0,
            reset_peak_memory_stats=lambda *_, **__: None,
            manual_seed=self._generator.manual_seed,
            manual_seed_all=self._generator.manual_seed,
            synchronize=lambda *_: None,
            empty_cache=lambda: None,
            _lazy_init=lambda: None,
        )
        return [
            *((torch.cuda, name, function) for name, function in functions.items()),
            (torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False),
            (mmengine.device.utils, 'DEVICE', 'cuda'),
            (torch, 'Generator', FakeGenerator),
            (lewel_plugins.seeding, '_shared_generators', {}),
            (Tensor, 'backward', backward),
            # torch chooses the foreach form of an optimizer by the types of the parameters.
            (optimizer, '_foreach_supported_types', [*optimizer._foreach_supported_types, PretendedTensor]),
        ]
