from mmengine.hooks import Hook
from mmengine.runner import Runner

from lewel_plugins.evaluation import FeatureValLoop, KNNMetric
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class PixelBaselineHook(Hook):
    """Log the k-NN accuracy of raw pixels, which a network has to exceed, beside that of its features.

    It is measured once, before the first iteration, as ``knn/pixels_…`` for each k of the ``KNNMetric``. The validation
    must be a ``FeatureValLoop`` with a bank. The training itself stays the same.
    """

    priority = 'HIGH'  # list it before InitialValidationHook, whose validation is the first that logs the values

    def before_train_epoch(self, runner: Runner) -> None:
        """Measure, if nothing has been trained yet.

        Raises:
            ValueError: The validation has no k-NN.
        """
        if runner.iter:
            return
        loop = runner.val_loop
        metrics = [metric for metric in loop.evaluator.metrics if isinstance(metric, KNNMetric)] if loop else []
        if not isinstance(loop, FeatureValLoop) or not metrics:
            raise ValueError('PixelBaselineHook needs a FeatureValLoop with a KNNMetric')
        for name, value in metrics[0].compute_features(loop.raw_pixels()).items():
            runner.message_hub.update_scalar(f'val/knn/pixels_{name}', value)
