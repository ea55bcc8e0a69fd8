from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from lewel_plugins.checkpoints.compare import StateDifference
from lewel_plugins.errors import SetupError

from .name_map import NameMap

State = dict[str, Tensor]


def _same(state: State) -> State:
    return state


@dataclass(frozen=True)
class Format:
    """How another library represents a family of backbones.

    Args:
        require: Raises :class:`SetupError` for a backbone of OpenMMLab that has no equivalent in the library.
        build: Builds the library's network for a backbone of OpenMMLab, with random weights.
        features: Returns the features of the library's network on images (N, 3, H, W), in the shape that ``reference``
            returns.
        reference: Returns the features of OpenMMLab's backbone.
        names: Names of the tensors in OpenMMLab and in the library.
        to_theirs: Reorders tensors whose order differs, under OpenMMLab's names, before they are renamed.
        to_ours: The inverse of ``to_theirs``.
        theirs_only: Endings of the names of tensors in the library's network that hold no weights of the backbone: the
            classifier, and tables that follow from the architecture.
        ours_only: The same for OpenMMLab's backbone.
        prefix: Prefix of the names in a file for the library.
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
        """Convert the tensors of OpenMMLab's backbone to those of the library's network."""
        weights = {name: tensor for name, tensor in state.items() if not name.endswith(self.ours_only or ('\0',))}
        return {self.names.forward(name): tensor for name, tensor in self.to_theirs(weights).items()}

    def import_state(self, state: State) -> State:
        """Convert the tensors of the library's network to those of OpenMMLab's backbone."""
        weights = {name: tensor for name, tensor in state.items() if not name.endswith(self.theirs_only or ('\0',))}
        return self.to_ours({self.names.backward(name): tensor for name, tensor in weights.items()})

    def load_theirs(self, network: nn.Module, state: State) -> None:
        """Load all tensors into the library's network.

        Raises:
            SetupError: The tensors do not fit.
        """
        _load(network, state, self.theirs_only)

    def load_ours(self, backbone: nn.Module, state: State) -> None:
        """Load all tensors into OpenMMLab's backbone.

        Raises:
            SetupError: The tensors do not fit.
        """
        _load(backbone, state, self.ours_only)


def _load(network: nn.Module, state: State, optional: tuple[str, ...]) -> None:
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise SetupError(f'{type(network).__name__}: {" ".join(str(error).split())[:500]}') from None
    endings = ('num_batches_tracked', *optional)
    difference = StateDifference([name for name in missing if not name.endswith(endings)], unexpected)
    if difference:
        problems = difference.describe(limit=5)
        raise SetupError(f'the state dict does not fit a {type(network).__name__}: {problems}')
