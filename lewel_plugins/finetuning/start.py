"""Read the backbone that a fine-tuning starts from."""

from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.backbones import find_backbone
from lewel_plugins.planning.findings import show
from lewel_plugins.planning.weights import weights_file

from .facts import Start

RANDOM = 'random'
PREFIX = 'backbone.'


def read_start(name: str) -> tuple[Start, dict[str, Any] | None]:
    """Read the backbone of a run, a checkpoint, or weights of torchvision or timm.

    Args:
        name: Folder of a run, a file, or ``random``.

    Returns:
        What it is, and a checkpoint with nothing but its tensors, under ``backbone.``; None for random weights.

    Raises:
        SetupError: There is nothing, it is no known network, or a tensor is missing or has another shape.
    """
    if name == RANDOM:
        return Start(RANDOM), None
    file = weights_file(name)
    from lewel_plugins.checkpoints import compare_states, normalization, read_pretrained
    from lewel_plugins.checkpoints.recognition import recognize_backbone

    content, state = read_pretrained(file)
    if any(key.startswith(PREFIX) for key in state):
        state = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    state = {key: value for key, value in state.items() if not key.startswith(('fc.', 'head.'))}
    match = recognize_backbone(state)
    if match is None:
        names = ', '.join(str(key) for key in list(state)[:3])
        known = 'ResNet of depth 10, 18, 34, 50 or 101, nor Swin-T or Swin-S'
        raise SetupError(f'{show(file)} holds no {known} (its tensors: {names}, …)')
    own = _random_backbone(*match)
    difference = compare_states(own, state, optional=lambda key: key.endswith('num_batches_tracked'))
    if difference:
        raise SetupError(f'{show(file)} does not hold all tensors of a {match[0]}: {difference.describe(limit=3)}')
    values = normalization(content) or {}
    mean, std = (tuple(values[part]) if part in values else None for part in ('mean', 'std'))
    meta = dict(source=file, data_preprocessor=values or None)
    tensors = {f'{PREFIX}{key}': value for key, value in state.items()}
    return Start(name, *match, mean, std), dict(meta=meta, state_dict=tensors)


def _random_backbone(name: str, stem: str) -> dict[str, Any]:
    """Return the tensors that a backbone has."""
    from mmengine.registry import DefaultScope

    from lewel_plugins.checkpoints import DEFAULT_SCOPE, build_backbone

    backbone = find_backbone(name)
    config = backbone.small_stem if stem == '3 × 3' and backbone.small_stem else backbone.config
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        return build_backbone(config, name).state_dict()
