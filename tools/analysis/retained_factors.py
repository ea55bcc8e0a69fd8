"""Factors of garment scenes that features retain: ``python tools/analysis/retained_factors.py CONFIG CHECKPOINT``.

Ridge regression from frozen features to the known factors of the scene (tint, position, scale, rotation, ...) and of a
random training view of it (crop, flip, jitter, ...), fitted on the training scenes. Prints R² of each factor on the
validation scenes.
"""

import argparse
import json
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel

from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.random_checkpoint import build_random_model
from lewel_plugins.evaluation.retained_factors import RetainedFactors
from lewel_plugins.running.command_line import add_config_options, merge_options
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.model_files import load_model
from lewel_plugins.running.setup import load_config

ROOT = Path(__file__).resolve().parents[2]
RANDOM, PIXELS = 'random', 'pixels'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='R² of the factors of scenes and views, from frozen features.')
    parser.add_argument('config', help='config of a pretraining on garment scenes')
    parser.add_argument(
        'checkpoint',
        help=f'checkpoint of the whole model; as references, {RANDOM!r} for weights that are initialized under --seed, '
        f'and {PIXELS!r} for the images themselves',
    )
    parser.add_argument('--neck', action='store_true', help='measure the embeddings of the neck, not the backbone')
    parser.add_argument('--seed', type=int, default=0, help='seed of the views (default: 0)')
    parser.add_argument(
        '--garments', type=Path, default=ROOT / 'data/fashion_mnist', help="folder with Fashion-MNIST's t10k files"
    )
    parser.add_argument('--out', type=Path, help='json file to write')
    add_config_options(parser)
    args = parser.parse_args()
    if args.neck and args.checkpoint == PIXELS:
        parser.error(f'--neck measures a network, but {PIXELS!r} needs none')
    return args


def build_model(args: argparse.Namespace) -> tuple[BaseModel, Config]:
    """Return the model of the checkpoint, or one with random weights, and the config."""
    if args.checkpoint not in (RANDOM, PIXELS):
        return load_model(args.checkpoint, args.config, options=args.cfg_options)
    MMLogger.get_instance('mmengine', log_level='WARNING')  # init_weights logs one line per parameter
    cfg = load_config(args.config)
    merge_options(cfg, args.cfg_options)
    return build_random_model(cfg, args.seed), cfg


def main() -> None:
    args = parse_args()
    model, cfg = build_model(args)
    if args.neck and getattr(model, 'neck', None) is None:
        raise SetupError(f'{type(model).__name__} has no neck')
    features = PIXELS if args.checkpoint == PIXELS else 'neck' if args.neck else 'backbone'
    factors = RetainedFactors(cfg, args.garments, args.seed).measure(model, features)
    for name, value in factors.items():
        print(f'{name:20} {value:7.3f}')
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, because a comparison puts the numbers of all its commands into one dict.
        result = {'factors_neck' if args.neck else 'factors': factors}
        args.out.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    run_main(main, FileNotFoundError, FileExistsError, ValueError)
