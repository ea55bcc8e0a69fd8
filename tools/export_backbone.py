"""Export the online backbone of a checkpoint: ``python tools/export_backbone.py CKPT --out FILE [--to LIBRARY]``.

openmmlab    for ``init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')`` of any OpenMMLab config
mmdet        the same, checked with mmdet's own backbone
torchvision  for ``torchvision.models.resnet50().load_state_dict(torch.load(FILE), strict=False)`` and the like
timm         for ``timm.create_model('resnet50', num_classes=0).load_state_dict(torch.load(FILE))`` and the like
detectron2   for ``MODEL.WEIGHTS FILE``
safetensors  OpenMMLab's names, in a file that cannot hold anything but tensors

Before the file gets its name, the tool loads it into the library's own network and compares the features of a batch
with those of the checkpoint. (For detectron2, which need not be installed, it converts the names back and loads
OpenMMLab's network.)
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import initialize
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from lewel_plugins.checkpoints import (
    backbone_config,
    build_backbone,
    compare_states,
    config_of,
    encode_safetensors,
    load_backbone,
    local_file,
    model_config,
    read_safetensors,
    read_tensors,
)
from lewel_plugins.checkpoints.formats import find_format
from lewel_plugins.checkpoints.formats.check import compare_features, random_images
from lewel_plugins.errors import SetupError
from lewel_plugins.files import file_digest, replacing, write_checkpoint
from lewel_plugins.running import setup
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.version import __version__

LIBRARIES = ('openmmlab', 'torchvision', 'timm', 'mmdet', 'detectron2', 'safetensors')
OURS = ('openmmlab', 'safetensors')  # have OpenMMLab's network and names
PREFIX = 'backbone.'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a training, or an exported or imported backbone')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='file to write')
    parser.add_argument(
        '--to', choices=LIBRARIES, default='openmmlab', help='library to export to (default: openmmlab)'
    )
    parser.add_argument('--config', help='config file (default: the config in the checkpoint)')
    return parser.parse_args(argv)


def plain(value: Any) -> Any:
    """Convert a config into plain containers, numbers and text, which ``torch.load(weights_only=True)`` accepts."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def input_size(preprocessor: dict[str, Any], cfg: dict[str, Any]) -> int | None:
    """Return the side of the first view of a training, in pixels.

    None unless ``BatchViews``, or ``LoadViews`` or ``MakeViews`` of the pipeline, makes the views.
    """
    try:
        dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
        pipeline = dataset.get('dataset', dataset).get('pipeline') or ()
        sizes = [part['views'][0]['size'] for part in (preprocessor, *pipeline) if part.get('views')]
    except (AttributeError, KeyError, TypeError):  # other pipelines, and configs of any kind
        return None
    return sizes[0] if sizes and type(sizes[0]) is int else None


def origin(checkpoint: dict[str, Any], path: Path, config: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config of the backbone, and the facts about its training that an export records.

    Args:
        checkpoint: Checkpoint of a training, or an exported or imported backbone, which holds both.
        path: Its file.
        config: Config file of the training; None for the config in the checkpoint.

    Raises:
        SetupError: Neither describes a backbone.
    """
    meta = checkpoint.get('meta', {})
    if config is None and isinstance(meta.get('backbone'), dict):
        facts = ('data_preprocessor', 'input_size', 'method', 'config', 'epoch', 'iter')
        init_default_scope('mmpretrain')
        return backbone_config(checkpoint, path), {name: plain(meta.get(name)) for name in facts}
    cfg = config_of(checkpoint, path) if config is None else setup.load_config(config)
    model = cfg.get('model') or {}
    if not isinstance(model, dict) or not isinstance(model.get('backbone'), dict):
        raise SetupError(f'the config of {path} has no model.backbone')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    preprocessor = model_config(cfg).get('data_preprocessor') or {}
    return dict(model['backbone']), dict(
        data_preprocessor={name: plain(preprocessor.get(name)) for name in ('mean', 'std', 'to_rgb')},
        input_size=input_size(preprocessor, cfg),
        method=model.get('type'),
        config=str(meta.get('experiment_name', '')),
        epoch=plain(meta.get('epoch')),
        iter=plain(meta.get('iter')),
    )


def write(file: Path, library: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write the tensors in the file format of the library."""
    if library == 'safetensors':
        file.write_bytes(encode_safetensors(tensors, {name: json.dumps(value) for name, value in meta.items()}))
    elif library == 'detectron2':
        # With matching_heuristics, its checkpointer matches res2.… with backbone.bottom_up.res2.…
        write_checkpoint(file, dict(model=tensors, matching_heuristics=True, __author__='lewel_plugins'))
    elif library in ('openmmlab', 'mmdet'):
        write_checkpoint(file, dict(meta=meta, state_dict=tensors))
    else:
        write_checkpoint(file, tensors)


def read(file: Path, library: str) -> dict[str, Tensor]:
    """Read the tensors that :func:`write` has written."""
    if library == 'safetensors':
        return read_safetensors(file)[0]
    content = torch.load(file, weights_only=True)
    return content.get('state_dict', content.get('model', content))


@torch.no_grad()
def check_ours(settings: dict[str, Any], file: Path, library: str, own: nn.Module) -> float:
    """Build the backbone anew, load the export as a user would, and compare its features with those of the checkpoint.

    Returns:
        The largest difference, which is 0.

    Raises:
        SetupError: The features differ.
    """
    backbone = build_backbone(settings, file)
    if library == 'openmmlab':
        # Load as init_cfg does, which is an argument that not every backbone has.
        initialize(backbone, dict(type='Pretrained', checkpoint=str(file), prefix=PREFIX))
    else:
        backbone.load_state_dict({n.removeprefix(PREFIX): tensor for n, tensor in read(file, library).items()})
    backbone.eval()
    images = random_images(own)
    ours, theirs = backbone(images), own(images)
    if len(ours) != len(theirs) or not all(torch.equal(a, b) for a, b in zip(ours, theirs)):
        raise SetupError(f"a backbone loaded from {file} does not compute the checkpoint's features")
    return 0.0


def check_theirs(file: Path, library: str, own: nn.Module) -> float:
    """Load the export into the library's own network and compare its features; convert its names back and compare them.

    Returns:
        The largest difference between two features.

    Raises:
        SetupError: Features or tensors differ.
    """
    form = find_format(own, library)
    tensors = {name.removeprefix(form.prefix): tensor for name, tensor in read(file, library).items()}
    difference = compare_states(own.state_dict(), form.import_state(tensors), optional=lambda name: True, values=True)
    if difference:
        problems = difference.describe(limit=5)
        raise SetupError(f'the names in {file} do not convert back into those of the checkpoint: {problems}')
    return compare_features(form, own, tensors)


def export(args: argparse.Namespace, settings: dict[str, Any], backbone: nn.Module, meta: dict[str, Any]) -> None:
    """Write the file, check it, and print the result.

    Raises:
        SetupError: The library has no equivalent of the backbone, or the file has failed the check and is removed.
    """
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    prefix = PREFIX
    if args.to not in OURS:
        form = find_format(backbone, args.to)
        state, prefix = form.export_state(state), form.prefix
    tensors = {f'{prefix}{name}': tensor.contiguous() for name, tensor in state.items()}
    with replacing(args.out) as unchecked:
        write(unchecked, args.to, tensors, meta)
        if args.to in OURS:
            difference = check_ours(settings, unchecked, args.to, backbone)
        else:
            difference = check_theirs(unchecked, args.to, backbone)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f'{len(tensors)} tensors ({numbers:,} numbers) of {settings["type"]} written to {args.out}')
    same = 'bit for bit' if difference == 0 else 'up to rounding'
    print(f'A backbone loaded from it computes the same features, {same}: the largest difference is {difference:.3g}.')
    if args.to in ('openmmlab', 'mmdet'):
        print(f"Use it as\n  init_cfg=dict(type='Pretrained', checkpoint='{args.out}', prefix='{PREFIX}')")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='WARNING')
    checkpoint = local_file(args.checkpoint)
    settings, facts = origin(read_tensors(checkpoint), checkpoint, args.config)
    backbone = build_backbone(settings, checkpoint)
    load_backbone(backbone, checkpoint, PREFIX)
    backbone.eval()  # some of OpenMMLab's overrides of eval() do not return the network
    meta = dict(
        arch=settings['type'],
        backbone=plain(settings),
        **facts,
        source=checkpoint.name,
        source_sha256=file_digest(checkpoint),
        lewel_plugins_version=__version__,
    )
    export(args, settings, backbone, meta)


if __name__ == '__main__':
    run_main(main)
