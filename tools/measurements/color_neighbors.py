"""How many neighbors by color histogram are found by what knows nothing but colors.

A report calls it a sign of a shortcut if many of the 10 nearest neighbors by a network's features are also among the 10
nearest by color histogram. Each row is a folder of 640 images of 32 px, see `seeded_folders.py`: garment scenes, those
scenes mixed with 70% of a random color, those with a black and white mark in every quarter, and images of one color
each. The columns are the shares for features that are an image's mean color, for its raw pixels, and for a ResNet-10
with random weights in eval mode (mean of three seeds). Chance is 0.016. The first is what a network that only sees the
mean color would reach, so that the bound of the verdict has to be below it; it is 0.4.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import seeded_folders
import torch
from mmengine.registry import MODELS, init_default_scope
from steps.report import Report
from torch import Tensor

from lewel_plugins.models.features import pooled
from lewel_plugins.reporting.pictures import NEIGHBORS, color_histograms, color_overlap, nearest_others
from lewel_plugins.reporting.verdicts import COLOR_OVERLAP
from lewel_plugins.seeding import seeded

IMAGES, SEEDS = 640, 3


def read_images(folder: Path) -> Tensor:
    """Return the images of a folder in [0, 1], (N, 3, H, W)."""
    images = [seeded_folders.read_image(path) for path in sorted(folder.glob('*/*'))]
    return torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2) / 255


def overlap(x: Tensor, y: Tensor) -> float:
    """Return the share of the nearest other rows of x that are among those of y."""
    return color_overlap(nearest_others(x, NEIGHBORS), nearest_others(y, NEIGHBORS))


@torch.no_grad()
def random_features(rgb: Tensor, seed: int) -> Tensor:
    """Return features of a network before training, (N, D)."""
    with seeded(seed):
        network = MODELS.build(dict(type='lewel_plugins.ResNet10'))
        network.init_weights()
    network.eval()  # returns nothing in mmpretrain
    return pooled(network((rgb - 0.45) / 0.225))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--data', type=Path, default=Path('data/garment_scenes'), help='folder of garment scenes')
    parser.add_argument('--out', type=Path, help='json file to write, with a markdown table beside it')
    args = parser.parse_args()
    paths = sorted((args.data / 'train').glob('*/*.jpg'))
    if len(paths) < IMAGES:
        parser.error(f'{args.data}/train holds {len(paths)} images, {IMAGES} are needed; run make_garment_scenes.py')
    torch.set_num_threads(1)
    init_default_scope('mmpretrain')
    report = Report('Neighbors by color', 'folder', 'mean color', 'raw pixels', 'random weights')
    with tempfile.TemporaryDirectory() as folder:
        for name in ('scenes', 'marked', 'tinted', 'colors'):
            seeded_folders.FOLDERS[name](Path(folder) / name, [paths[i * len(paths) // IMAGES] for i in range(IMAGES)])
            rgb = read_images(Path(folder) / name)
            by_color, flat, mean = color_histograms(rgb), rgb.flatten(1), rgb.mean((2, 3))
            row = dict(
                mean_color=overlap(mean - mean.mean(0), by_color),
                raw_pixels=overlap(flat - flat.mean(0), by_color),
                random_weights=sum(overlap(random_features(rgb, seed), by_color) for seed in range(SEEDS)) / SEEDS,
            )
            report.add(dict(folder=name, **row), name, *(f'{value:.3f}' for value in row.values()))
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], bound=COLOR_OVERLAP)


if __name__ == '__main__':
    main()
