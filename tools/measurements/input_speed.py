"""Views per second and core, beside mmpretrain, lightly, stable-pretraining, torchvision, and a floor.

The floor is the work that every pipeline must do: OpenCV decodes the file once and makes the same number of random
resized crops, bilinear and without anti-aliasing, with no further operation. All pipelines run on the same files, each
in a worker of a DataLoader with one thread, in alternation. The table shows the median over rounds of the views per
processor time. ``--workers`` adds the rates of whole DataLoaders in wall-clock time, and ``--profile`` where the time
of ours goes, in microseconds per image. Columns of packages that are missing are left out. torchvision is its v2
transforms on tensors, after its own decoder.

The files are cut out of photographs of scikit-image, unless ``--files`` names a folder. ``--mosaic N`` tiles N × N of
them, which gives large photographs with the detail of small ones.

python tools/measurements/input_speed.py --out docs/results/input_speed.json
"""

import argparse
import importlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import cv2
import mmpretrain
import numpy as np
import torch
import torchvision
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.io import ImageReadMode
from torchvision.transforms import v2

from lewel_plugins.datasets import ImageTree, PretrainDataset
from lewel_plugins.datasets.garment_scenes.sources import load_photographs
from lewel_plugins.datasets.pretrain_dataset import SampleId
from lewel_plugins.image_files.headers import read_jpeg_header
from lewel_plugins.image_files.tree import list_images
from lewel_plugins.running import provenance
from lewel_plugins.transforms import ViewScheme, load_views
from lewel_plugins.transforms.ops import image as image_ops

ROOT = Path(__file__).resolve().parents[2]
VIEWS = ROOT / 'configs' / '_base_' / 'views'
MSBREG = ROOT / 'configs' / 'msbreg' / 'msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py'
WIDTH, HEIGHT = 500, 375
# Scheme: mmpretrain's dataset config, lightly's transform.
RIVALS = {
    'BYOL': ('imagenet_bs32_byol', 'BYOLTransform'),
    'MoCo v2': ('imagenet_bs32_mocov2', 'MoCoV2Transform'),
    'MSBReg, 4 views': (None, None),
    'multi-crop, 2 + 6': (None, 'SwaVTransform'),
}
STAGES = ('read', 'draw', 'decode', 'crop', 'colors', 'blur', 'solarize', 'rest')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Views per second and core, ours and others.')
    parser.add_argument('--schemes', nargs='+', default=list(RIVALS), choices=list(RIVALS), help='rows (default: all)')
    parser.add_argument('--images', type=int, default=40, help='files, each read once per round (default: 40)')
    parser.add_argument('--repeats', type=int, default=5, help='rounds, after one warm-up (default: 5)')
    parser.add_argument('--quality', type=int, default=90, help='JPEG quality (default: 90)')
    parser.add_argument('--files', type=Path, help='folder of JPEGs to read instead')
    parser.add_argument('--mosaic', type=int, default=1, metavar='N', help='tile N × N files to one (default: 1)')
    parser.add_argument('--profile', action='store_true', help='measure the stages of ours')
    parser.add_argument('--workers', type=int, nargs='*', default=[], help='numbers of workers to run DataLoaders with')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    args = parser.parse_args()
    if args.files is not None and len(list_images(str(args.files))) < args.images:
        parser.error(f'{args.files} holds fewer than {args.images} images: set --images')
    if args.mosaic < 1:
        parser.error(f'--mosaic must be at least 1, got {args.mosaic}')
    return args


def copy_files(source: Path, folder: Path, count: int) -> float:
    """Copy ``count`` JPEGs of a folder, evenly over its order, and return their mean size in kB."""
    paths = list_images(str(source))
    for i in range(count):
        shutil.copyfile(paths[i * len(paths) // count], folder / f'{i:04}.jpg')
    return sum(path.stat().st_size for path in folder.iterdir()) / count / 1000


def tile(folder: Path, n: int, quality: int) -> float:
    """Replace the files of a folder by mosaics of n × n of them, and return their mean size in kB."""
    paths = sorted(folder.iterdir())
    images = [cv2.resize(cv2.imread(str(path)), (WIDTH, HEIGHT)) for path in paths]  # type: ignore[arg-type]
    for i, path in enumerate(paths):
        rows = [np.hstack([images[(i + n * y + x) % len(images)] for x in range(n)]) for y in range(n)]
        cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return sum(path.stat().st_size for path in paths) / len(paths) / 1000


def write_photographs(folder: Path, count: int, quality: int) -> float:
    """Cut ``count`` JPEGs out of photographs of scikit-image and scikit-learn, and return their mean size in kB."""
    photographs = [image for image in load_photographs().values() if min(image.shape[:2]) >= HEIGHT]
    rng = np.random.default_rng(0)
    sizes = []
    for i in range(count):
        image = photographs[i % len(photographs)]
        height, width = image.shape[:2]
        w = round(min(width, height * WIDTH / HEIGHT) * rng.uniform(0.7, 1))
        h = round(w * HEIGHT / WIDTH)
        left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
        cut = cv2.resize(image[top : top + h, left : left + w], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        path = folder / f'{i:04}.jpg'
        cv2.imwrite(str(path), cut[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        sizes.append(path.stat().st_size / 1000)
    return sum(sizes) / count


def schemes(name: str) -> tuple[list[dict], list[int]]:
    """Return the views of the recipes, and the number of each."""
    if name == 'BYOL':
        return Config.fromfile(VIEWS / 'byol_224px_crop008.py').views, [1, 1]
    if name == 'MoCo v2':
        return Config.fromfile(VIEWS / 'mocov2_224px.py').views, [1, 1]
    view = Config.fromfile(MSBREG).view
    if name == 'MSBReg, 4 views':
        return [view], [4]
    return [dict(view, size=size, crop_scale=area) for size, area in ((224, (0.14, 1.0)), (96, (0.05, 0.14)))], [2, 6]


def our_dataset(folder: Path, name: str, on_device: bool) -> PretrainDataset:
    views, counts = schemes(name)
    load = dict(type='lewel_plugins.LoadViews', views=views, num_views=counts, on_device=on_device)
    return PretrainDataset(ImageTree(str(folder), [load, dict(type='PackInputs')]))


def mmpretrains_dataset(folder: Path, name: str) -> PretrainDataset | None:
    config = RIVALS[name][0]
    path = Path(mmpretrain.__file__).parent / '.mim' / 'configs' / '_base_' / 'datasets' / f'{config}.py'
    if not path.is_file():
        return None
    return PretrainDataset(ImageTree(str(folder), Config.fromfile(path).train_pipeline))


class Lightlys(torch.utils.data.Dataset):
    """Files through a transform of lightly, which maps Pillow images to tensors like those of torchvision."""

    def __init__(self, folder: Path, transform: Callable) -> None:
        self.paths, self.transform = sorted(folder.glob('*.jpg')), transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | SampleId) -> dict:
        with Image.open(self.paths[index[0] if isinstance(index, SampleId) else index]) as image:
            return dict(inputs=self.transform(image.convert('RGB')))


def lightlys_dataset(folder: Path, name: str) -> Lightlys | None:
    try:
        transforms = importlib.import_module('lightly.transforms')
    except ImportError:
        return None
    transform = RIVALS[name][1]
    return Lightlys(folder, getattr(transforms, transform)()) if transform else None


def stable_pretrainings_dataset(folder: Path, name: str) -> Lightlys | None:
    """Return the files through the two views of stable-pretraining, with the settings of ours; None without it."""
    try:
        transforms = importlib.import_module('stable_pretraining.data.transforms')
    except ImportError:
        return None
    if name not in ('BYOL', 'MoCo v2'):
        return None
    views = []
    for view in schemes(name)[0]:
        scheme = ViewScheme(**view)
        steps = [
            transforms.RGB(),
            transforms.RandomResizedCrop((scheme.size, scheme.size), scale=scheme.crop_scale),
            transforms.RandomHorizontalFlip(p=scheme.flip),
            transforms.ColorJitter(*_strengths(scheme), p=scheme.jitter),
            transforms.RandomGrayscale(p=scheme.gray),
            transforms.GaussianBlur(kernel_size=23, sigma=scheme.blur_sigma, p=scheme.blur),
        ]
        steps += [transforms.RandomSolarize(threshold=0.5, p=scheme.solarize)] if scheme.solarize else []
        views.append(transforms.Compose(*steps, transforms.ToImage()))
    return Lightlys(folder, lambda image: [view(dict(image=image))['image'] for view in views])


def _strengths(scheme: ViewScheme) -> tuple[float, float, float, float]:
    return scheme.brightness, scheme.contrast, scheme.saturation, scheme.hue


class Torchvisions(torch.utils.data.Dataset):
    """Files through torchvision's decoder and its v2 transforms on tensors, with the settings of ours."""

    def __init__(self, folder: Path, name: str) -> None:
        self.paths = sorted(folder.glob('*.jpg'))
        self.views = [
            _torchvision_view(ViewScheme(**view)) for view, count in zip(*schemes(name)) for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | SampleId) -> dict:
        path = self.paths[index[0] if isinstance(index, SampleId) else index]
        image = torchvision.io.decode_jpeg(torchvision.io.read_file(str(path)), ImageReadMode.RGB)
        return dict(inputs=[view(image) for view in self.views])


def _torchvision_view(scheme: ViewScheme) -> v2.Compose:
    steps = [
        v2.RandomResizedCrop(scheme.size, scheme.crop_scale, antialias=True),
        v2.RandomHorizontalFlip(scheme.flip),
        v2.RandomApply([v2.ColorJitter(*_strengths(scheme))], scheme.jitter),
        v2.RandomGrayscale(scheme.gray),
        v2.RandomApply([v2.GaussianBlur(23, scheme.blur_sigma)], scheme.blur),
        v2.RandomSolarize(128, scheme.solarize),
    ]
    return v2.Compose(steps)


class Floor(torch.utils.data.Dataset):
    """Decoding and bilinear crops by OpenCV."""

    def __init__(self, folder: Path, name: str) -> None:
        self.paths = sorted(folder.glob('*.jpg'))
        self.schemes = [ViewScheme(**view) for view, count in zip(*schemes(name)) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | SampleId) -> dict:
        path = self.paths[index[0] if isinstance(index, SampleId) else index]
        image: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        views = []
        for scheme in self.schemes:
            left, top, w, h = scheme.draw(*image.shape[:2]).box
            views.append(cv2.resize(image[top : top + h, left : left + w], (scheme.size, scheme.size)))
        return dict(inputs=[torch.from_numpy(view) for view in views])


def datasets(folder: Path, name: str) -> dict[str, Any]:
    candidates = {
        'ours': our_dataset(folder, name, on_device=False),
        'ours, crops only': our_dataset(folder, name, on_device=True),
        'mmpretrain': mmpretrains_dataset(folder, name),
        'lightly': lightlys_dataset(folder, name),
        'stable-pretraining': stable_pretrainings_dataset(folder, name),
        'torchvision': Torchvisions(folder, name),
        'floor': Floor(folder, name),
    }
    return {who: dataset for who, dataset in candidates.items() if dataset is not None}


class Rounds(torch.utils.data.Sampler):
    """Every file once, with new seeds in every round."""

    def __init__(self, length: int) -> None:
        self.length, self.first_seed = length, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SampleId]:
        ids = [SampleId(i, self.first_seed + i) for i in range(self.length)]
        self.first_seed += self.length
        return iter(ids)


class Timed(torch.utils.data.Dataset):
    """Processor seconds that a dataset needs for its items."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, index: SampleId) -> float:
        start = time.process_time()
        self.dataset[index]
        return time.process_time() - start


def measure(folder: Path, name: str, repeats: int) -> dict[str, float]:
    """Return the views per second of each dataset, the median of alternating rounds."""
    loaders: dict[str, DataLoader] = {
        who: DataLoader(
            Timed(dataset), batch_size=None, sampler=Rounds(len(dataset)), num_workers=1, persistent_workers=True
        )
        for who, dataset in datasets(folder, name).items()
    }
    views = sum(schemes(name)[1])
    rounds = [{who: sum(loader) for who, loader in loaders.items()} for _ in range(repeats + 1)][1:]
    return {who: views * len(loader) / median(r[who] for r in rounds) for who, loader in loaders.items()}


def profile(folder: Path, name: str, repeats: int) -> dict[str, float]:
    """Return the microseconds of ours per image in each stage, the median over rounds."""
    dataset = our_dataset(folder, name, on_device=False)
    spent: Counter[str] = Counter()

    def timed(stage: str, function: Callable) -> Callable:
        def call(*args: Any, **options: Any) -> Any:
            start = time.process_time_ns()
            try:
                return function(*args, **options)
            finally:
                spent[stage] += time.process_time_ns() - start

        return call

    load = dataset.dataset.pipeline.transforms[0]
    load._read = timed('read', load._read)
    load.make_views.draw = timed('draw', load.make_views.draw)
    places = dict(crop='resized_crop', colors='adjust_colors', blur='gaussian_blur', solarize='solarize')
    rounds = []
    with ExitStack() as stack:
        stack.enter_context(patch.object(load_views, 'decode_jpeg', timed('decode', load_views.decode_jpeg)))
        for stage, place in places.items():
            stack.enter_context(patch.object(image_ops, place, timed(stage, getattr(image_ops, place))))
        for i in range(repeats + 1):
            spent.clear()
            start = time.process_time_ns()
            for index in range(len(dataset)):
                dataset[SampleId(index, i * len(dataset) + index)]
            total = time.process_time_ns() - start
            spent['rest'] = total - spent.total()
            rounds.append({stage: spent[stage] / len(dataset) / 1000 for stage in STAGES})
    return {stage: median(round_[stage] for round_ in rounds[1:]) for stage in STAGES}


class Repeated(torch.utils.data.Dataset):
    """A dataset, repeated several times, because short runs would measure how workers start."""

    def __init__(self, dataset: Any, length: int) -> None:
        self.dataset, self.length = dataset, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        sample = self.dataset[SampleId(index % len(self.dataset), index)]
        return dict(inputs=sample['inputs'])


def rate_with_workers(dataset: Any, workers: int, views: int) -> float:
    """Return the views per second in wall-clock time of a DataLoader in its second epoch."""
    loader: DataLoader = DataLoader(
        Repeated(dataset, 32 * 4 * workers),
        batch_size=32,
        num_workers=workers,
        persistent_workers=True,
        collate_fn=default_collate,
    )
    for _ in loader:
        pass
    start = time.perf_counter()
    count = sum(1 for _ in loader)
    return 32 * count * views / (time.perf_counter() - start)


def main() -> None:
    args = parse_args()
    init_default_scope('mmpretrain')
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.files is None:
            size = write_photographs(folder, args.images, args.quality)
        else:
            size = copy_files(args.files, folder, args.images)
        if args.mosaic > 1:
            size = tile(folder, args.mosaic, args.quality)
        height, width = median_shape(folder)
        files = f'{args.images} JPEGs, {width} × {height} px in the median, {size:.0f} kB on average'
        for name in args.schemes:
            rates = measure(folder, name, args.repeats)
            ratios = {who: rates['ours'] / rate for who, rate in rates.items() if not who.startswith('ours')}
            with_workers = {
                who: {workers: rate_with_workers(dataset, workers, sum(schemes(name)[1])) for workers in args.workers}
                for who, dataset in datasets(folder, name).items()
            }
            results.append(dict(scheme=name, rates=rates, ratios=ratios, with_workers=with_workers))
            if args.profile:
                results[-1]['microseconds'] = profile(folder, name, args.repeats)
            print(row(results[-1]), flush=True)
    described = dict(provenance.record(), files=files)
    text = markdown(results, args.workers, described)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(**described, repeats=args.repeats, rows=results), indent=2) + '\n')
        args.out.with_suffix('.md').write_text(text)


RATED = ('mmpretrain', 'lightly', 'stable-pretraining', 'torchvision', 'floor')
WHO = ('ours', 'ours, crops only', *RATED)


def median_shape(folder: Path) -> tuple[int, int]:
    """Return the median height and width of the JPEGs in a folder."""
    headers = [read_jpeg_header(path.read_bytes()) for path in folder.iterdir()]
    shapes = sorted((header.height, header.width) for header in headers if header is not None)
    return shapes[len(shapes) // 2]


def row(result: dict) -> str:
    rates, ratios = result['rates'], result['ratios']
    cells = [f'{rates[who]:.0f}' if who in rates else '–' for who in WHO]
    cells += [f'{ratios[who]:.2f}' if who in ratios else '–' for who in RATED]
    return f'| {result["scheme"]} | ' + ' | '.join(cells) + ' |'


def markdown(results: list[dict], workers: list[int], described: dict) -> str:
    heads = ['views', *WHO, *(f'ours / {who}' for who in RATED)]
    lines = ['# Input: views per second and core', '', '| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|']
    lines += [row(result) for result in results]
    lines += ['', __doc__.split('\n\n')[1].replace('\n', ' ').replace('``', '`')]
    if 'microseconds' in results[0]:
        lines += ['', '## Ours, microseconds per image', '']
        lines += ['| views | ' + ' | '.join((*STAGES, 'total')) + ' |', '|---' * (len(STAGES) + 2) + '|']
        for result in results:
            spent = result['microseconds']
            cells = [f'{spent[stage]:.0f}' for stage in STAGES] + [f'{sum(spent.values()):.0f}']
            lines.append(f'| {result["scheme"]} | ' + ' | '.join(cells) + ' |')
    if workers:
        lines += ['', '## DataLoaders, views per second in wall-clock time', '']
        lines += ['| views | | ' + ' | '.join(map(str, workers)) + ' |', '|---' * (len(workers) + 2) + '|']
        for result in results:
            for who, rates in result['with_workers'].items():
                lines.append(
                    f'| {result["scheme"]} | {who} | ' + ' | '.join(f'{rate:.0f}' for rate in rates.values()) + ' |'
                )
    return '\n'.join([*lines, '', *(f'- {key}: {value}' for key, value in described.items())]) + '\n'


if __name__ == '__main__':
    main()
