"""Bring weights of torchvision or timm here.

They come as a state dict, ``.pth`` (``torch.save(model.state_dict(), FILE)``, or what torchvision's addresses give) or
``.safetensors``. The file that is written loads by ``init_cfg=dict(type='Pretrained', checkpoint=FILE,
prefix='backbone.')``, as a checkpoint of a pretraining does. First the library's own network and ours are loaded, and
their features on a batch are compared.

python tools/import_backbone.py resnet50-11ad3fa6.pth --from torchvision --arch resnet50 --out supervised.pth
"""

import argparse
import copy
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from lewel_plugins.formats import find_format, resnet, swin, vit
from lewel_plugins.formats.check import compare_features
from lewel_plugins.runner_setup import SetupError
from lewel_plugins.version import __version__

ARCHITECTURES: dict[str, dict[str, Any]] = {**resnet.ARCHITECTURES, **vit.ARCHITECTURES, **swin.ARCHITECTURES}
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('weights', type=Path, help='state dict, .pth or .safetensors')
    parser.add_argument('--from', dest='library', choices=('torchvision', 'timm'), required=True, help='whose it is')
    parser.add_argument('--arch', choices=ARCHITECTURES, required=True, metavar='NAME', help=', '.join(ARCHITECTURES))
    parser.add_argument('--img-size', type=int, help='side of the images, of a vit (default: 224)')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='file to write')
    return parser.parse_args()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, without running code from it.

    Raises:
        SetupError: It is missing, or holds something else.
    """
    if not path.is_file():
        raise SetupError(f'weights {str(path)!r} do not exist')
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # pickle, zipfile, torch and safetensors have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or holds more than tensors: {error}') from error
    content = content.get('state_dict', content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise SetupError(f'{path} is no state dict')
    return dict(content)


def main() -> None:
    args = parse_args()
    settings = copy.deepcopy(ARCHITECTURES[args.arch])
    if args.img_size is not None:
        settings['img_size'] = args.img_size
    init_default_scope('mmpretrain')
    backbone = MODELS.build(copy.deepcopy(settings))
    form = find_format(backbone, args.library)
    theirs = read_weights(args.weights)
    theirs = {name: tensor for name, tensor in theirs.items() if not name.endswith(form.theirs_only)}
    form.load_ours(backbone, form.import_state(theirs))
    backbone.eval()
    difference = compare_features(form, backbone, theirs)
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    meta = dict(
        arch=settings['type'],
        backbone=settings,
        data_preprocessor=IMAGENET,
        source=args.weights.name,
        lewel_plugins_version=__version__,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(f'{args.out.name}.partial')
    torch.save(dict(meta=meta, state_dict=state), partial)
    os.replace(partial, args.out)
    print(f'{len(state)} tensors of {args.library} as {settings["type"]} written to {args.out}')
    print(f'Both networks give the same features on a batch: the largest difference is {difference:.3g}.')
    print(f"Use it as\n  init_cfg=dict(type='Pretrained', checkpoint='{args.out}', prefix='backbone.')")


if __name__ == '__main__':
    try:
        main()
    except SetupError as error:
        raise SystemExit(f'error: {error}') from None
