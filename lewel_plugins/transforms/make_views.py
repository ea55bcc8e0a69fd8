import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch.utils.data import get_worker_info

from lewel_plugins.registry import TRANSFORMS

from .ops import batch as batch_ops
from .ops import image as image_ops
from .view_scheme import ViewParameters, ViewScheme, check_blur_fits

_prepared_process = 0


@TRANSFORMS.register_module()
class MakeViews(BaseTransform):
    """Make all views of an image: crop, flip, jitter, gray, blur and solarization, each within 1/255 of torchvision.

    Reads ``img``, (H, W, 3) uint8 in OpenMMLab's channel order, BGR, as every loader writes it. Writes ``img``, a list
    of K views (size, size, 3) uint8, and ``img_shape``. ``PackInputs`` gets the same from mmpretrain's ``MultiView``,
    which takes several times as long. Draws come from Python's generator.

    Args:
        views: Schemes, as dicts with the arguments of :class:`ViewScheme`.
        num_views: Number of views per scheme, either one number for all schemes or one per scheme.
        on_device: Whether to only cut the crops here and leave the remaining operations to the data preprocessor
            :class:`BatchViews`. ``img`` then ends with a tensor (K, P) of parameters. The draws stay the same.

    Raises:
        ValueError: If there is no view, or a value is outside its range.
    """

    def __init__(self, views: Sequence[dict], num_views: int | Sequence[int] = 1, on_device: bool = False) -> None:
        counts = [num_views] * len(views) if isinstance(num_views, int) else list(num_views)
        if len(counts) != len(views) or any(count < 1 for count in counts):
            raise ValueError(f'num_views must be at least 1 for each of the {len(views)} views, got {num_views}')
        if not views:
            raise ValueError('views must name at least one view, got none')
        self.schemes = [ViewScheme(**view) for view, count in zip(views, counts) for _ in range(count)]
        self.on_device = on_device
        image_ops.prepare()  # here, before workers are forked
        # All views of a batch have blur kernels of the same length.
        self.blur_radius = max(image_ops.blur_radius(s.blur_sigma[1]) if s.blur else 0 for s in self.schemes)
        if on_device:
            check_blur_fits(self.blur_radius, min(s.size for s in self.schemes))

    def transform(self, results: dict) -> dict:
        """Replace ``img`` with its views."""
        height, width = results['img'].shape[:2]
        return self.make(results, self.draw(height, width))

    def draw(self, height: int, width: int) -> list[ViewParameters]:
        """Draw parameters for all views of an image of this size, K of them."""
        return [scheme.draw(height, width) for scheme in self.schemes]

    def make(self, results: dict, parameters: Sequence[ViewParameters]) -> dict:
        """Replace ``img`` with the views that these parameters describe."""
        _prepare_process()
        image = results['img']
        make = self._crop if self.on_device else self._view
        # Views have the shape of an image but lie in memory as planes, so that PackInputs copies nothing.
        views: list = [make(image, scheme, view).transpose(1, 2, 0) for scheme, view in zip(self.schemes, parameters)]
        results['img_shape'] = views[0].shape[:2]
        if self.on_device:
            rows = [batch_ops.parameter_row(view, self.blur_radius) for view in parameters]
            views.append(torch.tensor(rows, dtype=torch.float32))
        results['img'] = views
        return results

    @staticmethod
    def _crop(image: np.ndarray, scheme: ViewScheme, view: ViewParameters) -> np.ndarray:
        return image_ops.resized_crop(image, view.box, scheme.size, scheme.interpolation)

    @staticmethod
    def _view(image: np.ndarray, scheme: ViewScheme, view: ViewParameters) -> np.ndarray:
        planes = image_ops.resized_crop(image, view.box, scheme.size, scheme.interpolation, view.flip)
        image_ops.adjust_colors(planes, view.jitter, view.gray)
        distinct = planes[:1] if view.gray else planes
        if view.sigma:
            image_ops.gaussian_blur(distinct, view.sigma)
        if view.solarize:
            image_ops.solarize(distinct)
        if view.gray:
            planes[1:] = planes[0]
        return planes


def _prepare_process() -> None:
    """Load the kernels and stop the threads of OpenCV and, in workers, of torch; once per process that makes views."""
    global _prepared_process
    if _prepared_process != os.getpid():
        _prepared_process = os.getpid()
        image_ops.prepare()
        cv2.setNumThreads(0)
        if get_worker_info() is not None:
            torch.set_num_threads(1)
