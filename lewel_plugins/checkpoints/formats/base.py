from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .name_map import NameMap

State = dict[str, Tensor]


def _same(state: State) -> State:
    return state


@dataclass(frozen=True)
class Format:
    """A family of backbones as another library has it.

    Args:
        require: Raises :class:`SetupError` for a backbone of ours that the library has no equivalent of.
        build: Their network, with random weights, for a backbone of ours.
        features: Their network's features on images (N, 3, H, W), in the shape of ``reference``'s.
        reference: Our backbone's features.
        names: Names of the tensors.
        to_theirs: Changes tensors whose order differs, under our names, before they are renamed.
        to_ours: The inverse.
        theirs_only: Ends of the names of tensors of their network that hold no backbone weights: the classifier,
            tables that follow from the architecture.
        ours_only: The same for ours.
        prefix: Of the names in a file for that library.
    """

    require: Callable[[nn.Module], None]
    build: Callable[[nn.Module], nn.Module]
    features: Callable[[nn.Module, Tensor], Tensor]
    reference: Callable[[nn.Module, Tensor], Tensor]
    names: NameMap = field(default_factory=lambda: NameMap(()))
    to_theirs: Callable[[State], State] = _same
    to_ours: Callable[[State], State] = _same
    theirs_only: tuple[str, ...] = ()
    ours_only: tuple[str, ...] = ()
    prefix: str = ''

    def export_state(self, state: State) -> State:
        """Our backbone's tensors as theirs."""
        kept = {name: tensor for name, tensor in state.items() if not name.endswith(self.ours_only or ('\0',))}
        return {self.names.forward(name): tensor for name, tensor in self.to_theirs(kept).items()}

    def import_state(self, state: State) -> State:
        """Their tensors as our backbone's."""
        kept = {name: tensor for name, tensor in state.items() if not name.endswith(self.theirs_only or ('\0',))}
        return self.to_ours({self.names.backward(name): tensor for name, tensor in kept.items()})

    def load_theirs(self, network: nn.Module, state: State) -> None:
        """Load all tensors into their network.

        Raises:
            SetupError: Names do not fit.
        """
        _load(network, state, self.theirs_only)

    def load_ours(self, backbone: nn.Module, state: State) -> None:
        """Load all tensors into our backbone.

        Raises:
            SetupError: Names do not fit.
        """
        _load(backbone, state, self.ours_only)


def _load(network: nn.Module, state: State, besides: tuple[str, ...]) -> None:
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise SetupError(f'{type(network).__name__}: {" ".join(str(error).split())[:500]}') from None
    ends = ('num_batches_tracked', *besides)
    missing = [name for name in missing if not name.endswith(ends)]
    if missing or unexpected:
        raise SetupError(
            f'{type(network).__name__} does not get {len(missing)} of its tensors ({", ".join(missing[:5])}) and has '
            f'no place for {len(unexpected)} ({", ".join(unexpected[:5])})'
        )
