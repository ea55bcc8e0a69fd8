from .resnet10 import ResNet10
from .resnet_stage_head import ResNetStageHead

__all__ = ['ResNet10', 'ResNetStageHead']
