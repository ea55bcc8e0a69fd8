from collections.abc import Sequence

import numpy as np

from lewel_plugins.image_files.bounds import MAX_PIXELS
from lewel_plugins.image_files.decode import decode_bgr, decode_jpeg, least_reduction, naming_broken_image, to_bgr
from lewel_plugins.image_files.headers import is_jpeg, read_jpeg_header
from lewel_plugins.registry import TRANSFORMS

from .load_rgb import LoadRGB
from .make_views import MakeViews
from .view_scheme import ViewParameters

# A crop may be decoded at 1/2, 1/4 or 1/8 if it still has this many times the pixels of the view on each side. With
# a gap of 2, which Pillow's documentation of `reducing_gap` calls very close, the sharpness of 20,000 views differs
# measurably.
_GAP = 4


@TRANSFORMS.register_module()
class LoadViews(LoadRGB):
    """Load an image file and make all its views: :class:`LoadRGB` and :class:`MakeViews` combined, and faster.

    Crops are drawn before the file is decoded. If all crops are at least eight times as large as their views, as in
    photographs of several megapixels, a JPEG is decoded at half its size or less by libjpeg's scaled transform; so is
    one that is too large to decode in full. Any other file is decoded in full, once for all views.

    Args:
        views: Schemes, as dicts with the arguments of :class:`ViewScheme`.
        num_views: Number of views per scheme, either one number for all schemes or one per scheme.
        on_device: Whether to only cut the crops here; see :class:`MakeViews`.
        backend_args: Arguments of mmengine's file backend. By default the prefix of the path decides.
        max_pixels: Bound on pixels and bytes of a file, see :class:`LoadRGB`.

    Raises:
        BrokenImageError: If the file cannot be read or decoded, ends too early, or is too large.
        ValueError: If there is no view, or a value is outside its range.
    """

    def __init__(
        self,
        views: Sequence[dict],
        num_views: int | Sequence[int] = 1,
        on_device: bool = False,
        backend_args: dict | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(backend_args, max_pixels=max_pixels)
        self.make_views = MakeViews(views, num_views, on_device)

    def transform(self, results: dict) -> dict:
        """Add ``img``, a list of views, ``img_shape`` and ``ori_shape`` to ``results``."""
        if 'img' in results:
            results['img'] = to_bgr(results['img'])
            results['ori_shape'] = results['img'].shape[:2]
            return self.make_views(results)
        with naming_broken_image(results['img_path']):
            data = self._read(results['img_path'])
            results['img'], results['ori_shape'], parameters = self._decode(data)
        return self.make_views.make(results, parameters)

    def _decode(self, data: bytes) -> tuple[np.ndarray, tuple[int, int], list[ViewParameters]]:
        """Return the image, reduced or not, its full height and width, and the parameters of its views."""
        header = read_jpeg_header(data) if is_jpeg(data) else None
        if header is None or header.channels == 4:
            image = decode_bgr(data, self.max_pixels)
            return image, image.shape[:2], self.make_views.draw(*image.shape[:2])
        size = header.height, header.width
        parameters = self.make_views.draw(*size)
        least = least_reduction(header, self.max_pixels)
        reduction = max(least, self._reduction(parameters))
        image = decode_jpeg(data, header, reduction, self.max_pixels)
        if image.shape[:2] != tuple(-(-side // reduction) for side in size):
            # The decoder reads a damaged EXIF segment differently from :func:`read_jpeg_header`.
            image = decode_jpeg(data, header, least, self.max_pixels)
            return image, image.shape[:2], self.make_views.draw(*image.shape[:2])
        if reduction > 1:
            parameters = [view._replace(box=_reduced_box(view.box, reduction, image.shape)) for view in parameters]
        return image, size, parameters

    def _reduction(self, parameters: Sequence[ViewParameters]) -> int:
        pixels = min(min(view.box[2:]) // scheme.size for scheme, view in zip(self.make_views.schemes, parameters))
        return max(r for r in (1, 2, 4, 8) if r == 1 or pixels >= _GAP * r)


def _reduced_box(box: tuple[int, int, int, int], reduction: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    left, top, w, h = (round(side / reduction) for side in box)
    return left, top, min(w, shape[1] - left), min(h, shape[0] - top)
