from mmcv.cnn import build_conv_layer, build_norm_layer
from mmpretrain.models.backbones import ResNet
from mmpretrain.models.backbones.resnet import BasicBlock
from torch import Tensor, nn

from lewel_plugins.registry import MODELS


@MODELS.register_module()
class ResNet10(ResNet):
    """mmpretrain's ResNet with one basic block per stage and a stem for small images. It trains on a laptop in minutes.

    The stem is a 3 × 3 convolution of stride 2 without pooling: 32 px images keep 16 × 16 positions in the first
    stage, and with the default strides 4 × 4 in the last.

    Args:
        base_channels: Width of the first stage; the last has eight times that.
        strides: Stride of each stage; with fewer than four, there are fewer stages.
        dilations: Dilation of each stage; none by default. A stage with a smaller stride and a larger dilation keeps
            a finer map for segmentation, with the same weights.
        out_indices: Stages whose maps are returned; the last by default.
        zero_init_residual: Whether residual branches start at zero, as by default in mmpretrain's ResNets. With one
            block per stage this leaves hardly more than the 1 × 1 shortcuts, and a short pretraining learns much less
            (configs/comparisons/calibration_garment-scenes.py).
        norm_eval: Whether batch norm keeps its statistics in training, as for fine-tuning on few images per step.
        init_cfg: Initialization, as everywhere in mmengine, e.g. a ``Pretrained`` checkpoint; None: random weights.
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(
        self,
        base_channels: int = 16,
        strides: tuple[int, ...] = (1, 2, 2, 1),
        dilations: tuple[int, ...] | None = None,
        out_indices: tuple[int, ...] | None = None,
        zero_init_residual: bool = False,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        # With None, mmpretrain's ResNet keeps its own initialization, which is a default argument there.
        init = {} if init_cfg is None else dict(init_cfg=init_cfg)
        super().__init__(
            depth=10,
            stem_channels=base_channels,
            base_channels=base_channels,
            num_stages=len(strides),
            strides=strides,
            dilations=dilations or (1,) * len(strides),
            out_indices=(len(strides) - 1,) if out_indices is None else out_indices,
            zero_init_residual=zero_init_residual,
            norm_eval=norm_eval,
            **init,
        )

    def _make_stem_layer(self, in_channels: int, base_channels: int) -> None:
        self.conv1 = build_conv_layer(
            self.conv_cfg, in_channels, base_channels, kernel_size=3, stride=2, padding=1, bias=False
        )
        self.norm1_name, norm1 = build_norm_layer(self.norm_cfg, base_channels, postfix=1)
        self.add_module(self.norm1_name, norm1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to the maps of the chosen stages, the last (N, 8·base_channels, H/8, W/8)."""
        x = self.relu(self.norm1(self.conv1(x)))
        outs = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)
