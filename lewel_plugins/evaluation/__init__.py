"""Measures of frozen features: k-NN, linear and SVM classification, rank and spread, and suites of them."""

from .feature_loop import FeatureTestLoop, FeatureValLoop
from .knn_metric import KNNMetric
from .representation_metric import RepresentationMetric

__all__ = ['FeatureTestLoop', 'FeatureValLoop', 'KNNMetric', 'RepresentationMetric']
