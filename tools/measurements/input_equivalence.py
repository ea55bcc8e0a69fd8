"""Test whether views are distributed like those of torchvision, by two-sample Kolmogorov-Smirnov tests of statistics.

The reference consists of BYOL's two views by torchvision on Pillow images. It is compared with LoadViews and with
LoadViews and BatchViews (`on_device`). As controls of the tests, it is also compared with torchvision under another
seed, where no difference is expected, and with three slightly different schemes, where one is. Two more columns have
separate references by torchvision: views of 20 px, so small that LoadViews decodes the files at 1/2 or 1/4, and BYOL's
views of images of 32 px, which BatchViews makes from decoded images. Every photograph contributes the same number of
views to each column. A p-value counts as a difference if it is below 0.01 over the number of tests of its column
(Bonferroni). Colors, brightness, contrast, saturation and blur (the mean absolute Laplacian of the luma) are measured
on the views, crops on the drawn boxes.

python tools/measurements/input_equivalence.py --out docs/results/input_equivalence.json
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import default_collate
from mmpretrain.datasets import PackInputs
from PIL import Image
from torchvision import transforms as TV

sys.path.insert(0, str(Path(__file__).parent))
from input_speed import schemes, write_photographs

from lewel_plugins.models import BatchViews
from lewel_plugins.running import provenance
from lewel_plugins.transforms import LoadRGB, LoadViews, ViewScheme

# Sharp views, because a blur would hide effects of the decoder.
REDUCED = [dict(size=20)]
SMALL = [dict(size=32, blur=1.0), dict(size=32, blur=0.1, solarize=0.2)]
STATISTICS = ('red', 'green', 'blue', 'brightness', 'contrast', 'saturation', 'blur')
CROPS = ('area', 'aspect ratio', 'center x', 'center y')
Views = Iterator[np.ndarray]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Distributions of views against torchvision.')
    parser.add_argument('--views', type=int, default=20000, help='views per pipeline (default: 20000)')
    parser.add_argument('--images', type=int, default=40, help='photographs to make them from (default: 40)')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def torchvisions(scheme: ViewScheme) -> Callable[[Image.Image], Image.Image]:
    """Return the scheme as transforms of torchvision, in the order of the papers."""
    jitter = TV.ColorJitter(scheme.brightness, scheme.contrast, scheme.saturation, scheme.hue)
    mode = TV.InterpolationMode(scheme.interpolation)
    return TV.Compose(
        [
            TV.RandomResizedCrop(scheme.size, scheme.crop_scale, scheme.crop_ratio, mode),
            TV.RandomHorizontalFlip(scheme.flip),
            TV.RandomApply([jitter], scheme.jitter),
            TV.RandomGrayscale(scheme.gray),
            TV.RandomApply([TV.GaussianBlur(23, scheme.blur_sigma)], scheme.blur),
            TV.RandomSolarize(128, scheme.solarize),
        ]
    )


def make_torchvisions(paths: list[str], views: list[dict], rounds: int) -> Views:
    transforms = [torchvisions(ViewScheme(**view)) for view in views]
    for path in paths:
        with Image.open(path) as file:
            image = file.convert('RGB')
        for _ in range(rounds):
            yield from (np.asarray(transform(image)) for transform in transforms)


def make_ours(paths: list[str], views: list[dict], rounds: int) -> Views:
    transform = LoadViews(views)
    for path in paths:
        for _ in range(rounds):
            yield from (view[..., ::-1] for view in transform(dict(img_path=path))['img'])


def make_on_device(paths: list[str], views: list[dict], rounds: int) -> Views:
    transform, pack = LoadViews(views, on_device=True), PackInputs()
    finish = BatchViews(mean=(0, 0, 0), std=(1, 1, 1))
    for path in paths:
        for start in range(0, rounds, 16):
            batch = [pack(transform(dict(img_path=path))) for _ in range(min(16, rounds - start))]
            for view in finish(default_collate(batch), training=True)['inputs']:
                yield from view.round().byte().permute(0, 2, 3, 1).numpy()


def make_on_batches(paths: list[str], views: list[dict], rounds: int) -> Views:
    load, make = LoadRGB(), BatchViews(views=views, mean=(0, 0, 0), std=(1, 1, 1))
    images = torch.stack([torch.from_numpy(load(dict(img_path=path))['img']).permute(2, 0, 1) for path in paths])
    for _ in range(rounds):
        for view in make(dict(inputs=images), training=True)['inputs']:
            yield from view.round().byte().permute(0, 2, 3, 1).numpy()


def write_small(paths: list[str], folder: Path) -> list[str]:
    """Write the middle of each photograph as a PNG of 32 × 32 pixels."""
    load, names = LoadRGB(), []
    for path in paths:
        image = load(dict(img_path=path))['img']
        height, width = image.shape[:2]
        left = (width - height) // 2
        names.append(str(folder / f'{Path(path).stem}.png'))
        cv2.imwrite(names[-1], cv2.resize(image[:, left : left + height], (32, 32), interpolation=cv2.INTER_AREA))
    return names


def statistics(view: np.ndarray) -> list[float]:
    """Return :data:`STATISTICS` of an 8-bit RGB image."""
    view = np.ascontiguousarray(view)
    luma = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(luma)
    red, green, blue = cv2.split(view)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    laplacian = cv2.Laplacian(luma, cv2.CV_16S)
    colors = cv2.mean(view)[:3]
    blur = np.abs(laplacian).mean()
    return [*colors, mean[0, 0], deviation[0, 0], cv2.mean(cv2.subtract(high, low))[0], float(blur)]


def seed(value: int) -> None:
    random.seed(value)
    torch.manual_seed(value)


def measure(views: Views) -> np.ndarray:
    """Return all statistics, (number of statistics, number of views)."""
    return np.array([statistics(view) for view in views]).T


def draw_crops(count: int, height: int = 375, width: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Return :data:`CROPS` of boxes by torchvision and by us, (4, count) each."""
    image, scheme = torch.empty(3, height, width), ViewScheme(224, crop_scale=(0.08, 1.0))
    theirs_drawn = [TV.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    boxes = (
        np.array([(left, top, w, h) for top, left, h, w in theirs_drawn], float),
        np.array([scheme.draw(height, width).box for _ in range(count)], float),
    )
    theirs, ours = (np.stack([w * h, w / h, left + w / 2, top + h / 2]) for left, top, w, h in (box.T for box in boxes))
    return theirs, ours


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the largest distance between the distribution functions of two samples, and its asymptotic p-value."""
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    distances = np.searchsorted(a, both, 'right') / len(a) - np.searchsorted(b, both, 'right') / len(b)
    distance = float(np.abs(distances).max())
    scaled = distance * np.sqrt(len(a) * len(b) / (len(a) + len(b)))
    if scaled < 0.2:
        return distance, 1.0  # the series would need many terms, and is 1 to twelve digits
    k = np.arange(1, 101)
    return distance, float(np.clip(2 * ((-1.0) ** (k - 1) * np.exp(-2 * k**2 * scaled**2)).sum(), 0, 1))


def compare(paths: list[str], count: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the distance and the p-value of each statistic for each column, compared with torchvision."""
    views, _ = schemes('BYOL')
    rounds = -(-count // (len(views) * len(paths)))
    seed(0)
    reference = measure(make_torchvisions(paths, views, rounds))
    columns: dict[str, Callable[[], Views]] = {
        'LoadViews': lambda: make_ours(paths, views, rounds),
        'on the device': lambda: make_on_device(paths, views, rounds),
        'torchvision, other seed': lambda: make_torchvisions(paths, views, rounds),
        'control: brightness 0.5': lambda: make_ours(paths, [dict(v, brightness=0.5) for v in views], rounds),
        'control: hue 0.15': lambda: make_ours(paths, [dict(v, hue=0.15) for v in views], rounds),
        'control: blur up to 2.2': lambda: make_ours(paths, [dict(v, blur_sigma=(0.1, 2.2)) for v in views], rounds),
    }
    small = write_small(paths, Path(paths[0]).parent)
    own_references = {
        'LoadViews, reduced decoding': lambda: make_torchvisions(paths, REDUCED, 2 * rounds),
        'BatchViews, 32 px': lambda: make_torchvisions(small, SMALL, rounds),
    }
    columns['LoadViews, reduced decoding'] = lambda: make_ours(paths, REDUCED, 2 * rounds)
    columns['BatchViews, 32 px'] = lambda: make_on_batches(small, SMALL, rounds)
    results = {}
    for i, (name, make) in enumerate(columns.items()):
        if name in own_references:
            seed(0)
            reference = measure(own_references[name]())
        seed(1 + i)
        values = measure(make())
        results[name] = {s: kolmogorov_smirnov(a, b) for s, a, b in zip(STATISTICS, reference, values)}
        print(name, '\n', *(f'   {s}: D {d:.4f}, p {p:.3g}\n' for s, (d, p) in results[name].items()), flush=True)
    seed(0)
    crops = zip(CROPS, *draw_crops(count))
    results['LoadViews'].update({name: kolmogorov_smirnov(a, b) for name, a, b in crops})
    return results


def differs(column: dict[str, tuple[float, float]]) -> list[str]:
    """Return the statistics whose p-value counts as a difference."""
    return [name for name, (_, p) in column.items() if p < 0.01 / len(column)]


def markdown(results: dict, count: int, origin: dict) -> str:
    lines = ['# Views against torchvision', '', f'{count} views per column. D, and p in brackets, of every test.', '']
    lines += ['| | ' + ' | '.join(results) + ' |', '|---' * (len(results) + 1) + '|']
    for name in (*STATISTICS, *CROPS):
        cells = [f'{c[name][0]:.4f} ({c[name][1]:.2g})' if name in c else '' for c in results.values()]
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    lines.append('| **found** | ' + ' | '.join(', '.join(differs(c)) or 'nothing' for c in results.values()) + ' |')
    lines += ['', ' '.join(__doc__.split('\n\n')[1].split())]
    return '\n'.join([*lines, '', *(f'- {key}: {value}' for key, value in origin.items())]) + '\n'


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        write_photographs(Path(scratch), args.images, quality=90)
        results = compare([str(path) for path in sorted(Path(scratch).glob('*.jpg'))], args.views)
    origin = dict(provenance.record(), seeds='0 for torchvision, 1 to 8 for the columns')
    text = markdown(results, args.views, origin)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(**origin, views=args.views, results=results), indent=2) + '\n')
        args.out.with_suffix('.md').write_text(text)


if __name__ == '__main__':
    main()
