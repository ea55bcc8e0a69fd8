"""Read the backbone that a fine-tuning starts from."""

from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.backbones import find_backbone, name_of, stem_of
from lewel_plugins.planning.findings import show
from lewel_plugins.planning.weights import weights_file

from .facts import Start

RANDOM = 'random'


def check_start(name: str) -> None:
    """Refuse what a backbone cannot start from, as far as that is known without reading it.

    Args:
        name: As in :func:`read_start`.

    Raises:
        SetupError: There is no such file, run or network.
    """
    if name.startswith(f'{RANDOM}:'):
        find_backbone(name.partition(':')[2])
    elif name != RANDOM:
        weights_file(name)


def read_start(name: str) -> tuple[Start, dict[str, Any] | None]:
    """Read the backbone of a run, a checkpoint, or weights of torchvision or timm.

    Args:
        name: Folder of a run, a file, or ``random``; ``random:resnet50`` names the network as well.

    Returns:
        What it is, and a checkpoint with nothing but its tensors, under ``backbone.``; None for random weights.

    Raises:
        SetupError: There is nothing, it is no known network, or a tensor is missing or has another shape.
    """
    if name == RANDOM or name.startswith(f'{RANDOM}:'):
        backbone = name.partition(':')[2]
        return Start(RANDOM, find_backbone(backbone).name if backbone else ''), None
    file = weights_file(name)
    from lewel_plugins.checkpoints import compare_states, read_starting_weights

    weights = read_starting_weights(show(name), file)
    backbone = name_of(weights.settings, show(name))
    stem = stem_of(weights.settings)
    difference = compare_states(_random_tensors(backbone, stem), weights.state, optional=_is_count)
    if difference:
        raise SetupError(f'{show(name)} does not hold a usual {backbone}: {difference.describe(limit=3)}')
    values = weights.normalization or {}
    mean, std = (tuple(values[part]) if part in values else None for part in ('mean', 'std'))
    return Start(name, backbone, stem, mean, std), weights.content()


def _is_count(name: str) -> bool:
    return name.endswith('num_batches_tracked')


def _random_tensors(name: str, stem: str) -> dict[str, Any]:
    """Return the tensors that a backbone has."""
    from mmengine.registry import DefaultScope

    from lewel_plugins.checkpoints import DEFAULT_SCOPE, build_backbone

    backbone = find_backbone(name)
    config = backbone.small_stem if stem == '3 × 3' and backbone.small_stem else backbone.config
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        return build_backbone(config, name).state_dict()
