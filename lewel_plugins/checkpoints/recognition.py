"""Recognize an architecture by the names and shapes of its tensors."""

from collections.abc import Mapping

from torch import Tensor

# Blocks per stage, and whether a block has three convolutions → the name as in planning.backbones.
_RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    ((1, 1, 1, 1), False): 'resnet10',
    ((2, 2, 2, 2), False): 'resnet18',
    ((3, 4, 6, 3), False): 'resnet34',
    ((3, 4, 6, 3), True): 'resnet50',
    ((3, 4, 23, 3), True): 'resnet101',
}


_SWINS: dict[tuple[int, ...], str] = {(2, 2, 6, 2): 'swin-tiny', (2, 2, 18, 2): 'swin-small'}


def recognize_backbone(state: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return name and stem of a ResNet, or of a Swin under the names of OpenMMLab; None for anything else.

    Args:
        state: Tensors of the backbone by name, with or without those of a classifier.

    Returns:
        The name, such as ``resnet18``, and the stem: ``3 × 3`` for small images, otherwise ``standard``.
    """
    patch = state.get('patch_embed.projection.weight')
    if patch is None:
        return recognize_resnet(state)
    blocks = _count_blocks(state, [f'stages.{stage}.blocks.' for stage in range(4)])
    name = _SWINS.get(blocks) if patch.shape[0] == 96 else None
    return None if name is None else (name, 'standard')


def _count_blocks(state: Mapping[str, Tensor], prefixes: list[str]) -> tuple[int, ...]:
    return tuple(
        len({name.removeprefix(prefix).split('.')[0] for name in state if name.startswith(prefix)})
        for prefix in prefixes
    )


def recognize_resnet(state: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return name and stem of a ResNet; None for anything else.

    torchvision, timm, mmpretrain, mmdet and this package name the tensors of a ResNet alike.

    Args:
        state: Tensors of the backbone by name, with or without those of a classifier.

    Returns:
        The name, such as ``resnet18``, and the stem: ``3 × 3`` for small images, otherwise ``standard``.
    """
    conv = state.get('conv1.weight')
    if conv is None or conv.dim() != 4:
        return None
    blocks = _count_blocks(state, [f'layer{stage}.' for stage in range(1, 5)])
    name = _RESNETS.get((blocks, 'layer1.0.conv3.weight' in state))
    if name is None:
        return None
    # ResNet10 has one stem, which is small, too.
    return name, '3 × 3' if conv.shape[2] == 3 and name != 'resnet10' else 'standard'
