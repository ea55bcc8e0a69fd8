"""Vision Transformers in torchvision and timm."""

from typing import Any

import torch
import torchvision
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.selfsup import MoCoV3ViT
from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .base import Format
from .name_map import NameMap

TIMM = NameMap(
    [
        ('patch_embed.projection.{w}', 'patch_embed.proj.{w}'),
        ('layers.{i}.ln1.{w}', 'blocks.{i}.norm1.{w}'),
        ('layers.{i}.ln2.{w}', 'blocks.{i}.norm2.{w}'),
        ('layers.{i}.attn.{w}', 'blocks.{i}.attn.{w}'),
        ('layers.{i}.ffn.layers.0.0.{w}', 'blocks.{i}.mlp.fc1.{w}'),
        ('layers.{i}.ffn.layers.1.{w}', 'blocks.{i}.mlp.fc2.{w}'),
        ('ln1.{w}', 'norm.{w}'),
    ]
)
_LAYER = 'encoder.layers.encoder_layer_{i}'
TORCHVISION = NameMap(
    [
        ('cls_token', 'class_token'),
        ('pos_embed', 'encoder.pos_embedding'),
        ('patch_embed.projection.{w}', 'conv_proj.{w}'),
        ('layers.{i}.ln1.{w}', f'{_LAYER}.ln_1.{{w}}'),
        ('layers.{i}.ln2.{w}', f'{_LAYER}.ln_2.{{w}}'),
        ('layers.{i}.attn.qkv.{w}', f'{_LAYER}.self_attention.in_proj_{{w}}'),
        ('layers.{i}.attn.proj.{w}', f'{_LAYER}.self_attention.out_proj.{{w}}'),
        ('layers.{i}.ffn.layers.0.0.{w}', f'{_LAYER}.mlp.0.{{w}}'),
        ('layers.{i}.ffn.layers.1.{w}', f'{_LAYER}.mlp.3.{{w}}'),
        ('ln1.{w}', 'encoder.ln.{w}'),
    ]
)


def _require(backbone: Any) -> None:
    problems = []
    if type(backbone) not in (VisionTransformer, MoCoV3ViT):
        problems.append(f'{type(backbone).__name__} (accepted: VisionTransformer, MoCoV3ViT)')
    else:
        if not backbone.with_cls_token or backbone.out_type == 'avg_featmap':
            problems.append('no class token, or a norm after averaging')
        if not backbone.final_norm or not isinstance(backbone.pre_norm, nn.Identity):
            problems.append('no final norm, or a norm before the first layer')
        if getattr(backbone.layers[0].attn.gamma1, 'weight', None) is not None:
            problems.append('layer scale')
    if problems:
        raise SetupError(f'the backbone has no equivalent: {"; ".join(problems)}')


def _square(backbone: Any) -> int:
    height, width = backbone.img_size
    if height != width:
        raise SetupError(
            f'torchvision has Vision Transformers for square images only, but this one is for {height}x{width}'
        )
    return height


def _patch(backbone: Any) -> int:
    return backbone.patch_embed.projection.kernel_size[0]


def _torchvision(backbone: Any) -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=_square(backbone),
        patch_size=_patch(backbone),
        num_layers=backbone.num_layers,
        num_heads=backbone.arch_settings['num_heads'],
        hidden_dim=backbone.embed_dims,
        mlp_dim=backbone.arch_settings['feedforward_channels'],
    )


def _torchvision_features(network: Any, images: Tensor) -> Tensor:
    x = network._process_input(images)
    return network.encoder(torch.cat([network.class_token.expand(len(x), -1, -1), x], 1))


def _timm(backbone: Any) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer as TimmViT

    return TimmViT(
        img_size=backbone.img_size,
        patch_size=_patch(backbone),
        depth=backbone.num_layers,
        num_heads=backbone.arch_settings['num_heads'],
        embed_dim=backbone.embed_dims,
        mlp_ratio=backbone.arch_settings['feedforward_channels'] / backbone.embed_dims,
        num_classes=0,
    )


def _tokens(backbone: Any, images: Tensor) -> Tensor:
    """Return all tokens after the last layer and norm, (N, 1 + L, D), whatever ``out_type`` the backbone has."""
    out_type, backbone.out_type = backbone.out_type, 'raw'
    try:
        return backbone(images)[-1]
    finally:
        backbone.out_type = out_type


VIT_FORMATS = {
    'torchvision': Format(
        _require,
        _torchvision,
        _torchvision_features,
        _tokens,
        names=TORCHVISION,
        theirs_only=('heads.head.weight', 'heads.head.bias'),
    ),
    'timm': Format(
        _require,
        _timm,
        lambda network, images: network.forward_features(images),  # type: ignore[operator]
        _tokens,
        names=TIMM,
        theirs_only=('head.weight', 'head.bias'),
    ),
}
ARCHITECTURES = {
    f'vit-{size}-p{patch}': dict(type='mmpretrain.VisionTransformer', arch=arch, patch_size=patch)
    for size, arch in (('tiny', 'deit-tiny'), ('small', 'deit-small'), ('base', 'base'))
    for patch in (16, 32)
}
