"""A GPU of which a step sees everything but numbers: tensors have shape, dtype and device, and no memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import mmengine.device
import mmengine.optim.optimizer.amp_optimizer_wrapper as amp_wrapper
import mmengine.runner.amp as mmengine_amp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode

import lewel_plugins.seeding

from .collectives import fake_ranks
from .counters import Counters
from .dispatch import DeviceError, GPUDispatch, is_gpu
from .memory import LiveMemory
from .replacing import replaced

_DEVICE = torch.device('cuda', 0)
# What nn.init draws is not needed, and takes most of the time of building a network.
_INITIALIZERS = (
    'kaiming_uniform_',
    'kaiming_normal_',
    'xavier_uniform_',
    'xavier_normal_',
    'uniform_',
    'normal_',
    'trunc_normal_',
    'orthogonal_',
)


class FakeGPU:
    """The modes under which a step runs on a fake GPU, as one of several ranks.

    Args:
        world_size: Number of ranks.
        replacements: Stand-ins for functions of other packages: owner, name, value.
        truth: What the host reads from a boolean tensor.

    Attributes:
        counters: Counts of the operations since they were cleared.
        memory: Bytes that are alive on the GPU.
    """

    def __init__(self, world_size: int, replacements: Sequence[tuple[Any, str, Any]] = (), truth: bool = False) -> None:
        self.world_size, self._more, self._truth = world_size, replacements, truth
        self.counters, self.memory = Counters(), LiveMemory()
        self._fake_tensors = FakeTensorMode(allow_non_fake_inputs=True)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Run the block on the GPU."""
        with ExitStack() as stack:
            for owner, name, value in [*_replacements(), *self._more]:
                stack.enter_context(replaced(owner, name, value))
            stack.enter_context(fake_ranks(self.counters, self.world_size))
            stack.enter_context(self._fake_tensors)
            stack.enter_context(self.memory)
            stack.enter_context(GPUDispatch(self.counters, self._truth))
            stack.enter_context(_GPUFunctions())
            yield


def _replacements() -> list[tuple[Any, str, Any]]:
    """Return the stand-ins for functions of torch and mmengine that need a driver: owner, name, value."""
    return [
        (torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False),
        (torch.cuda, 'is_bf16_supported', lambda *_, **__: True),
        (mmengine_amp, 'get_device', lambda: 'cuda'),
        (mmengine.device, 'get_device', lambda: 'cuda'),
        (amp_wrapper, 'is_cuda_available', lambda: True),
        (torch._C, '_conv_determine_backend_memory_format', _convolution_format),
        (torch, 'Generator', FakeGenerator),
        (lewel_plugins.seeding, '_shared_generators', {}),
    ]


def _convolution_format(x: Tensor, weight: Tensor, _: Any) -> torch.memory_format:
    """Return the memory format of a convolution's result on a GPU.

    Without a GPU torch assumes that cuDNN cannot compute in bfloat16, and returns the contiguous format.
    """
    return torch.channels_last if _is_channels_last(x) or _is_channels_last(weight) else torch.contiguous_format


def _is_channels_last(x: Tensor) -> bool:
    is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return is_last and not (x.is_contiguous() and x.shape[1] == 1)


class FakeGenerator(torch.Generator):
    """A generator of any device. Its draws on a GPU are fake."""

    target: torch.device

    def __new__(cls, device: str | torch.device = 'cpu') -> 'FakeGenerator':
        self = super().__new__(cls, 'cpu')  # type: ignore[call-arg]
        self.target = torch.device(device)
        return self


class _GPUFunctions(TorchFunctionMode):
    """Functions that need a driver: flash attention, which torch chooses on a GPU for 16 bits, and generators."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        generator = kwargs.get('generator')
        if generator is not None:
            check_generator(func, generator, kwargs.get('device') or getattr(args[0], 'device', 'cpu'))
            kwargs['generator'] = None if is_gpu(_device_of(generator)) else generator
        return func(*args, **kwargs)


def _device_of(generator: torch.Generator) -> torch.device:
    return getattr(generator, 'target', generator.device)


def check_generator(func: Any, generator: torch.Generator, device: Any) -> None:
    """Raise DeviceError if a function on one device draws from a generator of the other.

    Args:
        func: The function.
        generator: The generator.
        device: Device of the result.
    """
    if is_gpu(device) != is_gpu(_device_of(generator)):
        here, there = (str(torch.device(x).type).upper() for x in (device, _device_of(generator)))
        raise DeviceError(f'{func.__name__} on {here} with a generator of {there}')


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **_: Any,
) -> Tensor:
    if torch.is_autocast_enabled('cuda'):
        q, k, v = (x.to(torch.get_autocast_dtype('cuda')) for x in (q, k, v))
    if attn_mask is None and q.dtype != torch.float32:
        return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, dropout_p, is_causal)[0]
    return torch.ops.aten._scaled_dot_product_attention_math(q, k, v, attn_mask, dropout_p, is_causal)[0]


@contextmanager
def without_initialization() -> Iterator[None]:
    """Leave the weights of networks that are built in the block as they are allocated."""
    with ExitStack() as stack:
        for name in _INITIALIZERS:
            stack.enter_context(replaced(nn.init, name, lambda tensor, *_, **__: tensor))
        yield


def move_to_gpu(model: nn.Module, device: torch.device = _DEVICE) -> None:
    """Replace the parameters and buffers of a model by fake ones on the GPU, in a block of ``FakeGPU.active``.

    ``Module.to`` cannot replace a parameter by a fake one.

    Args:
        model: The model.
        device: The GPU.
    """
    moved: dict[int, tuple[Tensor, Tensor]] = {}  # by id, with the original, whose id would otherwise be used again

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in moved:
            copy: Tensor = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            if isinstance(tensor, nn.Parameter):
                copy = nn.Parameter(copy, requires_grad=tensor.requires_grad)
            moved[id(tensor)] = copy, tensor
        return moved[id(tensor)][0]

    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = fake(tensor)  # type: ignore[assignment]
        if hasattr(module, '_device'):  # mmengine's data preprocessors
            module._device = device  # type: ignore[assignment]
