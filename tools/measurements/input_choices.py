"""Which library makes which operation of the input path fastest, and how much the results differ.

Every operation runs in one thread. Its ways alternate image by image, and the table shows the median processor time per
image. ``largest difference``, of 255, is that from the first way of the operation, torchvision's definition, on Pillow
images. For the jitter it is that on float tensors, because Pillow's hue has 8 bits. There is none where parameters
cannot be set. The last two operations process batches of 32 views, with separate draws and a time per image. Libraries
that are missing are left out. ``pip install simplejpeg PyTurboJPEG albumentations kornia`` installs all of them.

python tools/measurements/input_choices.py --out docs/results/input_choices.json
"""

import argparse
import contextlib
import importlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torchvision
from input_speed import schemes, write_photographs
from PIL import Image
from steps.report import Report
from torch import Tensor
from torchvision.transforms import functional as TF
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF2

from lewel_plugins.image_files.decode import decode_bgr
from lewel_plugins.models import BatchViews
from lewel_plugins.transforms import ViewScheme
from lewel_plugins.transforms.ops import batch as batch_ops
from lewel_plugins.transforms.ops import image as image_ops

SIZE = 224
JITTER = (('brightness', 1.2), ('contrast', 0.8), ('saturation', 1.1), ('hue', 0.05))
SIGMA = 1.0
TAPS = 23  # length of BYOL's kernel at 224 px
BATCH = 32


class Way(NamedTuple):
    """How one library performs an operation."""

    prepare: Callable[[Any], Any]
    """Converts the input of the operation for the library; not timed."""
    run: Callable[[Any], Any]
    read: Callable[[Any], np.ndarray] | None = None
    """Converts the result to RGB (H, W, 3) uint8; None where results cannot be compared."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Operations of the input path, by library.')
    parser.add_argument('--images', type=int, default=40, help='photographs (default: 40)')
    parser.add_argument('--repeats', type=int, default=5, help='rounds over them, after one warm-up (default: 5)')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def from_bgr(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1]


def from_planes(planes: np.ndarray) -> np.ndarray:
    return planes[::-1].transpose(1, 2, 0)


def from_tensor(x: Tensor) -> np.ndarray:
    return x.permute(1, 2, 0).numpy()


def to_planes(rgb: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rgb[..., ::-1].transpose(2, 0, 1))


def to_tensor(rgb: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))


def to_bgr(rgb: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rgb[..., ::-1])


def in_place(function: Callable[[np.ndarray], None]) -> Callable[[np.ndarray], np.ndarray]:
    """Apply a function that changes its argument to a copy, which is timed, too."""

    def run(planes: np.ndarray) -> np.ndarray:
        planes = planes.copy()
        function(planes)
        return planes

    return run


def decoders() -> dict[str, Way]:
    """Decode the contents of JPEG files to arrays."""

    def pillow(data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert('RGB'))

    ways = {
        'Pillow': Way(bytes, pillow, np.asarray),
        'ours (OpenCV, checked for its end)': Way(bytes, decode_bgr, from_bgr),
        'OpenCV': Way(
            lambda data: np.frombuffer(data, np.uint8), lambda x: cv2.imdecode(x, cv2.IMREAD_COLOR), from_bgr
        ),
        'torchvision': Way(
            lambda data: torch.frombuffer(bytearray(data), dtype=torch.uint8), torchvision.io.decode_jpeg, from_tensor
        ),
    }
    if simplejpeg := optional('simplejpeg'):
        ways['simplejpeg (libjpeg-turbo)'] = Way(bytes, lambda data: simplejpeg.decode_jpeg(data, 'BGR'), from_bgr)
    if turbojpeg := optional('turbojpeg'):
        with contextlib.suppress(RuntimeError):  # PyTurboJPEG needs a system library
            ways['PyTurboJPEG'] = Way(bytes, turbojpeg.TurboJPEG().decode, from_bgr)
    return ways


def crops(box: tuple[int, int, int, int]) -> dict[str, Way]:
    """Cut out a random box of a decoded image and resize it to 224 × 224, bilinearly."""
    left, top, w, h = box
    where = (top, left, h, w, [SIZE, SIZE])

    def opencv(flag: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda bgr: cv2.resize(bgr[top : top + h, left : left + w], (SIZE, SIZE), interpolation=flag)

    return {
        'Pillow': Way(Image.fromarray, lambda x: TF.resized_crop(x, *where), np.asarray),
        'ours': Way(to_bgr, lambda bgr: image_ops.resized_crop(bgr, box, SIZE, 'bilinear'), from_planes),
        'torchvision, tensors': Way(to_tensor, lambda x: TF2.resized_crop(x, *where, antialias=True), from_tensor),
        'OpenCV, areas': Way(to_bgr, opencv(cv2.INTER_AREA), from_bgr),
        'OpenCV, not anti-aliased': Way(to_bgr, opencv(cv2.INTER_LINEAR), from_bgr),
    }


def jitters() -> dict[str, Way]:
    """Adjust brightness, contrast, saturation and hue of a crop."""

    def torchvisions(functional: Any) -> Callable:
        def run(x: Any) -> Any:
            for name, value in JITTER:
                x = getattr(functional, f'adjust_{name}')(x, value)
            return x

        return run

    def rounded(x: Tensor) -> np.ndarray:
        return from_tensor((255 * x).round().byte())

    ways = {
        'torchvision, float tensors': Way(lambda x: to_tensor(x) / 255, torchvisions(TF2), rounded),
        'Pillow': Way(Image.fromarray, torchvisions(TF), np.asarray),
        'ours': Way(to_planes, in_place(lambda planes: image_ops.adjust_colors(planes, JITTER)), from_planes),
        'torchvision, tensors': Way(to_tensor, torchvisions(TF2), from_tensor),
    }
    if albumentations := optional('albumentations'):
        # Its operations run in random order, and its hue is an offset in OpenCV's degrees.
        factors = {name: (value, value) for name, value in JITTER}
        jitter = albumentations.ColorJitter(**factors, p=1)
        ways['albumentations (OpenCV)'] = Way(np.asarray, lambda x: jitter(image=x)['image'])
    return ways


def blurs() -> dict[str, Way]:
    """Blur a crop with a Gaussian. On Pillow images torchvision converts to tensors."""
    taps = [TAPS, TAPS]
    return {
        'Pillow': Way(Image.fromarray, lambda x: TF.gaussian_blur(x, taps, [SIGMA, SIGMA]), np.asarray),
        'ours': Way(to_planes, in_place(lambda planes: image_ops.gaussian_blur(planes, SIGMA)), from_planes),
        'torchvision, tensors': Way(to_tensor, lambda x: TF2.gaussian_blur(x, taps, [SIGMA, SIGMA]), from_tensor),
        'OpenCV': Way(
            to_bgr,
            lambda x: cv2.GaussianBlur(x, (TAPS, TAPS), SIGMA, borderType=cv2.BORDER_REFLECT_101),
            from_bgr,
        ),
    }


def finishing(scheme: ViewScheme) -> dict[str, Way]:
    """Apply all operations that follow the crops of a batch at 224 px, on the device."""
    radius = image_ops.blur_radius(scheme.blur_sigma[1])
    rows = torch.tensor([batch_ops.parameter_row(scheme.draw(SIZE, SIZE), radius) for _ in range(BATCH)])
    single = v2.Compose(
        [
            v2.RandomHorizontalFlip(scheme.flip),
            v2.RandomApply([v2.ColorJitter(*strengths(scheme))], scheme.jitter),
            v2.RandomGrayscale(scheme.gray),
            v2.RandomApply([v2.GaussianBlur(TAPS, scheme.blur_sigma)], scheme.blur),
            v2.RandomSolarize(0.5, scheme.solarize),
        ]
    )
    ways = {
        'ours': Way(torch.Tensor.clone, lambda x: batch_ops.finish_views(x, rows)),
        'torchvision, image by image': Way(torch.Tensor.clone, lambda x: torch.stack([single(image) for image in x])),
    }
    if kornia := optional('kornia.augmentation'):
        ways['kornia'] = Way(
            torch.Tensor.clone, torch.no_grad()(kornia.AugmentationSequential(*kornias(kornia, scheme, TAPS)))
        )
    return ways


def strengths(scheme: ViewScheme) -> tuple[float, ...]:
    return scheme.brightness, scheme.contrast, scheme.saturation, scheme.hue


def kornias(kornia: Any, scheme: ViewScheme, taps: int) -> list[Any]:
    return [
        kornia.RandomHorizontalFlip(p=scheme.flip),
        kornia.ColorJitter(*strengths(scheme), p=scheme.jitter),
        kornia.RandomGrayscale(p=scheme.gray),
        kornia.RandomGaussianBlur((taps, taps), scheme.blur_sigma, p=scheme.blur),
        kornia.RandomSolarize(0.5, 0.0, p=scheme.solarize),
    ]


def small_views(size: int = 32) -> dict[str, Way]:
    """Make a whole view of a batch of small images, including the crop, on the device."""
    scheme = ViewScheme(size)
    views = BatchViews(views=[dict(size=size)], mean=[0.0] * 3, std=[1.0] * 3)
    ways = {'ours': Way(torch.Tensor.byte, lambda x: views(dict(inputs=x), True))}
    if kornia := optional('kornia.augmentation'):
        crop = kornia.RandomResizedCrop((size, size), scheme.crop_scale, cropping_mode='resample')
        sequence = kornia.AugmentationSequential(crop, *kornias(kornia, scheme, 3)[:3])
        ways['kornia'] = Way(torch.Tensor.byte, torch.no_grad()(lambda x: sequence(x.flip(1).float() / 255)))
    return ways


def measure(ways: dict[str, Way], inputs: list[Any], repeats: int, images: int = 1) -> list[dict[str, Any]]:
    """Return for each way its median microseconds per image, their ratio to ours, and its largest difference.

    The difference is that from the first way.
    """
    times: dict[str, list[float]] = {who: [] for who in ways}
    differences: dict[str, list[int]] = {who: [] for who in ways}
    for i in range(repeats + 1):
        for x in inputs:
            reference = None
            for who, way in ways.items():
                prepared = way.prepare(x)
                start = time.process_time()
                result = way.run(prepared)
                duration = time.process_time() - start
                if i:
                    times[who].append(duration * 1e6 / images)
                elif way.read:
                    pixels = way.read(result).astype(int)
                    reference = pixels if reference is None else reference
                    differences[who].append(int(np.abs(pixels - reference).max()))
    ours = median(next(durations for who, durations in times.items() if who.startswith('ours')))
    rows = []
    for who in ways:
        microseconds, off = median(times[who]), max(differences[who], default=None)
        rows.append(dict(by=who, microseconds=microseconds, ratio=microseconds / ours, difference=off))
    return rows


def operations(images: int) -> dict[str, tuple[dict[str, Way], list[Any], int]]:
    """Return for each operation its ways, their inputs, and the number of images per input."""
    byol = ViewScheme(**schemes('BYOL')[0][0])
    box = byol.draw(375, 500).box
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_photographs(folder, images, quality=90)
        files = [path.read_bytes() for path in sorted(folder.glob('*.jpg'))]
    photographs = [from_bgr(decode_bgr(data)) for data in files]
    views = [from_planes(image_ops.resized_crop(to_bgr(image), box, SIZE, 'bilinear')) for image in photographs]
    batch = torch.stack([to_tensor(views[i % len(views)]) for i in range(BATCH)]) / 255
    small = torch.randint(0, 256, (BATCH, 3, 32, 32)).float()
    return {
        'decode 500 × 375': (decoders(), files, 1),
        f'crop {box[2]} × {box[3]} to {SIZE}': (crops(box), photographs, 1),
        'color jitter': (jitters(), views, 1),
        f'blur, σ = {SIGMA}': (blurs(), views, 1),
        f'batch of crops at {SIZE} px': (finishing(byol), [batch], BATCH),
        'batch of images of 32 px': (small_views(), [small], BATCH),
    }


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    image_ops.prepare()
    columns = ('operation', 'by', 'µs per image', 'over ours', 'largest difference')
    report = Report('Operations of the input path, by library', *columns)
    for name, (ways, inputs, images) in operations(args.images).items():
        for row in measure(ways, inputs, args.repeats, images):
            off = '–' if row['difference'] is None else row['difference']
            report.add(
                dict(operation=name, **row), name, row['by'], f'{row["microseconds"]:.0f}', f'{row["ratio"]:.2f}', off
            )
    legend = (__doc__ or '').split('\n\n', 2)[1].replace('``', '`')
    report.write(args.out, legend)


if __name__ == '__main__':
    main()
