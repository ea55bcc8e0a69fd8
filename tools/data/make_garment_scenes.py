"""Make garment scenes: images for pretraining (single) and transfer (multi), from files in this repository.

python tools/data/make_garment_scenes.py                    # data/garment_scenes, 32 px, 8,000 + 2,000
python tools/data/make_garment_scenes.py --kind multi       # data/garment_scenes_multi, 128 px, COCO and VOC
"""

import argparse
import sys
import time
from pathlib import Path

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes
from lewel_plugins.datasets.garment_scenes.scene_config import KINDS
from lewel_plugins.running.resources import cores

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = {
    'single': SceneConfig(),
    'multi': SceneConfig(kind='multi', size=128, num_train=2000, num_val=500, scale=(0.25, 0.6), clutter=0.5),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kind', choices=KINDS, default='single', help='one garment per scene, or one to four')
    parser.add_argument('--out', type=Path, help='folder to make (default: data/garment_scenes[_multi])')
    parser.add_argument('--size', type=int, help='side of the images in pixels (default: 32, multi 128)')
    parser.add_argument('--num-train', type=int, help='training scenes (default: 8000, multi 2000)')
    parser.add_argument('--num-val', type=int, help='validation scenes (default: 2000, multi 500)')
    parser.add_argument(
        '--scale',
        type=float,
        nargs=2,
        metavar=('MIN', 'MAX'),
        help='longer side of a garment over the side of the image (default: 0.7 1.0, multi 0.25 0.6)',
    )
    parser.add_argument(
        '--clutter', type=float, help='contrast of the photographs, from 0 (black) to 1 (default: 0.2, multi 0.5)'
    )
    parser.add_argument('--seed', type=int, help='seed of all random draws (default: 0)')
    parser.add_argument('--quality', type=int, help='JPEG quality (default: 95)')
    parser.add_argument('--workers', type=int, default=0, help='number of processes (default: one per core)')
    parser.add_argument(
        '--garments', type=Path, default=ROOT / 'data/fashion_mnist', help="folder with Fashion-MNIST's t10k files"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = args.out or ROOT / 'data' / ('garment_scenes' if args.kind == 'single' else 'garment_scenes_multi')
    values = {name: value for name, value in vars(args).items() if name in SceneConfig.__dataclass_fields__}
    values = {**vars(DEFAULTS[args.kind]), **{name: value for name, value in values.items() if value is not None}}
    start = time.monotonic()
    try:
        config = SceneConfig(**{**values, 'scale': tuple(values['scale'])})
        is_new = make_scenes(config, args.garments, out, args.workers or cores())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f'error: {error}')
    total = config.num_train + config.num_val
    if is_new:
        print(f'{total} scenes written to {out} in {time.monotonic() - start:.1f} s')
    else:
        print(f'{out} already holds these {total} scenes, nothing to do')


if __name__ == '__main__':
    main()
