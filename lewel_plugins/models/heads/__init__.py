from .build import build_head
from .byol_multi_crop_head import BYOLMultiCropHead
from .lewel_contrast_head import LEWELContrastHead
from .lewel_predict_head import LEWELPredictHead
from .mpcl_barlow_twins_head import MPCLBarlowTwinsHead
from .mpcl_contrast_head import MPCLContrastHead
from .mpcl_predict_head import MPCLPredictHead
from .msbreg_head import MSBRegHead
from .smog_head import SMoGHead

__all__ = [
    'BYOLMultiCropHead',
    'LEWELContrastHead',
    'LEWELPredictHead',
    'MPCLBarlowTwinsHead',
    'MPCLContrastHead',
    'MPCLPredictHead',
    'MSBRegHead',
    'SMoGHead',
    'build_head',
]
