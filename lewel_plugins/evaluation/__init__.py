"""Measures of frozen features: k-NN, linear and SVM classification, rank and spread, and suites of them."""

from .detection_record_metric import DetectionRecordMetric
from .feature_loop import FeatureTestLoop, FeatureValLoop
from .knn_metric import KNNMetric
from .region_record_metric import RegionRecordMetric
from .representation_metric import RepresentationMetric

__all__ = [
    'DetectionRecordMetric',
    'FeatureTestLoop',
    'FeatureValLoop',
    'KNNMetric',
    'RegionRecordMetric',
    'RepresentationMetric',
]
