"""Views per second and core from JPEG files of 500 × 375: ours, mmpretrain's pipelines, lightly's transforms, a floor.

The floor is the work that every pipeline must do: OpenCV decodes the file once and makes the same number of random
resized crops, bilinear and without anti-aliasing, with no further operation. All pipelines run on the same files, each
in a worker of a DataLoader with one thread, in alternation. The table shows the median over rounds of the views per
processor time. ``--workers`` adds the rates of whole DataLoaders in wall-clock time. Rows of mmpretrain and lightly are
left out where the package is missing.

python tools/measurements/input_speed.py --out docs/results/input_speed.json
"""

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import mmpretrain
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader

from lewel_plugins.datasets import ImageTree, PretrainDataset
from lewel_plugins.datasets.garment_scenes.sources import load_photographs
from lewel_plugins.datasets.pretrain_dataset import SampleId
from lewel_plugins.running import provenance
from lewel_plugins.transforms import ViewScheme

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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Views per second and core, ours and others.')
    parser.add_argument('--schemes', nargs='+', default=list(RIVALS), choices=list(RIVALS), help='rows (default: all)')
    parser.add_argument('--images', type=int, default=40, help='files, each read once per round (default: 40)')
    parser.add_argument('--repeats', type=int, default=5, help='rounds, after one warm-up (default: 5)')
    parser.add_argument('--quality', type=int, default=90, help='JPEG quality (default: 90)')
    parser.add_argument('--workers', type=int, nargs='*', default=[], help='numbers of workers to run DataLoaders with')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


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
        size = write_photographs(folder, args.images, args.quality)
        files = f'{args.images} JPEGs of {WIDTH} × {HEIGHT}, quality {args.quality}, {size:.0f} kB on average'
        for name in args.schemes:
            rates = measure(folder, name, args.repeats)
            ratios = {
                who: rates['ours'] / rate for who, rate in rates.items() if who in ('mmpretrain', 'lightly', 'floor')
            }
            with_workers = {
                who: {workers: rate_with_workers(dataset, workers, sum(schemes(name)[1])) for workers in args.workers}
                for who, dataset in datasets(folder, name).items()
            }
            results.append(dict(scheme=name, rates=rates, ratios=ratios, with_workers=with_workers))
            print(row(results[-1]), flush=True)
    described = dict(provenance.record(), files=files)
    text = markdown(results, args.workers, described)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(**described, repeats=args.repeats, rows=results), indent=2) + '\n')
        args.out.with_suffix('.md').write_text(text)


WHO = ('ours', 'ours, crops only', 'mmpretrain', 'lightly', 'floor')


def row(result: dict) -> str:
    rates, ratios = result['rates'], result['ratios']
    cells = [f'{rates[who]:.0f}' if who in rates else '–' for who in WHO]
    cells += [f'{ratios[who]:.2f}' if who in ratios else '–' for who in ('mmpretrain', 'lightly', 'floor')]
    return f'| {result["scheme"]} | ' + ' | '.join(cells) + ' |'


def markdown(results: list[dict], workers: list[int], described: dict) -> str:
    heads = ['views', *WHO, 'ours / mmpretrain', 'ours / lightly', 'ours / floor']
    lines = ['# Input: views per second and core', '', '| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|']
    lines += [row(result) for result in results]
    lines += ['', __doc__.split('\n\n')[1].replace('\n', ' ').replace('``', '`')]
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
