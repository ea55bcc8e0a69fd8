from .algorithms import (
    LEWELB,
    LEWELM,
    BYOLMultiCrop,
    MomentumPretrainer,
    MPCLBarlowTwins,
    MPCLMoCo,
    MPCLMoCoV3,
    MSBReg,
    SMoG,
)
from .backbones import ResNet10, ResNetStageHead
from .baselines import ConstantBYOL, SymmetricMoCo
from .classifiers import PretrainedClassifier
from .data_preprocessors import BatchViews
from .feature_cache import FeatureCache
from .group_schedule import GroupSchedule, group_schedule, scale_to_batch
from .heads import (
    BYOLMultiCropHead,
    LEWELContrastHead,
    LEWELPredictHead,
    MPCLBarlowTwinsHead,
    MPCLContrastHead,
    MPCLPredictHead,
    MSBRegHead,
    SMoGHead,
)
from .key_queue import KeyQueue
from .losses import BrownianLoss, SingularValueLoss, UniformityLoss
from .momentum_encoder import MomentumEncoder
from .momentum_groups import MomentumGroups
from .necks import MLP, LEWELNeck, MultiProjectorNeck, ProjectionNeck, StandardizedLinear
from .projector_balance import ProjectorBalance
from .split_batch_norm import SplitBatchNorm

__all__ = [
    'LEWELB',
    'LEWELM',
    'MLP',
    'BYOLMultiCrop',
    'BatchViews',
    'BrownianLoss',
    'ConstantBYOL',
    'FeatureCache',
    'GroupSchedule',
    'KeyQueue',
    'LEWELNeck',
    'MPCLBarlowTwins',
    'MPCLMoCo',
    'MPCLMoCoV3',
    'MSBReg',
    'MomentumEncoder',
    'MomentumGroups',
    'BYOLMultiCropHead',
    'LEWELContrastHead',
    'LEWELPredictHead',
    'MPCLBarlowTwinsHead',
    'MPCLContrastHead',
    'MPCLPredictHead',
    'MSBRegHead',
    'SMoGHead',
    'MomentumPretrainer',
    'MultiProjectorNeck',
    'PretrainedClassifier',
    'ProjectionNeck',
    'ProjectorBalance',
    'ResNet10',
    'ResNetStageHead',
    'SMoG',
    'SingularValueLoss',
    'SplitBatchNorm',
    'StandardizedLinear',
    'SymmetricMoCo',
    'UniformityLoss',
    'group_schedule',
    'scale_to_batch',
]
