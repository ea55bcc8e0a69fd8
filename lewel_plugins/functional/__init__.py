"""The equations of the papers, and measures of a representation, as pure functions: one file per paper.

Training calls these functions themselves. Inputs are raw (not normalized), and losses are means, not sums, over the
images. No function communicates between ranks; all are differentiable in every floating-point argument. float16 and
bfloat16 arguments are widened to float32, also under autocast; float32 and float64 arguments keep their dtype. Only
:func:`aligned_pooling`, which is no loss but a layer of the network, has the dtype of autocast or of its features.

Shape letters: N images, D backbone channels, L = HW positions, d channels of the global embedding and number of maps,
h channel groups, K = d/h aligned embeddings per image, c channels of each, Q queue length, l groups of images, M
projectors, W ranks. In MSBReg's functions K is the number of views of an image.
"""

from .contrastive import (
    barlow_twins,
    batch_similarities,
    info_nce,
    info_nce_and_accuracy,
    nce,
    ranked_first,
    standardize,
)
from .lewel import aligned_info_nce, aligned_pooling, alignment_maps, cosine_mse
from .measures import (
    alignment,
    cka,
    covariance_spectrum,
    group_entropy,
    hsic,
    lidar,
    mutual_information,
    participation_ratio,
    rank_me,
    rank_me_and_spectrum,
    uniformity,
)
from .mpcl import (
    orthogonalize,
    projector_cosines,
    projector_regularization,
    projector_terms,
    training_balance,
)
from .msbreg import brownian_loss, centroid_loss, multi_crop_loss, singular_value_loss
from .smog import MovedGroups, assign_groups, group_contrast, group_sums, update_groups

__all__ = [
    'MovedGroups',
    'aligned_info_nce',
    'aligned_pooling',
    'alignment',
    'alignment_maps',
    'assign_groups',
    'barlow_twins',
    'batch_similarities',
    'brownian_loss',
    'centroid_loss',
    'cka',
    'cosine_mse',
    'covariance_spectrum',
    'group_contrast',
    'group_entropy',
    'group_sums',
    'hsic',
    'info_nce',
    'info_nce_and_accuracy',
    'lidar',
    'multi_crop_loss',
    'mutual_information',
    'nce',
    'orthogonalize',
    'participation_ratio',
    'projector_cosines',
    'projector_regularization',
    'projector_terms',
    'rank_me',
    'rank_me_and_spectrum',
    'ranked_first',
    'singular_value_loss',
    'standardize',
    'training_balance',
    'uniformity',
    'update_groups',
]
