from .pretrained_classifier import PretrainedClassifier

__all__ = ['PretrainedClassifier']
