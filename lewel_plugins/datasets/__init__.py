from .fashion_mnist_10k import FashionMNIST10k
from .image_tree import ImageTree
from .imagenet_subset import ImageNetSubset
from .pretrain_dataset import PretrainDataset, SampleId
from .seeded_sampler import SeededSampler
from .stl10 import STL10

__all__ = [
    'STL10',
    'FashionMNIST10k',
    'ImageNetSubset',
    'ImageTree',
    'PretrainDataset',
    'SampleId',
    'SeededSampler',
]
