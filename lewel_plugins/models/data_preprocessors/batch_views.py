from collections.abc import Sequence

import torch
from mmpretrain.models.utils import SelfSupDataPreprocessor
from torch import Tensor

from lewel_plugins.registry import MODELS
from lewel_plugins.transforms import batched as T

_PROBABILITIES = ('flip', 'jitter', 'gray', 'blur', 'solarize')


class View:
    """One scheme of augmentation: crop, flip, colour jitter, grey, blur, solarisation. See :class:`BatchViews`."""

    def __init__(
        self,
        size: int,
        crop_scale: tuple[float, float] = (0.2, 1.0),
        crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        jitter: float = 0.8,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        gray: float = 0.2,
        blur: float = 0.0,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        solarize: float = 0.0,
    ) -> None:
        self.size, self.crop_scale, self.crop_ratio = size, tuple(crop_scale), tuple(crop_ratio)
        self.flip, self.jitter, self.gray, self.blur, self.solarize = flip, jitter, gray, blur, solarize
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.blur_sigma = tuple(blur_sigma)
        # BYOL's 23 taps at 224 px, scaled.
        self.blur_taps = max(3, size // 10 | 1)
        if size < 1:
            raise ValueError(f'view size must be at least 1 pixel, got {size}')
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} is a probability and must be in [0, 1], got {getattr(self, name)}')
        for name, (low, high) in (('crop_scale', self.crop_scale), ('crop_ratio', self.crop_ratio)):
            if not 0 < low <= high:
                raise ValueError(f'{name} must be (low, high) with 0 < low <= high, got {(low, high)}')
        if self.crop_scale[1] > 1:
            raise ValueError(f'crop_scale is a share of the area and must end at 1 or below, got {self.crop_scale}')
        if not 0 <= hue <= 0.5:
            raise ValueError(f'hue is a share of the colour circle and must be in [0, 0.5], got {hue}')

    def __call__(self, x: Tensor) -> Tensor:
        """Make a view of every image: (N, 3, H, W) in [0, 1] → (N, 3, size, size) in [0, 1]."""
        N, device = len(x), x.device
        boxes = T.random_crop_boxes(N, x.shape[2], x.shape[3], self.crop_scale, self.crop_ratio, device)  # type: ignore[arg-type]
        x = T.resized_crop(x, boxes, self._chance(self.flip, N, device), self.size)
        x = self._jitter(x)
        x = torch.where(self._chance(self.gray, N, device).view(-1, 1, 1, 1), T.rgb_to_grayscale(x), x)
        if self.blur:
            low, high = self.blur_sigma
            sigma = low + (high - low) * torch.rand(N, device=device)
            x = T.gaussian_blur(x, sigma * self._chance(self.blur, N, device), self.blur_taps)
        if self.solarize:
            x = T.solarize(x, self._chance(self.solarize, N, device), 0.5)
        return x

    @staticmethod
    def _chance(probability: float, count: int, device: torch.device) -> Tensor:
        return torch.rand(count, device=device) < probability

    def _jitter(self, x: Tensor) -> Tensor:
        N, device = len(x), x.device
        apply = self._chance(self.jitter, N, device).to(x.dtype)

        def around(centre: float, width: float) -> Tensor:
            low = max(0.0, centre - width) if centre else -width
            offset = low - centre + (centre + width - low) * torch.rand(N, device=device)
            return centre + apply * offset

        operations = [
            (T.adjust_brightness, around(1, self.brightness)),
            (T.adjust_contrast, around(1, self.contrast)),
            (T.adjust_saturation, around(1, self.saturation)),
            (T.adjust_hue, around(0, self.hue)),
        ]
        # The order is random as in torchvision, drawn once a batch; on the CPU, since Python needs it.
        for i in torch.randperm(4).tolist():
            function, parameter = operations[i]
            x = function(x, parameter)
        return x


@MODELS.register_module()
class BatchViews(SelfSupDataPreprocessor):
    """Make the views of a batch on the device, every image with parameters of its own.

    For small images (32 to 96 px), where a Python pipeline an image costs more than the network. In training the
    dataset delivers one decoded image (N, 3, H, W) uint8, all of one size, and every entry of ``views`` makes a view
    of it; otherwise images are normalised only. Draws come from torch's generator.

    Args:
        views: One dict a view, with the arguments of :class:`View`: ``size``, ``crop_scale``, ``crop_ratio``,
            probabilities ``flip``, ``jitter``, ``gray``, ``blur``, ``solarize``, strengths ``brightness``,
            ``contrast``, ``saturation``, ``hue``, and ``blur_sigma`` in pixels. The defaults are BYOL's but for blur
            and solarisation, which are off.
        mean: Channel means on the scale 0–255.
        std: Channel standard deviations on that scale.
        to_rgb: Whether the dataset delivers BGR.

    Raises:
        ValueError: No view, or a value outside its range.
    """

    def __init__(
        self,
        views: Sequence[dict],
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        to_rgb: bool = True,
    ) -> None:
        super().__init__(mean=mean, std=std, to_rgb=to_rgb)
        if not views:
            raise ValueError('views must name at least one view, got none')
        self.views = [View(**view) for view in views]

    @torch.no_grad()
    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch.

        Args:
            data: ``inputs`` (N, 3, H, W) uint8, and ``data_samples``.
            training: Whether to make views.

        Returns:
            ``inputs``: a list of K views (N, 3, size, size), or the normalised images; ``data_samples``.
        """
        if not training:
            return super().forward(data, training)
        data = self.cast_data(data)
        x = data['inputs']
        if not isinstance(x, Tensor) or x.dim() != 4:
            raise ValueError(
                'BatchViews makes the views itself and takes one image tensor (N, 3, H, W) a batch, got '
                f'{type(x).__name__}: use a pipeline without MultiView, images of one size, and default_collate'
            )
        if self._channel_conversion:
            x = x.flip(1)
        x = x.float() / 255
        # channels_last convolutions are faster on CPUs and GPUs alike, and LEWEL's per-pixel view is then free.
        views = [
            ((255 * view(x) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
            for view in self.views
        ]
        return dict(inputs=views, data_samples=data.get('data_samples'))
