"""Swin Transformers in torchvision, timm and mmdet."""

from typing import Any

import torchvision
from mmengine.registry import MODELS
from mmpretrain.models.backbones import SwinTransformer
from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .base import Format, State
from .name_map import NameMap
from .resnet import last_map

_BLOCK = 'stages.{i}.blocks.{j}'
# In timm, the merging of patches belongs to the stage after it.
TIMM = NameMap(
    [
        ('patch_embed.projection.{w}', 'patch_embed.proj.{w}'),
        (f'{_BLOCK}.attn.w_msa.{{w}}', 'layers.{i}.blocks.{j}.attn.{w}'),
        (f'{_BLOCK}.ffn.layers.0.0.{{w}}', 'layers.{i}.blocks.{j}.mlp.fc1.{w}'),
        (f'{_BLOCK}.ffn.layers.1.{{w}}', 'layers.{i}.blocks.{j}.mlp.fc2.{w}'),
        (f'{_BLOCK}.{{w}}', 'layers.{i}.blocks.{j}.{w}'),
        *((f'stages.{i}.downsample.{{w}}', f'layers.{i + 1}.downsample.{{w}}') for i in range(3)),
        ('norm3.{w}', 'norm.{w}'),
    ]
)
TORCHVISION = NameMap(
    [
        ('patch_embed.projection.{w}', 'features.0.0.{w}'),
        ('patch_embed.norm.{w}', 'features.0.2.{w}'),
        *(
            (f'stages.{i}.blocks.{{j}}.{ours}.{{w}}', f'features.{2 * i + 1}.{{j}}.{theirs}.{{w}}')
            for i in range(4)
            for ours, theirs in (
                ('attn.w_msa', 'attn'),
                ('ffn.layers.0.0', 'mlp.0'),
                ('ffn.layers.1', 'mlp.3'),
                ('norm1', 'norm1'),
                ('norm2', 'norm2'),
            )
        ),
        *((f'stages.{i}.downsample.{{w}}', f'features.{2 * i + 2}.{{w}}') for i in range(3)),
        ('norm3.{w}', 'norm.{w}'),
    ]
)
_INDEX = ('relative_position_index',)


def _to_blocks(state: State) -> State:
    """Reorder merged patches from channel by channel, as in OpenMMLab, to pixel by pixel, column-major."""
    return {
        name: _reorder(tensor, channels_first=True) if 'downsample' in name else tensor
        for name, tensor in state.items()
    }


def _from_blocks(state: State) -> State:
    """Do the inverse of :func:`_to_blocks`."""
    return {
        name: _reorder(tensor, channels_first=False) if 'downsample' in name else tensor
        for name, tensor in state.items()
    }


def _reorder(tensor: Tensor, channels_first: bool) -> Tensor:
    channels = tensor.shape[-1] // 4
    rest = tensor.shape[:-1]
    if channels_first:
        # (C, row, column) → (column, row, C)
        return tensor.reshape(*rest, channels, 2, 2).movedim((-3, -2, -1), (-1, -2, -3)).reshape(*rest, -1)
    return tensor.reshape(*rest, 2, 2, channels).movedim((-3, -2, -1), (-1, -2, -3)).reshape(*rest, -1)


def _require(backbone: Any) -> None:
    problems = []
    if type(backbone) is not SwinTransformer:
        problems.append(f'{type(backbone).__name__} (accepted: mmpretrain.SwinTransformer)')
    else:
        if backbone.use_abs_pos_embed:
            problems.append('use_abs_pos_embed=True')
        if tuple(backbone.out_indices) != (3,):
            problems.append(f'out_indices={tuple(backbone.out_indices)} (accepted: (3,))')
        if backbone.num_layers != 4:
            problems.append(f'{backbone.num_layers} stages (accepted: 4)')
    if problems:
        raise SetupError(f'the backbone has no equivalent: {"; ".join(problems)}')


def _window(backbone: Any) -> int:
    return backbone.stages[0].blocks[0].attn.w_msa.window_size[0]


def _patch(backbone: Any) -> int:
    return backbone.patch_embed.projection.kernel_size[0]


def _torchvision(backbone: Any) -> nn.Module:
    return torchvision.models.SwinTransformer(
        patch_size=[_patch(backbone)] * 2,
        embed_dim=backbone.embed_dims,
        depths=list(backbone.depths),
        num_heads=list(backbone.num_heads),
        window_size=[_window(backbone)] * 2,
    )


def _torchvision_features(network: Any, images: Tensor) -> Tensor:
    return network.norm(network.features(images)).permute(0, 3, 1, 2)


def _timm(backbone: Any) -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer as TimmSwin

    height, width = (_patch(backbone) * n for n in backbone.patch_resolution)
    return TimmSwin(
        img_size=(height, width),
        patch_size=_patch(backbone),
        embed_dim=backbone.embed_dims,
        depths=tuple(backbone.depths),
        num_heads=tuple(backbone.num_heads),
        window_size=_window(backbone),
        num_classes=0,
    )


def _mmdet(backbone: Any) -> nn.Module:
    import mmdet.models  # noqa: F401

    return MODELS.build(
        dict(
            type='mmdet.SwinTransformer',
            embed_dims=backbone.embed_dims,
            patch_size=_patch(backbone),
            depths=tuple(backbone.depths),
            num_heads=tuple(backbone.num_heads),
            window_size=_window(backbone),
            out_indices=(3,),
        )
    )


def _map_of_large(backbone: nn.Module, images: Tensor) -> Tensor:
    """Return the last map of enlarged images, because mmdet shifts a map of a single window and mmpretrain does not."""
    return last_map(backbone, nn.functional.interpolate(images, scale_factor=2.0))


SWIN_FORMATS = {
    'torchvision': Format(
        _require,
        _torchvision,
        _torchvision_features,
        last_map,
        names=TORCHVISION,
        to_theirs=_to_blocks,
        to_ours=_from_blocks,
        theirs_only=('head.weight', 'head.bias', *_INDEX),
        ours_only=_INDEX,
    ),
    'timm': Format(
        _require,
        _timm,
        lambda network, images: network.forward_features(images).permute(0, 3, 1, 2),  # type: ignore[operator]
        last_map,
        names=TIMM,
        to_theirs=_to_blocks,
        to_ours=_from_blocks,
        theirs_only=('head.fc.weight', 'head.fc.bias', 'head.weight', 'head.bias', *_INDEX, 'attn_mask'),
        ours_only=_INDEX,
    ),
    'mmdet': Format(_require, _mmdet, _map_of_large, _map_of_large, prefix='backbone.'),
}
ARCHITECTURES = {
    f'swin-{arch}': dict(type='mmpretrain.SwinTransformer', arch=arch, img_size=224)
    for arch in ('tiny', 'small', 'base')
}
