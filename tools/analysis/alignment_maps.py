"""Alignment maps of a LEWEL checkpoint over images: ``alignment_maps.py [CONFIG] CKPT --images FOLDER --out PNG``.

With masks it also measures what share of the maps falls on the object, compared with random and uniform maps.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import TRANSFORMS
from rich.progress import track
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.datasets import ImageTree
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import preprocessed_images
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.model_files import add_model_files, load_model
from lewel_plugins.visualization.alignment_maps import draw_alignment_maps, held_out_best, mass_on_object, pick_maps
from lewel_plugins.visualization.images import evenly_spaced, to_rgb

BATCH = 100


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Alignment maps of a LEWEL checkpoint over images.')
    add_model_files(parser)
    parser.add_argument('--images', required=True, metavar='FOLDER', help='folder of images, of any depth')
    parser.add_argument(
        '--masks', type=Path, metavar='FOLDER', help='masks of the object, under the same paths as .png'
    )
    parser.add_argument('--out', type=Path, default=Path('maps.png'), help='figure to write (default: maps.png)')
    parser.add_argument('--json', type=Path, help='numbers to write (default: beside the figure, if there are masks)')
    parser.add_argument(
        '--rows', type=int, default=8, help='number of images shown, spread evenly over the folder (default: 8)'
    )
    parser.add_argument('--maps', type=int, nargs='+', metavar='K', help='maps shown (default: the 6 most peaked)')
    parser.add_argument(
        '--max-images', type=int, default=2000, help='number of images measured, spread evenly (default: 2000)'
    )
    args = parser.parse_args()
    if args.rows < 1 or args.max_images < 2:
        parser.error('--rows must be at least 1 and --max-images at least 2')
    return args


def evaluation_pipeline(cfg: Config) -> Compose:
    """Return the pipeline of the config's validation images."""
    loader = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if not loader:
        raise SetupError('the config has no val_dataloader, whose pipeline reads the images')
    dataset = loader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    return Compose([TRANSFORMS.build(step) for step in dataset.pipeline])


def read_batches(paths: list[str], pipeline: Compose, title: str) -> Iterator[dict[str, Any]]:
    """Yield batches for the model's data preprocessor."""
    for start in track(range(0, len(paths), BATCH), title):
        items = [pipeline(dict(img_path=path, sample_idx=start)) for path in paths[start : start + BATCH]]
        yield dict(inputs=[p['inputs'] for p in items], data_samples=[p['data_samples'] for p in items])


def read_masks(paths: list[str], args: argparse.Namespace, pipeline: Compose) -> Tensor:
    """Return masks (N, H0, W0) after the pipeline of the images, so that a resize or crop keeps them aligned."""
    files = [args.masks / Path(path).relative_to(args.images).with_suffix('.png') for path in paths]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise SetupError(f'{len(missing)} of {len(files)} images have no mask, the first: {missing[0]}')
    masks = []
    for batch in read_batches([str(file) for file in files], pipeline, 'masks'):
        values = torch.stack(batch['inputs']).float().mean(1)  # (N, H0, W0)
        masks.append(values > values.amax((1, 2), keepdim=True) / 2)
    return torch.cat(masks)


@torch.no_grad()
def read_maps(paths: list[str], model: BaseModel, pipeline: Compose) -> tuple[Tensor, Tensor]:
    """Return RGB images in [0, 1], (N, 3, H0, W0), and their maps, (N, d, H, W), on the CPU."""
    model = model.to(get_device())
    images, maps = [], []
    for batch in read_batches(paths, pipeline, 'maps'):
        if len({image.shape for image in batch['inputs']}) > 1:
            raise SetupError('the validation pipeline yields images of different sizes: add a resize and a crop to it')
        images.append(to_rgb(torch.stack(batch['inputs']), model))
        maps.append(model.neck.alignment_maps(model.backbone(preprocessed_images(model, batch))).float().cpu())
    return torch.cat(images), torch.cat(maps)


def select_maps(maps: Tensor, requested: Sequence[int] | None) -> list[int]:
    """Return the indices of the maps to draw: those requested, or the six most peaked."""
    count = maps.shape[1]
    bad = [k for k in requested or [] if not 0 <= k < count]
    if bad:
        raise SetupError(f'--maps {bad[0]}: the checkpoint has the maps 0 to {count - 1}')
    return list(requested) if requested else pick_maps(maps, 6)


def measure(maps: Tensor, masks: Tensor) -> dict[str, Any]:
    """Measure the mass on the object: its area, the best map (selected on other images) and the mean map."""
    generator = torch.Generator().manual_seed(0)
    heat = torch.randn(maps.flatten(2).shape, generator=generator)
    kinds = {
        'learned': maps,
        # Objects tend to be in the middle. The mean shows the mass of maps that ignore the image.
        'learned, mean over images': maps.mean(0, keepdim=True).expand_as(maps),
        'random': LF.alignment_maps(heat).view_as(maps),
        'uniform': torch.ones_like(maps),
    }
    area = masks.flatten(1).float().mean(1)
    cells = mass_on_object(torch.ones_like(maps[:, :1]), masks)[:, 0]  # the area on the grid of the maps
    rows = {kind: measure_kind(mass_on_object(values, masks), cells) for kind, values in kinds.items()}
    return dict(num_images=len(maps), num_maps=maps.shape[1], grid=list(maps.shape[2:]), area=summary(area), maps=rows)


def measure_kind(shares: Tensor, area: Tensor) -> dict[str, Any]:
    """Summarize the shares (N, d) of one kind of maps, and their differences from the object's area (N,)."""
    best, selected = held_out_best(shares)
    # The sizes of objects vary more than the maps, so differences are taken per image.
    return dict(
        best=summary(best),
        best_minus_area=summary(best - area),
        mean=summary(shares.mean(1)),
        mean_minus_area=summary(shares.mean(1) - area),
        best_maps=selected.tolist(),
    )


def summary(values: Tensor) -> dict[str, float]:
    """Return the mean over images and its standard error."""
    return dict(mean=values.mean().item(), standard_error=(values.std() / len(values) ** 0.5).item())


def print_table(result: dict[str, Any]) -> None:
    """Print the measures as a markdown table."""

    def cell(s: dict[str, float], form: str = '.2f') -> str:
        return f'{100 * s["mean"]:{form}} ± {100 * s["standard_error"]:{form.lstrip("+")}}'

    grid = ' × '.join(map(str, result['grid']))
    print(f'{result["num_images"]} images, {result["num_maps"]} maps of {grid}.')
    print(f'Object: {cell(result["area"])} % of the area. Mass of the maps on it, mean over images ± standard error:')
    print('| maps | best map, % | minus area, points | mean of maps, % | minus area, points |')
    print('|---|---|---|---|---|')
    for kind, row in result['maps'].items():
        cells = [x for key in ('best', 'mean') for x in (cell(row[key]), cell(row[f'{key}_minus_area'], '+.3f'))]
        print(f'| {kind} | ' + ' | '.join(cells) + ' |')
    print('The best map is selected on one half of the images and measured on the other, both ways.')


def main() -> None:
    args = parse_args()
    model, cfg = load_model(args.checkpoint, args.config, ['val_dataloader', 'test_dataloader'])
    if not hasattr(model.neck, 'alignment_maps'):
        raise SetupError(f'{args.checkpoint} is a {type(model).__name__}: only a LEWELNeck has alignment maps')
    pipeline = evaluation_pipeline(cfg)
    tree = [item['img_path'] for item in ImageTree(args.images).load_data_list()]
    paths = [tree[i] for i in evenly_spaced(len(tree), args.max_images if args.masks else args.rows)]
    images, maps = read_maps(paths, model, pipeline)
    masks = read_masks(paths, args, pipeline) if args.masks else None
    draw(args, images, maps, masks)
    if masks is not None:
        result = measure(maps, masks)
        print_table(result)
        out = args.json or args.out.with_suffix('.json')
        source = dict(checkpoint=args.checkpoint, images=args.images, masks=str(args.masks))
        out.write_text(json.dumps({**source, **result}, indent=2) + '\n', encoding='utf-8')
        print(f'Numbers written to {out}')


def draw(args: argparse.Namespace, images: Tensor, maps: Tensor, masks: Tensor | None) -> None:
    """Write the figure of some of the images."""
    rows = evenly_spaced(len(images), args.rows)
    indices = select_maps(maps[rows], args.maps)
    title = f'Alignment maps, {Path(args.checkpoint).name}'
    figure = draw_alignment_maps(images[rows], maps[rows], indices, None if masks is None else masks[rows], title)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    print(f'Maps {", ".join(map(str, indices))} over {len(rows)} images written to {args.out}')


if __name__ == '__main__':
    run_main(main, FileNotFoundError)
