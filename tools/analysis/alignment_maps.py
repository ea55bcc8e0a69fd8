"""Alignment maps of a LEWEL checkpoint over images: ``alignment_maps.py [CONFIG] CKPT --images FOLDER --out PNG``.

With masks it also measures how much of the maps falls on the object, against random and uniform maps.
"""

import argparse
import copy
import json
from collections.abc import Iterator
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
from lewel_plugins.checkpoints import build_model, config_of, read_tensors
from lewel_plugins.datasets import ImageTree
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import preprocessed_images
from lewel_plugins.running import setup
from lewel_plugins.visualization.alignment_maps import draw_alignment_maps, held_out_best, mass_on_object, pick_maps
from lewel_plugins.visualization.images import to_rgb

BATCH = 100


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Alignment maps of a LEWEL checkpoint over images.')
    parser.add_argument('files', nargs='+', metavar='[CONFIG] CKPT', help="checkpoint; config if not the checkpoint's")
    parser.add_argument('--images', required=True, metavar='FOLDER', help='images, in any nesting of folders')
    parser.add_argument('--masks', type=Path, metavar='FOLDER', help='masks of the object: the same paths, ending .png')
    parser.add_argument('--out', type=Path, default=Path('maps.png'), help='picture to write (default: maps.png)')
    parser.add_argument('--json', type=Path, help='numbers to write (default: the picture with .json, if --masks)')
    parser.add_argument('--rows', type=int, default=8, help='images shown, spread evenly over the folder (8)')
    parser.add_argument('--maps', type=int, nargs='+', metavar='K', help='maps shown (default: the 6 most peaked)')
    parser.add_argument('--max-images', type=int, default=2000, help='images measured, spread evenly (2000)')
    args = parser.parse_args()
    if len(args.files) > 2:
        parser.error(f'give [CONFIG] CKPT, got {len(args.files)} files')
    if args.rows < 1 or args.max_images < 2:
        parser.error('--rows must be at least 1 and --max-images at least 2')
    return args


def spread(items: list, count: int) -> list:
    """At most ``count`` items, evenly spaced."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def evaluation_pipeline(cfg: Config) -> Compose:
    """The pipeline of the config's validation images."""
    loader = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if not loader:
        raise SetupError('the config has no val_dataloader, whose pipeline would say how to read an image')
    dataset = loader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    return Compose([TRANSFORMS.build(step) for step in dataset.pipeline])


def read_batches(paths: list[str], pipeline: Compose, title: str) -> Iterator[dict[str, Any]]:
    """Batches as the model's data preprocessor takes them."""
    for start in track(range(0, len(paths), BATCH), title):
        packed = [pipeline(dict(img_path=path, sample_idx=start)) for path in paths[start : start + BATCH]]
        yield dict(inputs=[p['inputs'] for p in packed], data_samples=[p['data_samples'] for p in packed])


def read_masks(paths: list[str], args: argparse.Namespace, pipeline: Compose) -> Tensor:
    """Masks (N, H0, W0) after the images' own pipeline, so that a resize or crop keeps them aligned."""
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
    """RGB images in [0, 1], (N, 3, H0, W0), and their maps, (N, d, H, W), on the CPU."""
    model = model.to(get_device())
    images, maps = [], []
    for batch in read_batches(paths, pipeline, 'maps'):
        if len({image.shape for image in batch['inputs']}) > 1:
            raise SetupError('the validation pipeline gives images of different sizes: add a resize and a crop to it')
        images.append(to_rgb(torch.stack(batch['inputs']), model))
        maps.append(model.neck.alignment_maps(model.backbone(preprocessed_images(model, batch))).float().cpu())
    return torch.cat(images), torch.cat(maps)


def measure(maps: Tensor, masks: Tensor) -> dict[str, Any]:
    """Mass on the object: area, best map (chosen on the other half of the images) and mean map."""
    generator = torch.Generator().manual_seed(0)
    heat = torch.randn(maps.flatten(2).shape, generator=generator)
    kinds = {
        'learned': maps,
        # Where the maps look whatever the image: objects tend to be in the middle, and this is what that gives.
        'learned, mean over images': maps.mean(0, keepdim=True).expand_as(maps),
        'random': LF.alignment_maps(heat).view_as(maps),
        'uniform': torch.ones_like(maps),
    }
    area = masks.flatten(1).float().mean(1)
    cells = mass_on_object(torch.ones_like(maps[:, :1]), masks)[:, 0]  # the area on the maps' grid
    rows = {}
    for kind, each in kinds.items():
        shares = mass_on_object(each, masks)
        best, chosen = held_out_best(shares)
        # The objects' sizes vary more than the maps: the difference is taken image by image.
        rows[kind] = dict(
            best=summary(best),
            best_minus_area=summary(best - cells),
            mean=summary(shares.mean(1)),
            mean_minus_area=summary(shares.mean(1) - cells),
            best_maps=chosen.tolist(),
        )
    return dict(num_images=len(maps), num_maps=maps.shape[1], grid=list(maps.shape[2:]), area=summary(area), maps=rows)


def summary(values: Tensor) -> dict[str, float]:
    """Mean over images and its standard error."""
    return dict(mean=values.mean().item(), standard_error=(values.std() / len(values) ** 0.5).item())


def print_table(result: dict[str, Any]) -> None:
    """The measures as a markdown table."""

    def cell(s: dict[str, float], form: str = '.2f') -> str:
        return f'{100 * s["mean"]:{form}} ± {100 * s["standard_error"]:{form.lstrip("+")}}'

    grid = ' × '.join(map(str, result['grid']))
    print(f'{result["num_images"]} images, {result["num_maps"]} maps of {grid}.')
    print(f'Object: {cell(result["area"])} % of the area. Mass of the maps on it, mean over images ± its error:')
    print('| maps | best map, % | minus area, points | mean of maps, % | minus area, points |')
    print('|---|---|---|---|---|')
    for kind, row in result['maps'].items():
        cells = [x for key in ('best', 'mean') for x in (cell(row[key]), cell(row[f'{key}_minus_area'], '+.3f'))]
        print(f'| {kind} | ' + ' | '.join(cells) + ' |')
    print('The best map is chosen on one half of the images and measured on the other, both ways.')


def main() -> None:
    args = parse_args()
    path = args.files[-1]
    checkpoint = read_tensors(path)
    if len(args.files) == 2:
        cfg = setup.load_config(args.files[0])
    else:
        cfg = config_of(checkpoint, path, 'val_dataloader', 'test_dataloader')
    model = build_model(copy.deepcopy(cfg), checkpoint, path)
    if not hasattr(model.neck, 'alignment_maps'):
        raise SetupError(f'{path} is of {type(model).__name__}: only a LEWELNeck has alignment maps')
    pipeline = evaluation_pipeline(cfg)
    every = [item['img_path'] for item in ImageTree(args.images).load_data_list()]
    paths = spread(every, args.max_images if args.masks else args.rows)
    images, maps = read_maps(paths, model, pipeline)
    masks = read_masks(paths, args, pipeline) if args.masks else None

    shown = spread(list(range(len(paths))), args.rows)
    bad = [k for k in args.maps or [] if not 0 <= k < maps.shape[1]]
    if bad:
        raise SetupError(f'--maps {bad[0]}: the checkpoint has the maps 0 to {maps.shape[1] - 1}')
    indices = args.maps or pick_maps(maps[shown], 6)
    figure = draw_alignment_maps(
        images[shown],
        maps[shown],
        indices,
        None if masks is None else masks[shown],
        f'Alignment maps, {Path(path).name}',
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    print(f'Maps {", ".join(map(str, indices))} over {len(shown)} images written to {args.out}')
    if masks is not None:
        result = measure(maps, masks)
        print_table(result)
        out = args.json or args.out.with_suffix('.json')
        described = dict(checkpoint=str(path), images=str(args.images), masks=str(args.masks))
        out.write_text(json.dumps({**described, **result}, indent=2) + '\n', encoding='utf-8')
        print(f'Numbers written to {out}')


if __name__ == '__main__':
    try:
        main()
    except (SetupError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
