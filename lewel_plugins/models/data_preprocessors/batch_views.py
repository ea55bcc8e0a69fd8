from collections.abc import Sequence

import torch
from mmpretrain.models.utils import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from lewel_plugins.registry import MODELS
from lewel_plugins.transforms.ops import batch as T
from lewel_plugins.transforms.ops.image import blur_radius
from lewel_plugins.transforms.view_scheme import ViewScheme, check_blur_fits


class _View:
    """Applies a :class:`ViewScheme` to a batch. Crops are bilinear without anti-aliasing, which suits small images."""

    def __init__(self, scheme: ViewScheme) -> None:
        if scheme.interpolation != 'bilinear':
            raise ValueError(f"BatchViews supports interpolation='bilinear' only, got {scheme.interpolation!r}")
        self.scheme = scheme
        radius = blur_radius(scheme.blur_sigma[1]) if scheme.blur else 0
        check_blur_fits(radius, scheme.size)
        self.blur_taps = 2 * radius + 1

    def __call__(self, x: Tensor) -> Tensor:
        """Make a view of every image: (N, 3, H, W) in [0, 1] → (N, 3, size, size) in [0, 1]."""
        scheme, N, device = self.scheme, len(x), x.device
        boxes = T.random_crop_boxes(N, x.shape[2], x.shape[3], scheme.crop_scale, scheme.crop_ratio, device)
        x = T.resized_crop(x, boxes, self._chance(scheme.flip, N, device), scheme.size)
        x = self._jitter(x)
        x = torch.where(self._chance(scheme.gray, N, device).view(-1, 1, 1, 1), T.rgb_to_grayscale(x), x)
        if scheme.blur:
            low, high = scheme.blur_sigma
            sigma = low + (high - low) * torch.rand(N, device=device)
            x = T.gaussian_blur(x, sigma * self._chance(scheme.blur, N, device), self.blur_taps)
        if scheme.solarize:
            x = T.solarize(x, self._chance(scheme.solarize, N, device), 0.5)
        return x

    @staticmethod
    def _chance(probability: float, count: int, device: torch.device) -> Tensor:
        return torch.rand(count, device=device) < probability

    def _jitter(self, x: Tensor) -> Tensor:
        N, device = len(x), x.device
        apply = self._chance(self.scheme.jitter, N, device).to(x.dtype)

        def around(center: float, width: float) -> Tensor:
            low = max(0.0, center - width) if center else -width
            offset = low - center + (center + width - low) * torch.rand(N, device=device)
            return center + apply * offset

        operations = [
            (T.adjust_brightness, around(1, self.scheme.brightness)),
            (T.adjust_contrast, around(1, self.scheme.contrast)),
            (T.adjust_saturation, around(1, self.scheme.saturation)),
            (T.adjust_hue, around(0, self.scheme.hue)),
        ]
        # The order is random as in torchvision, but drawn once per batch, and on the CPU because Python loops over it.
        for i in torch.randperm(4).tolist():
            function, parameter = operations[i]
            x = function(x, parameter)
        return x


@MODELS.register_module()
class BatchViews(SelfSupDataPreprocessor):
    """Make the views of a batch on the device, or finish the views of the pipeline, and normalize them.

    Set ``views`` for small images (32 to 96 px), whose pipeline would take longer than the network. The dataset then
    delivers decoded images (N, 3, H, W) uint8 of one size. In training, every entry of ``views`` makes one view of each
    image, with parameters drawn for each image from torch's generator.

    Without ``views``, the pipeline makes the views. It delivers either finished views of :class:`LoadViews`,
    :class:`MakeViews` or mmpretrain's ``MultiView``, or, with ``on_device=True`` in the pipeline, crops together with
    the parameters of the remaining operations.

    Args:
        views: One dict per view, with the arguments of :class:`ViewScheme`.
        mean: Channel means on the scale 0–255.
        std: Channel standard deviations on the same scale.
        to_rgb: Whether to convert to RGB, because the dataset delivers BGR.

    Raises:
        ValueError: If a value is outside its range.
    """

    def __init__(
        self,
        views: Sequence[dict] = (),
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        to_rgb: bool = True,
    ) -> None:
        super().__init__(mean=mean, std=std, to_rgb=to_rgb, non_blocking=True)
        self.views = [_View(ViewScheme(**view)) for view in views]

    @torch.compiler.disable  # it would be recompiled for every order of the color jitter
    @torch.no_grad()
    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch.

        Args:
            data: A dict of ``inputs`` and ``data_samples``. With ``views``, ``inputs`` are images (N, 3, H, W) uint8.
                Without ``views``, they are a list of K views (N, 3, size, size) uint8, which ends with parameters
                (N, K, P) if the views are unfinished.
            training: Whether to make views.

        Returns:
            A dict of ``inputs`` and ``data_samples``. ``inputs`` are a list of K views (N, 3, size, size) if
            ``training``, otherwise the normalized images.

        Raises:
            ValueError: If ``inputs`` are images where views are expected, or the reverse.
        """
        if not training:
            return super().forward({**data, 'data_samples': self._move_samples(data.get('data_samples'))}, training)
        self._check(data['inputs'])
        images = self.cast_data(data['inputs'])
        views = self._make(images) if self.views else self._finish(images)
        # Convolutions are faster in channels_last, on CPUs and GPUs alike, and LEWEL's per-pixel view is then free.
        inputs = [((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last) for x in views]
        return dict(inputs=inputs, data_samples=self._move_samples(data.get('data_samples')))

    def _move_samples(self, samples: list[DataSample] | None) -> list[DataSample] | None:
        """Move the samples to the device, with one copy for all labels instead of one per sample."""
        if not samples or self.device.type == 'cpu':
            return samples
        if any(sample.keys() != ['gt_label'] for sample in samples):
            return self.cast_data(samples)
        labels = [sample.gt_label for sample in samples]
        moved = self.cast_data(torch.cat(labels)).split([len(label) for label in labels])
        for sample, label in zip(samples, moved):
            sample.set_field(label, 'gt_label')
        return samples

    def _check(self, inputs: object) -> None:
        is_batch = isinstance(inputs, Tensor) and inputs.dim() == 4
        if self.views and not is_batch:
            raise ValueError(
                'BatchViews makes the views itself and expects one image tensor (N, 3, H, W) per batch, got '
                f'{type(inputs).__name__}: use a pipeline without MultiView, images of one size, and default_collate'
            )
        if not self.views and not isinstance(inputs, (list, tuple)):
            raise ValueError(
                'BatchViews without views expects a list of views from the pipeline, got '
                f'{type(inputs).__name__}: set views, or use LoadViews in the pipeline'
            )

    def _make(self, images: Tensor) -> list[Tensor]:
        x = self._to_rgb(images) / 255
        return [255 * view(x) for view in self.views]

    def _finish(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        if inputs[-1].dim() == 4:
            return [self._to_rgb(x) for x in inputs]
        *crops, parameters = inputs
        return [255 * T.finish_views(self._to_rgb(x) / 255, rows) for x, rows in zip(crops, parameters.unbind(1))]

    def _to_rgb(self, x: Tensor) -> Tensor:
        """Convert uint8 in the dataset's channel order to float RGB."""
        return (x.flip(1) if self._channel_conversion else x).float()
