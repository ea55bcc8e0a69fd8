"""Take the online backbone out of a checkpoint: ``python tools/export_backbone.py CKPT --out FILE``.

The file holds the backbone's tensors, named ``backbone.…``, and a ``meta`` of plain values; it loads with
``torch.load(weights_only=True)``, and into any OpenMMLab config by
``backbone=dict(..., init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone'))``.
"""

import argparse
import copy
import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, initialize
from mmengine.registry import MODELS
from torch import Tensor

from lewel_plugins import runner_setup
from lewel_plugins.checkpoint import build_model, config_of, read_tensors
from lewel_plugins.runner_setup import SetupError
from lewel_plugins.version import __version__


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Take the online backbone out of a checkpoint.')
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a training')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='file to write')
    parser.add_argument('--config', help="config file (default: the checkpoint's own)")
    return parser.parse_args()


def openmmlab_tensors(model: BaseModel) -> dict[str, Tensor]:
    """The backbone's tensors under OpenMMLab's names."""
    return {f'backbone.{name}': tensor.clone() for name, tensor in model.backbone.state_dict().items()}


def plain(value: Any) -> Any:
    """A config as plain containers, numbers and text, which ``weights_only`` loads."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def sha256(path: Path) -> str:
    """Digest of a file, read in parts."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def describe(cfg: Config, checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """Where the weights come from."""
    meta = checkpoint.get('meta', {})
    return dict(
        arch=cfg.model.backbone.type,
        backbone=plain(cfg.model.backbone),
        method=cfg.model.type,
        config=str(meta.get('experiment_name', '')),
        epoch=plain(meta.get('epoch')),
        iter=plain(meta.get('iter')),
        source=path.name,
        source_sha256=sha256(path),
        lewel_plugins_version=__version__,
    )


@torch.no_grad()
def check(cfg: Config, file: Path, model: BaseModel) -> None:
    """Build the backbone anew, load the export as a user would, and compare its features with the model's.

    Raises:
        SetupError: They differ.
    """
    backbone = MODELS.build(copy.deepcopy(cfg.model.backbone))
    # What init_cfg does; a backbone of one's own may not take that argument.
    initialize(backbone, dict(type='Pretrained', checkpoint=str(file), prefix='backbone'))
    size = getattr(model.backbone, 'img_size', 64)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    backbone.eval()
    ours, theirs = backbone(images), model.backbone(images)
    if len(ours) != len(theirs) or not all(torch.equal(a, b) for a, b in zip(ours, theirs)):
        raise SetupError(f"{file} was written, but a backbone loaded from it does not give the checkpoint's features")


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='WARNING')
    checkpoint = read_tensors(args.checkpoint)
    cfg = runner_setup.load_config(args.config) if args.config else config_of(checkpoint, args.checkpoint)
    model = build_model(copy.deepcopy(cfg), checkpoint, args.checkpoint)
    tensors = openmmlab_tensors(model)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    # On the way under another name, so that what has the final name is whole and checked.
    unchecked = args.out.with_name(f'{args.out.name}.unchecked')
    torch.save(dict(meta=describe(cfg, checkpoint, args.checkpoint), state_dict=tensors), unchecked)
    try:
        check(cfg, unchecked, model)
        os.replace(unchecked, args.out)
    finally:
        unchecked.unlink(missing_ok=True)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f'{len(tensors)} tensors ({numbers:,} numbers) of {cfg.model.backbone.type} written to {args.out}')
    print('A backbone loaded from it gives the same features, bit for bit. Use it as')
    print(f"  init_cfg=dict(type='Pretrained', checkpoint='{args.out}', prefix='backbone')")


if __name__ == '__main__':
    try:
        main()
    except SetupError as error:
        raise SystemExit(f'error: {error}') from None
