"""ResNets in torchvision, timm, mmdet and detectron2."""

from typing import Any

import torchvision
from mmengine.registry import MODELS
from mmpretrain.models.backbones import ResNet
from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .base import Format
from .name_map import NameMap

DEPTHS = (18, 34, 50, 101, 152)

# detectron2 numbers the stages from 2 and names a norm after its convolution.
DETECTRON2 = NameMap(
    [
        ('bn1.{w}', 'stem.conv1.norm.{w}'),
        ('conv1.{w}', 'stem.conv1.{w}'),
        *(
            (f'layer{stage}.{{i}}.{ours}.{{w}}', f'res{stage + 1}.{{i}}.{theirs}.{{w}}')
            for stage in range(1, 5)
            for ours, theirs in (
                ('bn1', 'conv1.norm'),
                ('bn2', 'conv2.norm'),
                ('bn3', 'conv3.norm'),
                ('downsample.1', 'shortcut.norm'),
                ('conv1', 'conv1'),
                ('conv2', 'conv2'),
                ('conv3', 'conv3'),
                ('downsample.0', 'shortcut'),
            )
        ),
    ]
)


def _settings(backbone: Any) -> dict[str, Any]:
    """Return torchvision's value of each setting in which the backbone differs."""
    expected = dict(num_stages=4, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1), deep_stem=False, avg_down=False)
    if backbone.depth >= 50:
        expected['style'] = 'pytorch'
    return {
        name: value
        for name, value in expected.items()
        if (tuple(getattr(backbone, name)) if isinstance(value, tuple) else getattr(backbone, name)) != value
    }


def _require_plain(backbone: Any) -> None:
    """Raise SetupError unless the backbone is a ResNet of any width with torchvision's structure."""
    if type(backbone) is not ResNet:
        raise SetupError(
            f'{type(backbone).__name__} has no equivalent: accepted is mmpretrain.ResNet of depth '
            f'{", ".join(map(str, DEPTHS))}'
        )
    if backbone.depth not in DEPTHS or _settings(backbone):
        problems = [f'{name}={value!r}, not {getattr(backbone, name)!r}' for name, value in _settings(backbone).items()]
        raise SetupError(
            f'ResNet of depth {backbone.depth} has no equivalent: accepted are depths '
            f'{"; ".join([", ".join(map(str, DEPTHS)), *problems])}'
        )


def _require_standard_width(backbone: Any) -> None:
    """Also require 64 channels, because the libraries' wide ResNets widen the inner convolutions only."""
    _require_plain(backbone)
    width = (backbone.stem_channels, backbone.base_channels)
    if width != (64, 64):
        raise SetupError(
            f'ResNet-{backbone.depth} with stem_channels={width[0]} and base_channels={width[1]} has no '
            'equivalent: accepted are 64 and 64. Other widths have one in mmdet, detectron2 and safetensors'
        )


def _torchvision(backbone: Any) -> nn.Module:
    return torchvision.models.get_model(f'resnet{backbone.depth}')


def _torchvision_features(network: Any, images: Tensor) -> Tensor:
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    return network.layer4(network.layer3(network.layer2(network.layer1(x))))


def _timm(backbone: Any) -> nn.Module:
    import timm

    return timm.create_model(f'resnet{backbone.depth}', num_classes=0)


def _mmdet(backbone: Any) -> nn.Module:
    import mmdet.models  # noqa: F401

    return MODELS.build(
        dict(
            type='mmdet.ResNet',
            depth=backbone.depth,
            stem_channels=backbone.stem_channels,
            base_channels=backbone.base_channels,
            norm_eval=False,
        )
    )


def _plain_resnet(backbone: Any) -> nn.Module:
    return ResNet(backbone.depth, stem_channels=backbone.stem_channels, base_channels=backbone.base_channels)


def last_map(backbone: nn.Module, images: Tensor) -> Tensor:
    """Return the last of the maps that a backbone of OpenMMLab returns, (N, D, H, W)."""
    return backbone(images)[-1]


class _RenamedResNet(nn.Module):
    """OpenMMLab's ResNet behind detectron2's names. Loading it checks that the names can be converted back."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.resnet = _plain_resnet(backbone)

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return self.resnet.load_state_dict({DETECTRON2.backward(n): t for n, t in state.items()}, strict=strict)

    def forward(self, images: Tensor) -> Tensor:
        return last_map(self.resnet, images)


RESNET_FORMATS = {
    'torchvision': Format(
        _require_standard_width, _torchvision, _torchvision_features, last_map, theirs_only=('fc.weight', 'fc.bias')
    ),
    'timm': Format(
        _require_standard_width,
        _timm,
        lambda network, images: network.forward_features(images),  # type: ignore[operator]
        last_map,
        theirs_only=('fc.weight', 'fc.bias'),
    ),
    'mmdet': Format(_require_plain, _mmdet, last_map, last_map, prefix='backbone.'),
    'detectron2': Format(
        _require_plain,
        _RenamedResNet,
        lambda network, images: network(images),
        last_map,
        names=DETECTRON2,
    ),
}
ARCHITECTURES = {f'resnet{depth}': dict(type='mmpretrain.ResNet', depth=depth) for depth in DEPTHS}
