from .feature_loop import FeatureTestLoop, FeatureValLoop
from .knn import knn_predict
from .knn_metric import KNNMetric
from .representation_metric import RepresentationMetric

__all__ = ['FeatureTestLoop', 'FeatureValLoop', 'KNNMetric', 'RepresentationMetric', 'knn_predict']
