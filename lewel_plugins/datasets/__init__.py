from .cifar10 import CIFAR10
from .continuous_loader import ContinuousLoader
from .image_list import ImageList
from .image_shards import ImageShards
from .image_tree import ImageTree
from .imagenet_subset import ImageNetSubset
from .inaturalist import INaturalist
from .labeled_split import LabeledSplit
from .pretrain_dataset import PretrainDataset, SampleId
from .seeded_sampler import SeededSampler
from .stl10 import STL10

__all__ = [
    'CIFAR10',
    'STL10',
    'ContinuousLoader',
    'INaturalist',
    'ImageNetSubset',
    'ImageList',
    'ImageShards',
    'ImageTree',
    'LabeledSplit',
    'PretrainDataset',
    'SampleId',
    'SeededSampler',
]
