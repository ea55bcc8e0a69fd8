"""Import weights of torchvision or timm.

The input is a state dict, as ``.pth`` (``torch.save(model.state_dict(), FILE)``, or a file from torchvision's
addresses) or ``.safetensors``. The output loads by ``init_cfg=dict(type='Pretrained', checkpoint=FILE,
prefix='backbone.')``, like a checkpoint of a pretraining. Before it is written, the tool loads the library's own
network and that of OpenMMLab, and compares their features on a batch.

The output records how the training's images were normalized, and later trainings must normalize theirs in the same way.
This is known for all weights of torchvision, and for those architectures of timm whose weights all agree. For others,
above all Vision Transformers, give it by --mean and --std; otherwise it stays unchecked.

python tools/import_backbone.py resnet50-11ad3fa6.pth --from torchvision --arch resnet50 --out supervised.pth
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import Tensor

from lewel_plugins.checkpoints import build_backbone, read_safetensors
from lewel_plugins.checkpoints.formats import find_format, resnet, swin, vit
from lewel_plugins.checkpoints.formats.check import compare_features
from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_checkpoint
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.version import __version__

ARCHITECTURES: dict[str, dict[str, Any]] = {**resnet.ARCHITECTURES, **vit.ARCHITECTURES, **swin.ARCHITECTURES}
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('weights', type=Path, help='state dict, .pth or .safetensors')
    parser.add_argument(
        '--from', dest='library', choices=('torchvision', 'timm'), required=True, help='library of the weights'
    )
    parser.add_argument('--arch', choices=ARCHITECTURES, required=True, metavar='NAME', help=', '.join(ARCHITECTURES))
    parser.add_argument('--img-size', type=int, metavar='N', help='side of the images of a vit (default: 224)')
    for name in ('mean', 'std'):
        text = f'{name} of the channels of the training images, on the scale 0 to 255'
        parser.add_argument(f'--{name}', nargs=3, type=float, metavar=tuple('RGB'), help=text)
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='file to write')
    args = parser.parse_args()
    if args.img_size is not None and (args.arch not in vit.ARCHITECTURES or args.img_size < 1):
        parser.error(f'--img-size must be positive, and is for a vit only; got {args.img_size} for {args.arch}')
    if (args.mean is None) != (args.std is None):
        parser.error('--mean and --std go together')
    if args.std is not None and min(args.std) <= 1:
        parser.error(f'--std must be on the scale 0 to 255, got {args.std}')
    return args


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file without running its code.

    Raises:
        SetupError: The file is missing, or holds something else.
    """
    if not path.is_file():
        raise SetupError(f'weights {str(path)!r} do not exist')
    if path.suffix == '.safetensors':
        return read_safetensors(path)[0]
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # pickle, zipfile and torch have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or holds more than tensors: {error}') from error
    content = content.get('state_dict', content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise SetupError(f'{path} is no state dict')
    return dict(content)


def timm_normalization(arch: str) -> dict[str, list[float]] | None:
    """Return the mean and std, on the scale 0 to 255, that all of timm's weights of an architecture share.

    None if they differ. None for Vision Transformers, whose weights also come from models of other names (DeiT).
    """
    import timm

    if arch in vit.ARCHITECTURES:
        return None
    name = f'{arch.replace("-", "_")}_patch4_window7_224' if arch in swin.ARCHITECTURES else arch
    cfgs = [timm.get_pretrained_cfg(model) for model in timm.list_pretrained(f'{name}.*')]
    values = {(cfg.mean, cfg.std) for cfg in cfgs if cfg is not None}
    if len(values) != 1:
        return None
    mean, std = values.pop()
    return dict(mean=[round(255 * value, 3) for value in mean], std=[round(255 * value, 3) for value in std])


def normalization_of(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the images' normalization as settings of a data preprocessor; None if it is neither given nor known."""
    if args.mean is not None:
        values: dict[str, list[float]] | None = dict(mean=args.mean, std=args.std)
    else:
        values = IMAGENET if args.library == 'torchvision' else timm_normalization(args.arch)
    return values and dict(values, to_rgb=True)


def main() -> None:
    args = parse_args()
    settings = dict(ARCHITECTURES[args.arch])
    if args.img_size is not None:
        settings['img_size'] = args.img_size
    init_default_scope('mmpretrain')
    backbone = build_backbone(settings, args.arch)
    form = find_format(backbone, args.library)
    theirs = read_weights(args.weights)
    theirs = {name: tensor for name, tensor in theirs.items() if not name.endswith(form.theirs_only)}
    form.load_ours(backbone, form.import_state(theirs))
    backbone.eval()
    difference = compare_features(form, backbone, theirs)
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    preprocessor = normalization_of(args)
    meta = dict(
        arch=settings['type'],
        backbone=settings,
        data_preprocessor=preprocessor,
        source=args.weights.name,
        lewel_plugins_version=__version__,
    )
    write_checkpoint(args.out, dict(meta=meta, state_dict=state))
    print(f'{len(state)} tensors of {args.library} as {settings["type"]} written to {args.out}')
    print(f'Both networks compute the same features on a batch: the largest difference is {difference:.3g}.')
    if preprocessor:
        print(f'Images: normalized with mean {preprocessor["mean"]} and std {preprocessor["std"]}, RGB.')
    else:
        print('Images: it is unknown how they were normalized, so this stays unchecked: see --mean and --std.')
    print(f"Use it as\n  init_cfg=dict(type='Pretrained', checkpoint='{args.out}', prefix='backbone.')")


if __name__ == '__main__':
    run_main(main)
