import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch.utils.data import get_worker_info

from lewel_plugins.registry import TRANSFORMS

from . import batched, uint8
from .view_scheme import ViewParameters, ViewScheme, check_blur_fits

_process = 0


@TRANSFORMS.register_module()
class MakeViews(BaseTransform):
    """Make all views of an image: crop, jitter, grey, blur, solarisation, flip, each within 1/255 of torchvision's.

    Reads ``img``, (H, W, 3) uint8 in OpenMMLab's channel order, BGR, as every loader leaves it. Writes ``img``, a list
    of K views (size, size, 3) uint8, and ``img_shape``: what mmpretrain's ``MultiView`` leaves for ``PackInputs``,
    at several times its speed. Draws come from Python's generator.

    Args:
        views: Schemes, dicts with the arguments of :class:`ViewScheme`.
        num_views: How many views to make of each scheme, or of all alike.
        on_device: Whether to only cut the crops here, and leave what follows to the data preprocessor
            :class:`BatchViews`. ``img`` then ends with a tensor (K, P) of parameters; the draws are the same.

    Raises:
        ValueError: No view, or a value outside its range.
    """

    def __init__(self, views: Sequence[dict], num_views: int | Sequence[int] = 1, on_device: bool = False) -> None:
        counts = [num_views] * len(views) if isinstance(num_views, int) else list(num_views)
        if len(counts) != len(views) or any(count < 1 for count in counts):
            raise ValueError(f'num_views must be at least 1 for each of the {len(views)} views, got {num_views}')
        if not views:
            raise ValueError('views must name at least one view, got none')
        self.schemes = [ViewScheme(**view) for view, count in zip(views, counts) for _ in range(count)]
        self.on_device = on_device
        uint8.prepare()  # here, before workers are forked
        # All views of a batch have kernels of one length.
        self.blur_radius = max(uint8.blur_radius(s.blur_sigma[1]) if s.blur else 0 for s in self.schemes)
        if on_device:
            check_blur_fits(self.blur_radius, min(s.size for s in self.schemes))

    def transform(self, results: dict) -> dict:
        """Replace ``img`` by its views."""
        height, width = results['img'].shape[:2]
        return self.make(results, self.draw(height, width))

    def draw(self, height: int, width: int) -> list[ViewParameters]:
        """Draw the parameters of the views of an image of this size."""
        return [scheme.draw(height, width) for scheme in self.schemes]

    def make(self, results: dict, drawn: Sequence[ViewParameters]) -> dict:
        """Replace ``img`` by the views with these parameters."""
        _prepare_process()
        image = results['img']
        make = self._crop if self.on_device else self._view
        # Planes in memory, in the shape of an image: PackInputs then has nothing to copy.
        views: list = [make(image, scheme, view).transpose(1, 2, 0) for scheme, view in zip(self.schemes, drawn)]
        results['img_shape'] = views[0].shape[:2]
        if self.on_device:
            rows = [batched.parameter_row(view, self.blur_radius) for view in drawn]
            views.append(torch.tensor(rows, dtype=torch.float32))
        results['img'] = views
        return results

    @staticmethod
    def _crop(image: np.ndarray, scheme: ViewScheme, view: ViewParameters) -> np.ndarray:
        return uint8.resized_crop(image, view.box, scheme.size, scheme.interpolation)

    @staticmethod
    def _view(image: np.ndarray, scheme: ViewScheme, view: ViewParameters) -> np.ndarray:
        planes = uint8.resized_crop(image, view.box, scheme.size, scheme.interpolation, view.flip)
        uint8.adjust_colours(planes, view.jitter, view.gray)
        distinct = planes[:1] if view.gray else planes
        if view.sigma:
            uint8.gaussian_blur(distinct, view.sigma)
        if view.solarize:
            uint8.solarize(distinct)
        if view.gray:
            planes[1:] = planes[0]
        return planes


def _prepare_process() -> None:
    """In a process that makes views: have the kernels, and no threads in OpenCV, nor in a worker's torch."""
    global _process
    if _process != os.getpid():
        _process = os.getpid()
        uint8.prepare()
        cv2.setNumThreads(0)
        if get_worker_info() is not None:
            torch.set_num_threads(1)
