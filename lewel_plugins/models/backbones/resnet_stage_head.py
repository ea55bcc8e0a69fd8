from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.registry import MODELS


@MODELS.register_module()
class ResNetStageHead(BaseModule):
    """The last stage of a ResNet as the shared head of a detector's RoIs, followed by a normalization.

    In a C4 detector the backbone ends before the last stage, which is applied to every region. MoCo's transfer protocol
    (He et al., CVPR 2020, A.2) trains all layers with batch norm and adds a batch norm after this stage, because the
    layers that follow have none. mmdet's ``ResLayer`` has no such norm and supports only torchvision's widths.

    The tensors keep the names of the pretraining (``layer4.…``), so that the ``init_cfg=dict(type='Pretrained',
    checkpoint=…, prefix='backbone.')`` of the backbone loads them too.

    Args:
        backbone: Config of the whole ResNet, of mmdet or mmpretrain; ``strides`` and ``dilations`` affect the last
            stage only.
        norm_cfg: Normalization after the stage, over its channels; None for no normalization.
        init_cfg: Initialization, as everywhere in mmengine; by default that of the ResNet.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        resnet = MODELS.build(backbone)
        super().__init__(resnet.init_cfg if init_cfg is None else init_cfg)
        self.stage_name = resnet.res_layers[-1]
        stage = getattr(resnet, self.stage_name)
        self.add_module(self.stage_name, stage)
        self.norm = None if norm_cfg is None else build_norm_layer(norm_cfg, resnet.feat_dim)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map regions (R, C, h, w) of the map before the stage to (R, 2C, h/2, w/2), if the stage has stride 2."""
        x = getattr(self, self.stage_name)(x)
        return x if self.norm is None else self.norm(x)
