from inspect import signature
from typing import Any

from torch import nn

from lewel_plugins.registry import MODELS

_WIDTHS = ('aligned_channels', 'num_projectors', 'norm', 'standardize', 'activation')


def build_head(head: dict, neck: nn.Module) -> Any:
    """Build a head with the widths of a neck, so that a recipe states each width once.

    A head that has ``in_channels`` among its arguments gets the ``out_channels`` of the neck; one that has
    ``aligned_channels``, ``num_projectors``, ``norm``, ``standardize`` or ``activation`` gets the attribute of the neck
    with that name. A value in the head's own config takes precedence.

    Args:
        head: Config of the head, any registered class.
        neck: The neck whose embeddings the head compares.

    Raises:
        ValueError: ``in_channels`` of the head's config is not the width of the neck's embeddings.
    """
    widths = {name: getattr(neck, name) for name in _WIDTHS if hasattr(neck, name)}
    if hasattr(neck, 'out_channels'):
        widths['in_channels'] = neck.out_channels
        if head.get('in_channels', neck.out_channels) != neck.out_channels:
            raise ValueError(
                f'head.in_channels = {head["in_channels"]}, but the embeddings of {type(neck).__name__} have '
                f'{neck.out_channels} channels: leave it out, or set neck.out_channels'
            )
    accepted = signature(head_class).parameters if (head_class := _class_of(head['type'])) else {}
    return MODELS.build(head, default_args={name: value for name, value in widths.items() if name in accepted})


def _class_of(head_type: str | type) -> type | None:
    """Find the class that mmengine will build, also under a bare name in the registry of the default scope."""
    if not isinstance(head_type, str):
        return head_type
    with MODELS.switch_scope_and_registry(None) as registry:
        return registry.get(head_type)
